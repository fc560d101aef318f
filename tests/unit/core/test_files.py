"""Files: a reader sees the old content or the new, whatever kills the writer or fills the disk."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitegen.core import files
from sitegen.core.errors import LockedError, PlatformError

KILL_AT = """
import os, pathlib, signal, sys
from sitegen import files
calls = 0
def deadly(function):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call
os.fsync = deadly(os.fsync)
pathlib.Path.replace = deadly(pathlib.Path.replace)
pathlib.Path.unlink = deadly(pathlib.Path.unlink)
"""
HOLD = """
import sys, time
from pathlib import Path
from sitegen import files
with files.lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
READ = """
import os, sys
print("reading", flush=True)
while not os.path.exists(sys.argv[2]):
    open(sys.argv[1]).close()
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run Python code in another process."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, check=False, timeout=30)


def failing(code: int) -> Callable[[int], None]:
    """A flush that fails as a full or broken disk does."""

    def fail(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def dead_process() -> int:
    """The number of a process that is gone."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


@given(st.binary())
def test_digest_of_bytes_is_sha256(data: bytes) -> None:
    """The digest is the one that every other tool computes."""
    assert files.digest_bytes(data) == hashlib.sha256(data).hexdigest()


def test_digest_of_file_equals_digest_of_its_bytes(tmp_path: Path) -> None:
    """Reading in pieces changes nothing, across more than one piece."""
    data = os.urandom(3_000_001)
    (tmp_path / "a").write_bytes(data)
    assert files.digest(tmp_path / "a") == files.digest_bytes(data)


def test_write_makes_folders_and_content(tmp_path: Path) -> None:
    """A new file appears with its content, in folders that did not exist, and nothing else."""
    path = tmp_path / "a" / "b.txt"
    assert files.write_atomic(path, b"one")
    assert path.read_bytes() == b"one"
    assert [each.name for each in path.parent.iterdir()] == ["b.txt"]


def test_equal_content_touches_nothing(tmp_path: Path) -> None:
    """Writing what is there already returns False and leaves even the times alone."""
    path = tmp_path / "a"
    files.write_atomic(path, b"same")
    os.utime(path, ns=(1, 1))
    before = [(each.stat().st_ino, each.stat().st_mtime_ns) for each in (path, tmp_path)]
    assert not files.write_atomic(path, b"same")
    assert [(each.stat().st_ino, each.stat().st_mtime_ns) for each in (path, tmp_path)] == before


def test_permissions_follow_the_umask_or_stay(tmp_path: Path) -> None:
    """A new file is as readable as any other; an existing one keeps its permissions."""
    plain, path = tmp_path / "plain", tmp_path / "a"
    plain.write_bytes(b"")
    files.write_atomic(path, b"one")
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    files.write_atomic(path, b"two")
    assert path.stat().st_mode & 0o777 == 0o640


def test_symbolic_link_is_written_through(tmp_path: Path) -> None:
    """A link to a file stays a link, and the file gets the content."""
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    files.write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_full_disk_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The error names the file and its cause; the old content stays, and no temporary does."""
    path = tmp_path / "a"
    files.write_atomic(path, b"old")
    monkeypatch.setattr(os, "fsync", failing(code))
    with pytest.raises(PlatformError, match=str(path)) as caught:
        files.write_atomic(path, b"new")
    assert os.strerror(code) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["file/inside", "folder", "x" * 300])
def test_impossible_path_is_a_platform_error(tmp_path: Path, name: str) -> None:
    """A file for a folder, a folder for a file, a name too long: no traceback."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PlatformError, match="cannot write"):
        files.write_atomic(tmp_path / name, b"new")


def record_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what is flushed, by name, and what is renamed, in order."""
    calls: list[str] = []
    flush, replace = os.fsync, Path.replace

    def noted_flush(handle: int) -> None:
        calls.append(f"flush {Path(os.readlink(f'/proc/self/fd/{handle}')).name[:9]}")
        flush(handle)

    def noted_replace(self: Path, target: Path) -> Path:
        calls.append(f"rename to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(Path, "replace", noted_replace)
    return calls


def test_write_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes reach the disk before the name does, and the name before the return."""
    (tmp_path / "folder").mkdir()
    calls = record_calls(monkeypatch)
    files.write_atomic(tmp_path / "folder" / "a", b"new")
    assert calls == ["flush .sitegen-", "rename to a", "flush folder"]


def test_exchange_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file and folder of the new site reaches the disk before it takes its place."""
    (tmp_path / "out").mkdir()
    make_folder(tmp_path / "out" / "new", "new")
    calls = record_calls(monkeypatch)
    files.exchange(tmp_path / "out" / "new", tmp_path / "out" / "site")
    assert sorted(calls[:-1]) == ["flush a", "flush deep", "flush new"]
    assert calls[-1] == "flush out"


@pytest.mark.parametrize("call", [1, 2, 3])
def test_kill_leaves_old_or_new(tmp_path: Path, call: int) -> None:
    """Killed at the flush, the rename or the clean-up: old or new content, and sweep clears up."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    code = KILL_AT + "files.write_atomic(pathlib.Path(sys.argv[2]), b'new')"
    assert run(code, call, path).returncode == -signal.SIGKILL
    assert path.read_bytes() == (b"old" if call < 3 else b"new")
    files.sweep(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_sweep_removes_only_what_dead_processes_left(tmp_path: Path) -> None:
    """Ours, a stranger's file and a living process's temporary stay; files and folders go."""
    dead = f".sitegen-tmp-{dead_process()}-123-abc"
    reborn = f".sitegen-tmp-{os.getpid()}-1-abc"  # our number, but another start
    (tmp_path / dead / "deep").mkdir(parents=True)
    (tmp_path / f"{dead}0").write_bytes(b"")
    (tmp_path / reborn).symlink_to(tmp_path / "kept")
    mine = files.temporary_path(tmp_path)
    for path in (mine, tmp_path / "kept", tmp_path / ".sitegen-tmp-notes"):
        path.write_bytes(b"")
    files.sweep(tmp_path)
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {mine.name, "kept", ".sitegen-tmp-notes"}
    files.temporary_path(tmp_path).mkdir()
    files.sweep(tmp_path, leaving=True)
    assert {each.name for each in tmp_path.iterdir()} == {"kept", ".sitegen-tmp-notes"}


def test_sweep_of_nothing_is_quiet(tmp_path: Path) -> None:
    """A folder that is not there needs no sweeping."""
    files.sweep(tmp_path / "missing")


def test_temporary_folder_is_gone_after_an_error(tmp_path: Path) -> None:
    """The folder lives for the block only."""

    def fail() -> None:
        with files.temporary_folder(tmp_path) as folder:
            (folder / "a").write_bytes(b"")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_lock_is_exclusive_and_names_the_holder(tmp_path: Path) -> None:
    """A second holder, even in this process, is told who has it; afterwards it is free."""
    path = tmp_path / "cache" / "lock"
    with (
        files.lock(path),
        pytest.raises(LockedError, match=rf"process {os.getpid()}\b"),
        files.lock(path),
    ):
        pass
    with files.lock(path):
        pass
    assert path.is_file()


def test_lock_is_free_after_kill(tmp_path: Path) -> None:
    """Kill -9 of the holder frees the lock at once, with no clean-up by anybody."""
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=rf"process {holder.pid}\b"), files.lock(path):
            pass
        holder.kill()
        holder.wait()
    started = time.monotonic()
    with files.lock(path):
        assert time.monotonic() - started < 1


def test_lock_is_freed_by_an_error(tmp_path: Path) -> None:
    """An exception in the block releases the lock and passes through, even an OSError."""
    path = tmp_path / "lock"
    with pytest.raises(FileNotFoundError), files.lock(path):
        (tmp_path / "missing").read_bytes()
    with files.lock(path):
        pass


def test_lock_that_cannot_be_made(tmp_path: Path) -> None:
    """A lock inside a file is a PlatformError with the path."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PlatformError, match="cannot lock"), files.lock(tmp_path / "file" / "lock"):
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
def test_exchange_replaces_and_removes(tmp_path: Path) -> None:
    """The new folder takes the old one's place; the old content is gone."""
    current = make_folder(tmp_path / "site", "old")
    files.exchange(make_folder(tmp_path / "new", "new"), current)
    assert (current / "deep" / "a").read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["site"]


def test_exchange_into_nothing(tmp_path: Path) -> None:
    """The first build has nothing to replace, and its parent may be missing."""
    current = tmp_path / "a" / "site"
    files.exchange(make_folder(tmp_path / "new", "new"), current)
    assert (current / "deep" / "a").read_text() == "new"


def test_exchange_through_a_link(tmp_path: Path) -> None:
    """An output that is a link to a folder stays one."""
    make_folder(tmp_path / "real", "old")
    (tmp_path / "site").symlink_to("real")
    files.exchange(make_folder(tmp_path / "new", "new"), tmp_path / "site")
    assert (tmp_path / "site").is_symlink()
    assert (tmp_path / "real" / "deep" / "a").read_text() == "new"


@pytest.mark.usefixtures("way")
def test_failed_exchange_leaves_the_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the new folder cannot be flushed or is not there, the old one is untouched."""
    current = make_folder(tmp_path / "site", "old")
    with pytest.raises(PlatformError, match="site"):
        files.exchange(tmp_path / "missing", current)
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(PlatformError, match="No space"):
        files.exchange(make_folder(tmp_path / "new", "new"), current)
    assert (current / "deep" / "a").read_text() == "old"


def test_second_rename_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where folders cannot be exchanged in one step, a failure half way is undone."""
    monkeypatch.setattr(files, "_exchange_names", lambda first, second: False)
    monkeypatch.setattr(files, "flush_tree", lambda folder: None)
    current = make_folder(tmp_path / "site", "old")
    with pytest.raises(PlatformError):
        files.exchange(tmp_path / "missing", current)
    assert (current / "deep" / "a").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["site"]


def test_exchange_with_a_file_is_refused(tmp_path: Path) -> None:
    """A file in the place of the site is not replaced by a folder."""
    (tmp_path / "site").write_text("mine")
    with pytest.raises(PlatformError, match="Not a directory"):
        files.exchange(make_folder(tmp_path / "new", "new"), tmp_path / "site")
    assert (tmp_path / "site").read_text() == "mine"


def test_reader_never_misses_the_site(tmp_path: Path) -> None:
    """A process that opens the site over and over finds it whole during 60 exchanges."""
    current, stop = make_folder(tmp_path / "site", "0"), tmp_path / "stop"
    command = [sys.executable, "-c", READ, str(current / "deep" / "a"), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"reading\n"
        for number in range(60):
            files.exchange(make_folder(tmp_path / "new", str(number)), current)
        stop.write_bytes(b"")
    assert process.returncode == 0
