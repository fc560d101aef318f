"""What Markdown takes from the site's folder: its pictures, and the files that links lead to."""

from pathlib import Path

import pytest
from PIL import Image

from sitegen.content.links import PageFiles
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
    return PageFiles(SiteFolder(tmp_path), URIS, {"media.json", "robots.txt", "404.html"})


def test_picture(files: PageFiles) -> None:
    """A picture is found by the address that Markdown makes of its name, and is copied."""
    photo = files.picture("a%20%C3%BC.png")
    assert (photo.width, photo.height) == (3, 2)
    assert list(files.used.values()) == [photo.file]


@pytest.mark.parametrize(
    "url",
    ["", "about/", "about/index.html", "index.html#a", "?a", "about/?a#b", "media.json",
     "robots.txt", "media/mnist-trajectories-3fa9c1d2.mp4", "assets/style-01234567.css"],
)  # fmt: skip
def test_what_is_there_anyway(files: PageFiles, url: str) -> None:
    """Links to pages and to what sitegen makes copy nothing."""
    files.link(url)
    assert files.used == {}


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("files/my%20slides.pdf", "files/my slides.pdf"),
        ("files/my%20slides.pdf#page=3", "files/my slides.pdf"),
        ("demo/", "demo/index.html"),
    ],
)
def test_file(files: PageFiles, url: str, uri: str) -> None:
    """A file is copied to the path that the link names, once."""
    files.link(url)
    files.link(url)
    (file,) = files.used.values()
    assert (file.uri, file.source, file.bytes) == (uri, files.folder.root / uri, 3)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("files/my%20slide.pdf", 'no such file, did you mean "files/my slides.pdf"?'),
        ("abuot", 'no such file, did you mean "about/"?'),
        ("about", 'there is no such file, did you mean "about/"?'), ("files", "is a folder"),
        ("pages/about.md", 'is the text of a page; link to the page: "about/"'),
        ("media/x.pdf", "lies in a folder whose name sitegen uses itself; rename it"),
        ("404.html", "has a name sitegen uses itself; rename it"),
        ("sitemap.xml", "there is no such file"), (".key", "is hidden"),
        ("%2e%2e/x", "without ./ and ../"), ("files%5Cx", "should be a path"),
    ],
)  # fmt: skip
def test_refused(files: PageFiles, url: str, reason: str) -> None:
    """A link that would lead nowhere is told, and so is a file that must not be published."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        files.link(url)
    assert reason in str(caught.value)
    assert files.used == {}
