"""Several papers under one roof: `sites/*/site.toml` beside a site of their front page."""

import re
from pathlib import Path

import pytest

from sitegen.builder.output import read_folder
from sitegen.builder.prune import clean, clean_unused
from sitegen.config.loader import load_papers, load_site
from sitegen.core.errors import ConfigError, TargetError
from sitegen.deploy.check import check_site
from sitegen.deploy.publish import Freshness, freshness
from tests.support.builders import INDEX, Builder, traces, write_page, write_site

ROOF = """
title = "Our papers"
base_url = "https://us.github.io/papers/"
papers = ["digits"]
"""
PAPER = """
title = "{}"
description = "What {} are."
base_url = "https://elsewhere.example.org/"
[[authors]]
name = "Ann"
[[authors]]
name = "Bo"
[models.tiny]
path = "models/tiny"
"""


@pytest.fixture
def build(tmp_path: Path) -> Builder:
    """A roof over two papers, each with a figure of its own."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/index.md").write_text("What we do.\n")
    (tmp_path / "site.toml").write_text(ROOF)
    for name, more in (("birds", "\nMore.\n"), ("digits", "")):
        folder = tmp_path / "sites" / name
        config = write_site(folder, INDEX + more, PAPER.format(name.title(), name))
        write_page(config, "# Data\n\n[home](index.html)\n", "data")
    return Builder(tmp_path / "site.toml")


def test_built(build: Builder) -> None:
    """Each paper lies in its folder as by itself, the front page shows the cards in their order."""
    done = build()
    assert done.rendered == ("digits/tiny-trajectories", "birds/tiny-trajectories")
    front = (build.output / "index.html").read_text()
    cards = re.findall(r'<h2><a href="(\w+)/index\.html">(\w+)</a></h2>\n<img src="([^"]+)"', front)
    assert [card[:2] for card in cards] == [("digits", "Digits"), ("birds", "Birds")]
    assert all((build.output / picture).is_file() for _, _, picture in cards)
    assert len({picture for _, _, picture in cards}) == 2
    assert front.count("<p>Ann, Bo</p>") == 2
    assert "<p>What birds are.</p>" in front
    page = (build.output / "birds/data/index.html").read_text()
    assert '<a class="collection" href="../../index.html">All papers</a>' in page
    assert 'rel="canonical" href="https://us.github.io/papers/birds/data/"' in page
    assert 'class="collection"' not in front
    sitemap = (build.output / "sitemap.xml").read_text()
    assert re.findall("<loc>https://us.github.io/papers/(.*?)</loc>", sitemap) == [
        "", "digits/", "digits/data/", "birds/", "birds/data/"
    ]  # fmt: skip
    for name in ("404.html", "robots.txt", "sitemap.xml", ".nojekyll"):
        assert [path.parent for path in build.output.rglob(name)] == [build.output]
    site = load_site(build.config)
    found = check_site(site, build.output)
    assert (found.errors, found.warnings) == ((), ())
    assert freshness(site, read_folder(build.output).sealed()) == Freshness()
    before = traces(build.output)
    assert not build().changed
    assert traces(build.output) == before
    clean_unused(build.config)
    assert not build(offline=True).changed


def test_one_paper_by_itself(build: Builder) -> None:
    """What was rendered for one paper counts for the roof, and the other way round."""
    alone = Builder(build.root / "sites/birds/site.toml")
    assert alone().rendered == ("tiny-trajectories",)
    assert 'class="collection"' not in (alone.output / "index.html").read_text()
    assert build().rendered == ("digits/tiny-trajectories",)
    assert build(offline=True).reused == ("digits/tiny-trajectories", "birds/tiny-trajectories")
    build.refused(ConfigError, r"--config .*sites/digits/site\.toml", only=("tiny-trajectories",))
    write_page(alone.config, INDEX.replace("count=4", "count=3"))
    site = load_site(build.config)
    found = freshness(site, read_folder(build.output).sealed())
    assert found.stale == ("tiny-trajectories is not rendered",)
    build.refused(TargetError, "sites/birds/pages/index.md:3: tiny-trajectories", offline=True)
    assert build(dry_run=True).missing == ("birds/tiny-trajectories",)


def test_what_check_and_clean_see(build: Builder) -> None:
    """Placeholders and damaged files of papers are told; sitegen's files go, no others."""
    paper = build.root / "sites/birds/site.toml"
    paper.write_text(paper.read_text().replace('"Birds"', '"The Title of Your Paper"'))
    build()
    site = load_site(build.config)
    (warning,) = check_site(site, build.output).warnings
    assert "sites/birds/site.toml:2" in str(warning)
    next(build.output.glob("birds/media/*.webp")).write_bytes(b"RIFF")
    (error,) = check_site(site, build.output).errors
    assert "is not the file that birds/media.json lists" in str(error)
    (build.output / "birds/mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"birds/mine\.txt: was not written by sitegen"):
        clean(site)
    (build.output / "birds/mine.txt").unlink()
    build()
    clean(site)
    assert not build.output.exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pages/birds.md", "# Birds\n", r"sites/birds: has the name of a page; rename the folder"),
        (
            "birds/list.txt",
            "words",
            r"sites/birds: birds/list\.txt has the same path; rename the paper's folder",
        ),
        ("sites/media/site.toml", 'title = "M"\n', r"sites/media: is a name sitegen uses itself"),
        ("sites/A b/site.toml", 'title = "M"\n', r"sites/A b: should be 1 to 64 of a-z"),
        ("sites/birds/site.toml", 'titel = "M"\n', r"sites/birds/site\.toml:1: titel: unknown"),
        ("sites/birds/sites/x/site.toml", 'title = "M"\n', r"is in a collection inside another"),
        (
            "site.toml",
            'title = "T"\npapers = ["brids"]\n',
            r'no paper "brids", did you mean "birds"',
        ),
        ("site.toml", 'title = "T"\npapers = ["birds", "birds"]\n', r'names "birds" twice'),
        (
            "site.toml",
            'title = "T"\noutput = "sites/x"\n',
            r"output.*should not overlap with sites",
        ),
    ],
)
def test_mistakes(build: Builder, name: str, text: str, told: str) -> None:
    """What is wrong with papers and their names is told with its place."""
    path = build.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if name.endswith(".txt"):
        write_page(build.config, "[list](birds/list.txt)\n")
    build.refused(ConfigError, told)


def test_no_roof(tmp_path: Path) -> None:
    """A site without papers is one by itself."""
    assert load_papers(load_site(write_site(tmp_path))) == ()
