"""The author's files: found inside the site's folder, and nothing else is ever read."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sitegen.core import site_files as ownfiles
from sitegen.core.site_files import OwnFile, SiteFolder, media_copy, own_file, read_own


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    """A site with a few files, a secret, what was built, and something beside it."""
    root = tmp_path / "site"
    for name in ("pictures/setup.png", "pictures/b c.png", "build/x.png", ".git/config", ".env"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"abc")
    (tmp_path / "outside.png").write_bytes(b"abc")
    return SiteFolder(root, (root / "build",))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pictures/setpu.png", 'there is no such file, did you mean "pictures/setup.png"?'),
        ("pictures/SETUP.png", 'there is no such file, did you mean "pictures/setup.png"?'),
        ("youtu.be/x", "there is no such file; the address of another site begins with https://"),
        ("setup.png", 'there is no such file, did you mean "pictures/setup.png"?'),
        ("zzz", "there is no such file"), ("pictures", "is a folder; name the file inside it"),
        ("../outside.png", "should be a path from the folder of site.toml, without ./ and ../"),
        ("pictures/../.env", "should be a path from the folder of site.toml, without ./ and ../"),
        ("pictures//setup.png", "should be a path from the folder of site.toml"),
        ("", "should be a path of at most 500 characters"),
        ("pictures\\setup.png", "should be a path of at most 500 characters"),
        ("a" * 501, "should be a path of at most 500 characters"),
        ("a" * 400, "cannot be read: File name too long"), (".env", "is hidden"),
        (".git/config", "is hidden"), ("build/x.png", "which sitegen fills; keep it elsewhere"),
        ("https://example.org/x.png", "pages take nothing from other hosts"),
        ("data:image/png;base64,AAAA", "pages take nothing from other hosts"),
    ],
)  # fmt: skip
def test_refused(folder: SiteFolder, name: str, reason: str) -> None:
    """What is no file of the site's is told with the reason, and a close match where one is."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        folder.find(name)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../outside.png", "is a link out of the site's folder"),
        ("/etc/hostname", "is a link out of the site's folder"),
        (".env", "is hidden"),
        ("build/x.png", "which sitegen fills"),
    ],
)
def test_links_of_the_file_system(folder: SiteFolder, target: str, reason: str) -> None:
    """A symbolic link is followed, and does not bring in what could not be named."""
    (folder.root / "a.png").symlink_to(target)
    with pytest.raises(ValueError, match=reason):
        folder.find("a.png")
    (folder.root / "b.png").symlink_to("pictures/setup.png")
    assert read_own(folder.find("b.png")) == b"abc"


def test_pipes_and_empty_files(folder: SiteFolder, tmp_path: Path) -> None:
    """No pipe, nothing empty or too large is read; links may lead to a site; copies have names."""
    os.mkfifo(folder.root / "pipe")
    with pytest.raises(ValueError, match="is not a regular file"):
        folder.find("pipe")
    (folder.root / "empty.png").touch()
    with pytest.raises(ValueError, match="is empty"):
        read_own(folder.find("empty.png"))
    with (folder.root / "large.png").open("wb") as file:
        file.truncate(ownfiles.LARGEST + 1)
    with pytest.raises(ValueError, match="is larger than 100 MB"):
        folder.find("large.png")
    for name in ("pictures/setup.png", "pictures/b c.png"):
        assert folder.find(name) == folder.root / name
    hidden = tmp_path / ".hidden"
    folder.root.rename(hidden)
    (tmp_path / "link").symlink_to(hidden)
    assert read_own(SiteFolder(tmp_path / "link").find("pictures/setup.png")) == b"abc"
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path = Path("a/Set up (1).PNG")
    copy = OwnFile("media/set-up-1-ba7816bf.png", path, 3, digest)
    assert media_copy(path, b"abc", ".png") == copy
    assert media_copy(Path("数.png"), b"abc", ".png").uri == "media/file-ba7816bf.png"
    assert len(media_copy(Path("a" * 200), b"abc", ".png").uri) == 6 + 40 + 13
    assert own_file("a", path, b"abc") == replace(copy, uri="a")
