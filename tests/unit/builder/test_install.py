"""The built folder is replaced as a whole or not at all, and only if sitegen built it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sitegen.builder.install import (
    CopiedFile,
    Tree,
    differences,
    install,
    is_current,
    remove_folder,
)
from sitegen.core.errors import ConfigError, PlatformError, TargetError
from sitegen.core.files import digest_bytes
from sitegen.media.manifest import MediaFile
from tests.support.builders import temporaries, traces, tree_hash

CLIP = b"moving pictures"
MANIFEST = b'{"version": 1, "figures": []}'


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """The content of a small site."""
    source = tmp_path / "object"
    source.write_bytes(CLIP)
    file = MediaFile("media/clip.mp4", len(CLIP), digest_bytes(CLIP), 2, 2)
    return {
        "index.html": b"<p>words",
        "more/index.html": b"<p>more",
        "media/clip.mp4": CopiedFile(source, file),
        "media.json": MANIFEST,
        ".nojekyll": b"",
    }


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The folder that it is installed into, which is missing."""
    return tmp_path / "build"


def test_install(tree: Tree, output: Path) -> None:
    """Every file has its content; a second install touches nothing; stale files go."""
    assert not is_current(output, tree)
    assert install(tree, output)
    files = {p.relative_to(output).as_posix(): p for p in output.rglob("*") if p.is_file()}
    assert files.keys() == tree.keys()
    assert files["media/clip.mp4"].read_bytes() == CLIP
    assert sum(map(len, tree.values())) == sum(path.stat().st_size for path in files.values())
    before = traces(output.parent)
    assert not install(tree, output)
    assert traces(output.parent) == before
    (output / "stray.txt").touch()
    (output / "media/clip.mp4").write_bytes(b"moving picturez")  # which `publish` notices
    changed = ("index.html", "media/clip.mp4")
    assert differences(output, {**tree, "index.html": b"x"}) == (changed, ("stray.txt",))
    assert install(tree, output)
    assert not (output / "stray.txt").exists()
    assert temporaries(output.parent) == []


def test_changed_source(tree: Tree, output: Path) -> None:
    """A clip whose content is not that of its record never gets in, and the old site stays."""
    install(tree, output)
    whole = tree_hash(output)
    copy = tree["media/clip.mp4"]
    assert isinstance(copy, CopiedFile)
    copy.source.write_bytes(b"moving picturez")
    with pytest.raises(TargetError, match="changed during the build"):
        install({**tree, "index.html": b"other"}, output)
    copy.source.unlink()
    with pytest.raises(PlatformError, match="cannot read"):
        install({**tree, "index.html": b"other"}, output)
    assert tree_hash(output) == whole
    assert temporaries(output.parent) == []


DAMAGES: dict[str, Callable[[Path], object]] = {
    "byte": lambda output: (output / "index.html").write_bytes(b"<p>wordz"),
    "clip": lambda output: (output / "media/clip.mp4").write_bytes(b"moving"),
    "missing": lambda output: (output / ".nojekyll").unlink(),
    "stray": lambda output: (output / "stray.txt").touch(),
    "link": lambda output: (output / "stray.txt").symlink_to("index.html"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_changed_folder(tree: Tree, output: Path, damage: str) -> None:
    """A built folder that was changed by hand is noticed, and installed again."""
    install(tree, output)
    whole = tree_hash(output)
    DAMAGES[damage](output)
    assert not is_current(output, tree)
    assert install(tree, output)
    assert tree_hash(output) == whole


REFUSED: dict[str, tuple[dict[str, bytes], str]] = {
    "file": ({"": b"mine"}, "is not a folder"),
    "files": ({"a": b""}, "holds files, and no media"),
    "json": ({"media.json": b"[]"}, "holds files, and no media"),
    "git": ({"media.json": MANIFEST, ".git/HEAD": b""}, "holds a git repository"),
}
"""The files of a folder, by name, or the file in its place; and why it is refused."""


@pytest.mark.parametrize("case", REFUSED)
def test_folder_of_someone_else(tree: Tree, output: Path, case: str) -> None:
    """A folder that sitegen did not build, or a repository, is refused, and stays as it was."""
    files, words = REFUSED[case]
    for name, content in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(content)
    before = traces(output.parent)
    with pytest.raises(ConfigError, match=words):
        install(tree, output)
    assert traces(output.parent) == before


def test_leftovers_of_a_kill(tree: Tree, output: Path) -> None:
    """After a kill between the renames the next install and a removal find nothing half done."""
    install(tree, output)
    whole = tree_hash(output)
    (output.with_name(".sitegen-new-build") / "half").mkdir(parents=True)
    output.rename(output.with_name(".sitegen-old-build"))
    assert install(tree, output)
    assert (tree_hash(output), temporaries(output.parent)) == (whole, [])
    output.with_name(".sitegen-new-build").mkdir()
    assert remove_folder(output)
    assert not remove_folder(output)
    assert sorted(os.listdir(output.parent)) == ["object"]


@pytest.mark.parametrize("name", ["rename", "write_bytes"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_interrupted_at_any_call(
    tree: Tree,
    output: Path,
    name: str,
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whenever the disk refuses or a signal arrives, the old site stays under its name."""
    install(tree, output)
    whole, function = tree_hash(output), getattr(Path, name)
    for number in range(9):
        calls = 0

        def failing(self: Path, argument: object, number: int = number) -> object:
            nonlocal calls
            calls += 1
            if calls == number + 1:
                raise error
            return function(self, argument)

        with monkeypatch.context() as patch:
            patch.setattr(Path, name, failing)
            try:
                install({**tree, "index.html": b"other"}, output)
            except (PlatformError, KeyboardInterrupt):
                assert tree_hash(output) == whole
            else:
                break
        assert temporaries(output.parent) == []
    else:
        raise AssertionError
    assert number > 1
