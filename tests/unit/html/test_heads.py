"""Titles, addresses, the BibTeX entry, what search engines read, and the card of a link."""

import re
from pathlib import Path

import pytest
from PIL import Image

from sitegen.content.pages import read_pages
from sitegen.core.errors import ConfigError
from sitegen.html.heads import address, bibtex, head, paper
from sitegen.html.theme import site_theme
from sitegen.media.manifest import MediaFile
from tests.support.fabricated import make_site

PAPER = """
[[authors]]
name = "Ana"
[[links]]
label = "PDF"
url = "paper.pdf"
[[links]]
label = "Poster"
icon = "poster"
url = "poster.pdf"
[[links]]
label = "arXiv"
url = "https://arxiv.org/abs/2206.13397"
[citation]
key = "a"
year = 2023
"""


def test_sampler(tmp_path: Path) -> None:
    """Only a page whose model draws in it may start a worker and compile code, and loads both."""
    site = make_site(tmp_path)
    (tmp_path / "pages" / "more.md").write_text("# More")
    theme = site_theme(site)
    for page in read_pages(site):
        plain, more = (
            head(site, page, theme, None, shapes) for shapes in ((), ("sampler", "atlas"))
        )
        assert not plain["live"]
        assert "wasm" not in plain["policy"]
        assert "worker-src" not in plain["policy"]
        assert "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self';" in more["policy"]
        up = "" if page.uri == "index.html" else "../"
        for shape, module in (("sampler", "worker"), ("atlas", "map")):
            style, script, imported = more["live"][shape].values()
            assert re.fullmatch(rf"{up}assets/{shape}-\w{{8}}\.css", style)
            assert re.fullmatch(
                rf"{up}assets/sampler-\w{{8}}\.js" if shape == "sampler" else "", script
            )
            assert re.fullmatch(rf"{up}assets/live-\w{{8}}/{shape}/{module}\.js", imported)


ANALYTICS = """
[analytics]
script = "https://counts.example.org/js/count.js?v=2"
attributes = { data-to = "https://me.counts.example.com/count", data-domain = "example.org" }
"""


def test_analytics(tmp_path: Path) -> None:
    """A page names one script and where it sends to; without the table there is neither."""
    for text in ("", ANALYTICS):
        site = make_site(tmp_path, f'title = "T"\n{text}')
        (page,) = read_pages(site)
        found = head(site, page, site_theme(site), None)
        assert (found["analytics"] is not None) == bool(text)
        assert ("example" in found["policy"]) == bool(text)
    directives = dict(item.strip().split(" ", 1) for item in found["policy"].split(";"))
    assert directives["script-src"] == "'self' https://counts.example.org/js/count.js"
    hosts = "'self' https://counts.example.org https://me.counts.example.com"
    assert directives["connect-src"] == directives["img-src"] == hosts
    wrong = ANALYTICS.replace("count.js?v=2", "count.js; style-src *")
    with pytest.raises(ConfigError, match=r"script = .* an address that begins with https"):
        make_site(tmp_path, f'title = "T"\n{wrong}')


def test_heads(tmp_path: Path) -> None:
    """Titles name the site; paper, cards and relative links need its address, if it has one."""
    for name in ("paper.pdf", "poster.pdf"):
        (tmp_path / name).write_bytes(b"%PDF")
    site = make_site(tmp_path, 'title = "T"\n' + PAPER)
    (page,) = read_pages(site)
    found = head(site, page, site_theme(site), None)["citation"]
    told = {"title": "T", "author": "Ana", "publication_date": "2023", "arxiv_id": "2206.13397"}
    assert found == [(f"citation_{name}", value) for name, value in told.items()]
    site = make_site(tmp_path, 'title = "T"\nbase_url = "https://example.org/p"\n' + PAPER)
    found = head(site, page, site_theme(site), None)["citation"]
    pdfs = [value for name, value in found if name == "citation_pdf_url"]
    assert pdfs == ["https://example.org/p/paper.pdf"]  # the poster is not the paper
    assert ("citation_public_url", "https://example.org/p/") in found
    picture = MediaFile("assets/card-1.png", 9, "0" * 64, 1200, 630)
    for base, expected in [
        ('\nbase_url = "https://example.org/p"', "https://example.org/p/assets/card-1.png"),
        ("", None),
    ]:
        site = make_site(tmp_path, f'title = "T"{base}')
        (page,) = read_pages(site)
        card = head(site, page, site_theme(site), picture)["card"]
        alt = "T: samples of the model"
        keys = ("address", "width", "height", "alt")
        values = (expected, 1200, 630, alt)
        assert card == (dict(zip(keys, values, strict=True)) if expected else None)
    for own, whole in [("More", "More – Title"), ("A" * 65, "A" * 65), ("Title", "Title")]:
        site = make_site(tmp_path, 'title = "Title"', f"# {own}\n")
        (page,) = read_pages(site)
        assert head(site, page, site_theme(site), None)["title"] == whole
    for base in ["https://example.org/a", "https://example.org/a/"]:
        site = make_site(tmp_path, f'title = "T"\nbase_url = "{base}"')
        assert address(site, "index.html") == "https://example.org/a/"
        assert address(site, "more/index.html") == "https://example.org/a/more/"
        assert address(site, "more/") == "https://example.org/a/more/"
        assert address(make_site(tmp_path, 'title = "T"'), "index.html") is None


CITED = """
title = "50% of $x_1$ & {more} \\\\ ~ ^ #"
[[authors]]
name = "Ana B. Cé"
[[authors]]
name = "Dan"
[citation]
type = "inproceedings"
key = "ana2023"
booktitle = "A book"
year = 2023
"""


def test_entry(tmp_path: Path) -> None:
    """BibTeX has every field that is given."""
    assert bibtex(make_site(tmp_path)) is None
    assert bibtex(make_site(tmp_path, CITED)) == (
        "@inproceedings{ana2023,\n"
        r"  title = {50\% of \$x\_1\$ \& \{more\} \textbackslash{} \textasciitilde{} "
        r"\textasciicircum{} \#}," + "\n"
        "  author = {Ana B. Cé and Dan},\n"
        "  booktitle = {A book},\n"
        "  year = {2023}\n"
        "}"
    )
    more = 'fields = { doi = "10.1/a_b", pages = "1–9", note = "50%" }'
    entry = str(bibtex(make_site(tmp_path, f"{CITED}{more}")))
    assert entry.endswith(
        "year = {2023},\n  doi = {10.1/a_b},\n  pages = {1–9},\n  note = {50\\%}\n}"
    )
    own = "@misc{x,\n  title = {{A_b}},\n}"
    for others in (CITED, CITED.partition("type")[0]):
        assert bibtex(make_site(tmp_path, f"{others}verbatim = '''\n{own}'''")) == own


def test_marks_of_authors(tmp_path: Path) -> None:
    """Authors have the numbers of their places and a star for equal parts; logos have sizes."""
    people = """[[authors]]
name = "Ana"
affiliations = ["A", "B"]
equal = true
[[authors]]
name = "Bo"
affiliation = "B"
[[affiliations]]
name = "B"
url = "https://example.org/"
logo = "b.png"
"""
    Image.new("RGB", (9, 6)).save(tmp_path / "b.png")
    site = make_site(tmp_path, f'title = "T"\n{people}')
    pages = read_pages(site)
    told = paper(site, pages[0])
    assert [author["mark"] for author in told["authors"]] == ["1,2,*", "2"]
    places = [(place["name"], place["mark"], place["uri"]) for place in told["affiliations"]]
    assert places == [("A", "1", None), ("B", "2", "https://example.org/")]
    assert (told["equal"], told["logos"][0]["picture"].width) == (True, 9)
    assert told["logos"][0]["picture"].uri in {file.uri for file in pages[0].files}
    with pytest.raises(ConfigError, match=r'affiliations\[0\]\.logo = "c.png"'):
        read_pages(make_site(tmp_path, f'title = "T"\n{people}'.replace("b.png", "c.png")))
