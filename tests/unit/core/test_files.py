"""Files: a reader sees the old content or the new, whatever fails; temporaries go with their maker.

What other processes have to do with it is in `tests/e2e/core`.
"""

import contextlib
import errno
import hashlib
import json
import os
import socket
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitegen.core import files, locks
from sitegen.core.errors import LockedError, PlatformError


def failing(code: int) -> Mock:
    """A flush that fails as a full or broken disk does."""
    return Mock(side_effect=OSError(code, os.strerror(code)))


def names(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


def test_what_a_file_is(tmp_path: Path) -> None:
    """Digests, pointers of Git LFS, and canonical JSON, which has no space and no odd numbers."""
    data = bytes(3_000_001)
    (tmp_path / "a").write_bytes(data)
    assert files.digest(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    assert files.digest_bytes(data) == hashlib.sha256(data).hexdigest()
    (tmp_path / "b").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert [files.is_lfs_pointer(tmp_path / name) for name in "ab"] == [False, True]
    assert files.canonical_json({"b": [1, 0.5], "a": "é"}) == '{"a":"\\u00e9","b":[1,0.5]}'
    for number in ("nan", "inf", "-inf"):
        with pytest.raises(ValueError, match="JSON"):
            files.canonical_json([float(number)])
    with pytest.raises(TypeError):
        files.canonical_json({"a": object()})


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.text() | numbers


@settings(max_examples=30)
@given(st.dictionaries(st.text(), st.lists(scalars)))
def test_canonical_json(value: dict[str, object]) -> None:
    """It is JSON in ASCII that means the value, and the order of keys makes no difference."""
    text = files.canonical_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert files.canonical_json(dict(reversed(value.items()))) == text


def test_what_writing_leaves(tmp_path: Path) -> None:
    """The same again touches nothing, modes and links stay, and an impossible path is told."""
    path = tmp_path / "new" / "a"
    assert files.write_atomic(path, b"same")
    assert names(path.parent) == {"a"}
    os.utime(path, ns=(1, 1))
    before = [(each.stat().st_ino, each.stat().st_mtime_ns) for each in (path, path.parent)]
    assert not files.write_atomic(path, b"same")
    assert path.read_bytes() == b"same"
    assert [(each.stat().st_ino, each.stat().st_mtime_ns) for each in (path, path.parent)] == before
    plain, path, link = tmp_path / "plain", tmp_path / "a", tmp_path / "link"
    plain.write_bytes(b"")
    files.write_atomic(path, b"one")
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    link.symlink_to("a")
    files.write_atomic(link, b"two")
    assert path.stat().st_mode & 0o777 == 0o640
    assert (link.is_symlink(), path.read_bytes()) == (True, b"two")
    (tmp_path / "file").write_bytes(b"")
    files.require_writable(tmp_path / "folder")
    assert names(tmp_path / "folder") == set()
    for name in ("file/inside", "folder", "x" * 300):
        with pytest.raises(PlatformError, match="cannot write"):
            files.write_atomic(tmp_path / name, b"new")
    with pytest.raises(PlatformError, match="cannot write wanted"):
        files.require_writable(tmp_path / "file", Path("wanted"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_full_disk_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The error names the file and its cause; the old content stays, and no temporary does."""
    path = tmp_path / "a"
    files.write_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", failing(code))
    with pytest.raises(PlatformError, match=f"{path}: {os.strerror(code)}"):
        files.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a"}
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    files.flush_folder(tmp_path)  # which a file system may not know, and that is no failure


def test_what_is_written_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes reach the disk before the name does, and the name before the return."""
    make_folder(tmp_path / "folder" / "new", "new")
    calls, replace = list[str](), Path.replace

    def flush(handle: int) -> None:
        calls.append(f"flush {Path(os.readlink(f'/proc/self/fd/{handle}')).name[:9]}")

    def rename(self: Path, target: Path) -> Path:
        calls.append(f"rename to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "replace", rename)
    files.write_atomic(tmp_path / "folder" / "a", b"new")
    assert calls == ["flush .sitegen-", "rename to a", "flush folder"]
    calls.clear()
    files.exchange(tmp_path / "folder" / "new", tmp_path / "folder" / "site")
    assert sorted(calls[:-1]) == ["flush a", "flush deep", "flush new"]
    assert calls[-1] == "flush folder"


def test_sweep_removes_only_what_dead_processes_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporaries of dead processes go; those of living ones and of another host stay."""
    host, pid = files.host_id(), os.getpid()
    dead = f".sitegen-tmp-{host}-999999999-123-abc"
    (tmp_path / dead / "deep").mkdir(parents=True)
    (tmp_path / f"{dead}0").write_bytes(b"")
    reborn = tmp_path / f".sitegen-tmp-{host}-{pid}-1-abc"  # our number, but another start
    reborn.symlink_to(tmp_path / "kept")
    mine = files.temporary_path(tmp_path)
    roots = f".sitegen-tmp-{host}-1-{files._started(1)}-0a"
    for name in (mine.name, roots, "kept", ".sitegen-tmp-notes"):
        (tmp_path / name).write_bytes(b"")
    with monkeypatch.context() as stuck:
        stuck.setattr(files, "_remove", lambda path: None)  # as a folder of somebody else's
        assert files.remove_stale_temporaries(tmp_path) == []
    gone = {dead, f"{dead}0", reborn.name}
    assert {path.name for path in files.remove_stale_temporaries(tmp_path)} == gone
    assert names(tmp_path) == {mine.name, roots, "kept", ".sitegen-tmp-notes"}
    (tmp_path / roots).unlink()
    monkeypatch.setattr(os, "kill", Mock(side_effect=PermissionError))
    (tmp_path / roots).touch()
    files.remove_stale_temporaries(tmp_path)  # a process of somebody else's lives as well
    assert roots in names(tmp_path)
    other = tmp_path / ".sitegen-tmp-0123abcd-999999999-1-abc"
    other.mkdir()
    files.remove_stale_temporaries(tmp_path)
    assert other.exists()


def test_what_is_gone_needs_no_sweeping(tmp_path: Path) -> None:
    """What is gone needs no sweeping; a lock is exclusive, names its holder, and is freed."""
    files.remove_stale_temporaries(tmp_path / "missing")
    assert files._started(999_999_999) == "0"
    files._remove(tmp_path / "missing")
    with contextlib.suppress(KeyboardInterrupt), files.temporary_folder(tmp_path) as folder:
        (folder / "a").write_bytes(b"")
        raise KeyboardInterrupt
    assert names(tmp_path) == set()
    path = tmp_path / "cache" / "lock"
    with (
        locks.lock(path),
        pytest.raises(LockedError, match=rf"process {os.getpid()} on {socket.gethostname()}\)"),
        locks.lock(path),
    ):
        pass
    with pytest.raises(FileNotFoundError), locks.lock(path):
        (tmp_path / "missing").read_bytes()
    with locks.lock(path):
        assert path.is_file()
    with pytest.raises(PlatformError, match="cannot lock"), locks.lock(path / "inside"):
        pass


@pytest.fixture(params=["one step", "two renames"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of exchanging two folders."""
    if request.param == "two renames":
        monkeypatch.setattr(files, "_exchange_names", lambda first, second: False)
    return str(request.param)


def make_folder(path: Path, text: str) -> Path:
    """A folder with a read-only file below it."""
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "a").write_text(text)
    (path / "deep" / "a").chmod(0o444)
    return path


@pytest.mark.usefixtures("way")
def test_exchange_replaces_and_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new folder takes the old one's place, also of a link; a failed one leaves the site."""
    (tmp_path / "link").symlink_to("a/site")
    for number, place in enumerate(["a/site", "a/site", "link"]):
        files.exchange(make_folder(tmp_path / "new", str(number)), tmp_path / place)
        assert (tmp_path / "a" / "site" / "deep" / "a").read_text() == str(number)
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path) | names(tmp_path / "a") == {"a", "link", "site"}
    tmp_path = tmp_path / "more"
    tmp_path.mkdir()
    current = make_folder(tmp_path / "site", "old")
    with pytest.raises(PlatformError, match="site"):
        files.exchange(tmp_path / "missing", current)
    with monkeypatch.context() as patch:
        patch.setattr(files, "flush_tree", lambda folder: None)
        with pytest.raises(PlatformError):
            files.exchange(tmp_path / "missing", current)
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(PlatformError, match="No space"):
        files.exchange(make_folder(tmp_path / "new", "new"), current)
    assert (current / "deep" / "a").read_text() == "old"
    assert names(tmp_path) == {"site", "new"}
    monkeypatch.undo()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PlatformError, match="Not a directory"):
        files.exchange(tmp_path / "new", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A device or a pipe, also behind a link, is neither read nor replaced by a file."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(PlatformError, match="is a pipe, not a file"):
            files.write_atomic(tmp_path / name, b"new")
        with pytest.raises(files.NotRegularFileError):
            files.read_file(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(PlatformError, match="is a device"):
        files.write_atomic(Path("/dev/null"), b"")
