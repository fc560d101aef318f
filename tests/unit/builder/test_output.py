"""A built folder is replaced whole or not at all, only if it is sitegen's, and goes when asked."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sitegen.builder.output import (
    KEPT,
    CopiedFile,
    Tree,
    is_current,
    put_tree,
    require_ours,
    require_room,
    weight,
)
from sitegen.builder.prune import clean, clean_unused
from sitegen.config.loader import load_site
from sitegen.core.errors import ConfigError, LockedError, PlatformError, TargetError
from sitegen.core.files import digest_bytes, host_id
from sitegen.core.locks import lock
from sitegen.media.manifest import MediaFile
from tests.support.builders import (
    INDEX,
    Builder,
    temporaries,
    traces,
    tree_hash,
    write_page,
    write_site,
)

CLIP = b"moving pictures"
MANIFEST = b'{"version": 1, "figures": []}'


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A little site."""
    source = tmp_path / "store" / "object"
    source.parent.mkdir()
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
    """Where it goes."""
    return tmp_path / "build"


def test_put(tree: Tree, output: Path) -> None:
    """Every file with its content, and nothing touched by a look; a changed clip never gets in."""
    assert not is_current(output, tree)
    put_tree(tree, output)
    assert is_current(output, tree)
    files = {p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()}
    assert files == set(tree)
    assert (output / "media/clip.mp4").read_bytes() == CLIP
    before = traces(output.parent)
    assert is_current(output, tree)
    assert traces(output.parent) == before
    assert weight(tree) == sum(p.stat().st_size for p in output.rglob("*") if p.is_file())
    (output / "media/clip.mp4").write_bytes(b"others")
    whole = tree_hash(output)
    copy = tree["media/clip.mp4"]
    assert isinstance(copy, CopiedFile)
    copy.source.write_bytes(b"moving picturez")
    with pytest.raises(TargetError, match="changed while it was copied"):
        put_tree(tree, output)
    copy.source.unlink()
    with pytest.raises(PlatformError, match="cannot read"):
        put_tree(tree, output)
    assert tree_hash(output) == whole


def test_what_is_the_same_stays_the_same_file(
    tree: Tree, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what has changed is written; where a disk has no links, or the mode is odd, all is."""
    put_tree(tree, output)
    (output / "media.json").chmod(0o600)
    before = {name: (output / name).stat() for name in tree}
    put_tree({**tree, "index.html": b"<p>others"}, output)
    after = {name: (output / name).stat() for name in tree}
    same = {name for name in tree if before[name].st_ino == after[name].st_ino}
    assert same == {"more/index.html", "media/clip.mp4", ".nojekyll"}
    assert {about.st_nlink for about in after.values()} == {1}
    assert {about.st_mode & 0o777 for about in after.values()} == {0o644}

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)
    put_tree(tree, output)
    assert is_current(output, tree)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_everybody_may_read(tree: Tree, output: Path, umask: int) -> None:
    """A web server can, whatever the umask, and only the owner can write."""
    before = os.umask(umask)
    try:
        put_tree(tree, output)
    finally:
        os.umask(before)
    for path in [output, *output.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def make_link(output: Path) -> None:
    (output / "index.html").rename(output.parent / "elsewhere")
    (output / "index.html").symlink_to(output.parent / "elsewhere")


def make_folder(output: Path) -> None:
    (output / "index.html").unlink()
    (output / "index.html").mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "byte": lambda output: (output / "index.html").write_bytes(b"<p>wordz"),
    "clip": lambda output: (output / "media/clip.mp4").write_bytes(b"moving picturez"),
    "file gone": lambda output: (output / ".nojekyll").unlink(),
    "file more": lambda output: (output / "stray.txt").touch(),
    "folder more": lambda output: (output / "stray").mkdir(),
    "link": make_link,
    "folder": make_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_anything_else_is_noticed_and_mended(tree: Tree, output: Path, damage: str) -> None:
    """A byte, a file too many or too few, a link: not the tree; `put_tree` mends it."""
    put_tree(tree, output)
    whole = tree_hash(output)
    DAMAGES[damage](output)
    assert not is_current(output, tree)
    put_tree(tree, output)
    assert tree_hash(output) == whole
    assert temporaries(output.parent) == []


def test_file_that_cannot_be_written(
    tree: Tree, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever file it is, the old site stays whole and no temporary is left."""
    put_tree(tree, output)
    before = tree_hash(output)
    other = {uri: b"new" for uri in tree if uri != "media.json"}
    write = Path.write_bytes
    for number in range(len(other)):
        countdown = iter(range(number, -1, -1))

        def fail(self: Path, data: bytes, countdown: Iterator[int] = countdown) -> int:
            if next(countdown) == 0:
                raise OSError(28, os.strerror(28))
            return write(self, data)

        monkeypatch.setattr(Path, "write_bytes", fail)
        with pytest.raises(PlatformError, match=f"cannot write {output}: No space left"):
            put_tree({**tree, **other}, output)
        assert tree_hash(output) == before
        assert temporaries(output.parent) == []


@pytest.mark.parametrize("manifest", [b"", b"{}", b"[1]", b"[" * 9999, b'{"version": 1}', b"\xff"])
def test_folder_of_others(tmp_path: Path, tree: Tree, manifest: bytes) -> None:
    """Files without our manifest, or with some other media.json: refused, and untouched."""
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.tex").write_text("years of work")
    (folder / "media.json").write_bytes(manifest)
    before = traces(folder)
    for refuse in (require_ours, require_room, lambda path: put_tree(tree, path)):
        with pytest.raises(ConfigError, match=r"no media\.json of sitegen"):
            refuse(folder)
    assert traces(folder) == before


def test_what_may_be_replaced(
    output: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is free, empty or ours; no file, repository, mount point or folder of somebody else."""
    output.touch()
    with pytest.raises(ConfigError, match="is not a folder"):
        require_room(output)
    output.unlink()
    output.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "ismount", lambda path: path == output)
        with pytest.raises(PlatformError, match="is mounted here"):
            require_room(output)
    (output / "media.json").write_bytes(MANIFEST)
    (output / ".git").mkdir()
    with pytest.raises(ConfigError, match="git repository"):
        put_tree({"index.html": b"new"}, output)
    assert (output / ".git").exists()
    (tmp_path / "empty").mkdir()
    for name in ("empty", "free", "free/deeper"):
        require_ours(tmp_path / name)
        require_room(tmp_path / name)
    (tmp_path / "media.json").write_text('{"version": 99, "figures": [], "more": 1}')
    require_ours(tmp_path)  # of a later sitegen


def test_unchanged_is_what_was_promised(tmp_path: Path, tree: Tree) -> None:
    """A link, a pipe, other content and nothing are not the file that was promised."""
    copy = tree["media/clip.mp4"]
    assert isinstance(copy, CopiedFile)
    assert copy.is_unchanged()
    other = tmp_path / "other"
    other.write_bytes(CLIP)
    copy.source.unlink()
    assert not copy.is_unchanged()
    copy.source.symlink_to(other)  # what it leads to may be right: links are not followed
    assert not copy.is_unchanged()
    copy.source.unlink()
    os.mkfifo(copy.source)
    assert not copy.is_unchanged()
    copy.source.unlink()
    copy.source.write_bytes(CLIP.upper())
    assert not copy.is_unchanged()


DEAD = f".sitegen-tmp-{host_id()}-99999999-1-0a"


def test_clean(built: Builder, tmp_path: Path) -> None:
    """The built folder goes, the store when asked; nothing of others, nor during a build."""
    store = traces(built.root / ".sitegen/objects") | traces(built.root / ".sitegen/records")
    removed = clean(load_site(built.config))
    assert removed == [f"removed {built.output}"]
    assert {*os.listdir(built.root)} == {".sitegen", "models", "pages", "site.toml"}
    after = traces(built.root / ".sitegen/objects") | traces(built.root / ".sitegen/records")
    assert after == store
    assert built().rendered == ()
    built.output.rename(tmp_path / "elsewhere")
    built.output.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="nothing was removed"):  # nobody knows who wrote that
        clean(load_site(built.config))
    built.output.unlink()
    shutil.rmtree(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    built.output.symlink_to(tmp_path / "elsewhere")
    built()
    clean(load_site(built.config))
    assert built.output.is_symlink()
    assert not (tmp_path / "elsewhere").exists()
    clean(load_site(built.config), store=True)
    assert not (built.root / ".sitegen").exists()
    assert built().rendered == ("tiny-trajectories",)
    with lock(built.root / ".sitegen/lock"), pytest.raises(LockedError):
        clean(load_site(built.config))
    assert built.output.exists()
    (built.output / "media.json").write_text("{}")
    before = traces(built.root)
    with pytest.raises(ConfigError, match="a build replaces the whole folder"):
        clean(load_site(built.config), store=True)
    assert traces(built.root) == before
    site = Builder(write_site(tmp_path / "other"))
    before = traces(site.root)
    assert clean(load_site(site.config), store=True) == []
    assert traces(site.root) == before


def test_files_of_others_in_the_built_folder(built: Builder) -> None:
    """A build keeps them outside the store, a link as a link; `clean` refuses until then."""
    own = {"notes.txt": "words", "media/plan.png": "mine", "hand/index.html": "<p>mine</p>"}
    own["media/mine-5891b5b5.txt"] = "hello\n"  # named by its content, as sitegen's files are
    own |= {"._todo.txt": "mine", "._drafts/notes.txt": "mine"}  # no attributes of macOS
    for name, text in {**own, ".DS_Store": "junk", "media/._a": "\0\5\x16\7"}.items():
        (built.output / name).parent.mkdir(exist_ok=True)
        (built.output / name).write_text(text)
    (built.output / "circle").symlink_to("circle")
    before = traces(built.root)
    with pytest.raises(ConfigError, match=rf"(?s)_drafts/notes\.txt: was not.*\n.*{KEPT}/"):
        clean(load_site(built.config))
    assert traces(built.root) == before
    assert built().changed
    told = [line for line in built.report.lines if "was not written by sitegen" in line]
    names = [line.split(f"{built.output}/")[1].split(":")[0] for line in told]
    assert names == sorted([*own, "circle"])
    kept = built.root / KEPT / "1"
    assert {name: (kept / name).read_text() for name in own} == own
    assert os.readlink(kept / "circle") == "circle"
    assert not (built.output / "notes.txt").exists()
    assert not built().changed
    assert clean(load_site(built.config)) == [f"removed {built.output}"]
    assert not (kept / ".DS_Store").exists()
    assert not (kept / "media/._a").exists()


def test_rescued_files_stay(built: Builder) -> None:
    """Two of one name, and a folder named as a file was, are numbered; no command removes them."""
    for text in ("first", "second"):
        (built.output / "notes").write_text(text)
        assert built().changed
    (built.output / "notes").mkdir()
    (built.output / "notes/more.txt").write_text("third")
    assert built().changed
    clean_unused(built.config)
    clean_unused(built.config, 0)
    clean(load_site(built.config), store=True)
    assert not (built.root / ".sitegen").exists()
    built()
    kept = sorted((built.root / KEPT).rglob("*"))
    assert [path.read_text() for path in kept if path.is_file()] == ["first", "second", "third"]


def test_a_page_that_was_edited_in_the_built_folder(built: Builder) -> None:
    """An edit of a built page, or of its media, is reported and kept when the site is built."""
    page = built.output / "index.html"
    clip = next((built.output / "media").glob("*.mp4"))
    page.write_text(page.read_text().replace("Words.", "Words by hand."))
    clip.write_bytes(b"cut by hand")
    with pytest.raises(ConfigError, match=r"build/index\.html: was not written by sitegen, or was"):
        clean(load_site(built.config))
    assert built().changed
    assert any("build/index.html: was not written" in line for line in built.report.lines)
    kept = built.root / KEPT / "1"
    assert "Words by hand." in (kept / "index.html").read_text()
    assert (kept / "media" / clip.name).read_bytes() == b"cut by hand"
    write_page(built.config, "Other words.\n")
    assert built().changed
    assert not (built.root / KEPT / "2").exists()


def test_without_the_note_on_a_folder(built: Builder) -> None:
    """Media are then known by the digest in their names; an old page is kept."""
    shutil.rmtree(built.root / ".sitegen/built")
    write_page(built.config, "Other words.\n")
    assert built().changed
    kept = built.root / KEPT / "1"
    assert (kept / "index.html").is_file()
    assert not [*kept.rglob("*.mp4"), *kept.rglob("*.css")]


def test_a_read_only_store_stops_no_build(built: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that may not be written serves a build that renders nothing."""
    store = built.root / ".sitegen"
    (store / "lock").unlink()
    write_page(built.config, INDEX.replace("Words.", "Other words."))
    before = traces(store)
    access = os.access

    def read_only(path: Path, mode: int) -> bool:
        return access(path, mode) and not (mode & os.W_OK and Path(path) == store)

    opened, replaced, utime = os.open, Path.replace, os.utime

    def refuse(function: Callable[..., object], at: int = 0) -> Callable[..., object]:
        def call(*words: Any, **more: Any) -> object:
            if store in Path(words[at]).parents:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(words[at]))
            return function(*words, **more)

        return call

    monkeypatch.setattr(os, "access", read_only)
    monkeypatch.setattr(os, "utime", refuse(utime))
    monkeypatch.setattr(Path, "replace", refuse(replaced, 1))

    def read(path: Path, flags: int, *more: Any, **named: Any) -> object:
        function = refuse(opened) if flags & os.O_CREAT else opened
        return function(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", read)
    assert built().changed
    assert "Other words." in (built.output / "index.html").read_text()
    shutil.rmtree(built.output)
    assert built().changed
    assert traces(store) == before
    write_page(built.config, INDEX.replace("count=4", "count=9"))
    built.refused(PlatformError, "Read-only file system")


def test_leftovers_of_the_dead_go(built: Builder) -> None:
    """What killed builds left beside the output and in the store; that of the living stays."""
    living = f".sitegen-tmp-{host_id()}-{os.getpid()}-0-0a"
    folders = (built.root, built.root / ".sitegen", built.root / ".sitegen/work")
    for folder in folders:
        (folder / DEAD).mkdir()
        (folder / living).mkdir()
    removed = clean(load_site(built.config))
    assert {Path(line).name for line in removed} == {DEAD, "build"}
    for folder in folders:
        assert (folder / living).exists()
        assert not (folder / DEAD).exists()
