"""What Markdown takes from the site's folder: its pictures, and the files that links lead to."""

import re
from pathlib import Path

import pytest
from PIL import Image

from sitegen.config.schema import load_site
from sitegen.content.links import PageFiles
from sitegen.content.pages import read_pages
from sitegen.core.errors import ConfigError
from sitegen.core.site_files import SiteFolder

URIS = {"index.html", "about/index.html"}


@pytest.fixture
def files(tmp_path: Path) -> PageFiles:
    """A site of two pages with a picture and slides."""
    names = ("pages/about.md", "files/my slides.pdf", "media/x.pdf", "demo/index.html", ".key")
    for name in (*names, "404.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"abc")
    Image.new("L", (3, 2)).save(tmp_path / "a ü.png")
    return PageFiles(SiteFolder(tmp_path), URIS, {"media.json", "404.html"})


def test_what_is_used(files: PageFiles) -> None:
    """Pages and what sitegen makes copy nothing; a file is copied once, where the link leads."""
    media = ["media/mnist-trajectories-3fa9c1d2.mp4", "assets/style-01234567.css"]
    pages = ["", "about/", "about/index.html", "index.html#a", "?a", "about/?a#b"]
    for url in (*pages, *media, "media.json"):
        files.link(url)
    assert files.used == {}
    photo = files.picture("a%20%C3%BC.png")
    assert (photo.width, photo.height) == (3, 2)
    assert list(files.used.values()) == [photo.file]
    for url in ("files/my%20slides.pdf", "files/my%20slides.pdf#page=3", "demo/"):
        files.link(url)
    _, *copied = files.used.values()
    uris = ["files/my slides.pdf", "demo/index.html"]
    assert [(file.uri, file.bytes) for file in copied] == [(uri, 3) for uri in uris]
    assert [file.source for file in copied] == [files.folder.root / uri for uri in uris]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("files/my%20slide.pdf", 'no such file, did you mean "files/my slides.pdf"?'),
        ("abuot", 'no such file, did you mean "about/"?'),
        ("about", 'there is no such file, did you mean "about/"?'), ("files", "is a folder"),
        ("pages/about.md", 'is the text of a page; link to the page: "about/"'),
        ("media/x.pdf", "is at a path that sitegen writes to; rename it"),
        ("404.html", "is at a path that sitegen writes to; rename it"),
        ("sitemap.xml", "there is no such file"), (".key", "is hidden"),
        ("%2e%2e/x", "without ./ and ../"), ("files%5Cx", "should be a path"),
    ],
)  # fmt: skip
def test_refused(files: PageFiles, url: str, reason: str) -> None:
    """A link that would lead nowhere is told, and so is a file that must not be published."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        files.link(url)
    assert files.used == {}


@pytest.mark.parametrize("name", ["about", "media"])
def test_file_with_the_name_of_a_folder(tmp_path: Path, name: str) -> None:
    """A link to a file where the built site has a folder is refused with its page and line."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/index.md").write_text(f"Words.\n\n[a file]({name})\n")
    (tmp_path / "pages/about.md").write_text("# About\n")
    (tmp_path / "site.toml").write_text('title = "A title"\n')
    (tmp_path / name).write_text("words")
    with pytest.raises(ConfigError, match=rf'index\.md:3: .*"{name}": is a file with the name of'):
        read_pages(load_site(tmp_path / "site.toml"))
