"""Titles, addresses, and what search engines of papers read."""

from __future__ import annotations

from pathlib import Path

import pytest

from sitegen.content.pages import read_pages
from sitegen.html.heads import address, head
from sitegen.html.theme import site_theme
from sitegen.html.views import Card
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


@pytest.mark.parametrize("base", ["https://example.org/a", "https://example.org/a/"])
def test_address(tmp_path: Path, base: str) -> None:
    """Addresses lie under the base, and a folder's is that of its index."""
    site = make_site(tmp_path, f'title = "T"\nbase_url = "{base}"')
    assert address(site, "index.html") == "https://example.org/a/"
    assert address(site, "more/index.html") == "https://example.org/a/more/"
    assert address(site, "sitemap.xml") == "https://example.org/a/sitemap.xml"


def test_no_address(tmp_path: Path) -> None:
    """Where the site is published is not guessed."""
    assert address(make_site(tmp_path, 'title = "T"'), "index.html") is None


@pytest.mark.parametrize(
    ("own", "whole"), [("More", "More – Title"), ("A" * 65, "A" * 65), ("Title", "Title")]
)
def test_titles(tmp_path: Path, own: str, whole: str) -> None:
    """A page's title names the site too, where both are short enough for a tab."""
    site = make_site(tmp_path, 'title = "Title"', f"# {own}\n")
    (page,) = read_pages(site)
    assert head(site, page, site_theme(site), None).title == whole


def test_citation_elements(tmp_path: Path) -> None:
    """They name the paper and where it is; a relative link needs the site's address."""
    for name in ("paper.pdf", "poster.pdf"):
        (tmp_path / name).write_bytes(b"%PDF")
    site = make_site(tmp_path, 'title = "T"\n' + PAPER)
    (page,) = read_pages(site)
    found = head(site, page, site_theme(site), None).citation
    assert found == (
        ("citation_title", "T"),
        ("citation_author", "Ana"),
        ("citation_publication_date", "2023"),
        ("citation_arxiv_id", "2206.13397"),
    )
    site = make_site(tmp_path, 'title = "T"\nbase_url = "https://example.org/p"\n' + PAPER)
    found = head(site, page, site_theme(site), None).citation
    pdfs = [value for name, value in found if name == "citation_pdf_url"]
    assert pdfs == ["https://example.org/p/paper.pdf"]  # the poster is not the paper
    assert ("citation_public_url", "https://example.org/p/") in found


def test_card_has_a_whole_address(tmp_path: Path) -> None:
    """Previews of links need whole addresses, so without one there is no card."""
    picture = MediaFile("assets/card-1.png", 9, "0" * 64, 1200, 630)
    for base, expected in [
        ('\nbase_url = "https://example.org/p"', "https://example.org/p/assets/card-1.png"),
        ("", None),
    ]:
        site = make_site(tmp_path, f'title = "T"{base}')
        (page,) = read_pages(site)
        card = head(site, page, site_theme(site), picture).card
        alt = "T: samples of the model"
        assert card == (Card(expected, 1200, 630, alt) if expected else None)
