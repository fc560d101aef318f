"""A kill or an error while the built folder is replaced costs nobody the site."""

import ctypes
import errno
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from sitegen.core import files
from sitegen.core.errors import ConfigError, PlatformError
from tests.support.builders import INDEX, Builder, run_python, temporaries, write_page

KILLED = """
import os, pathlib, signal, sys
import sitegen.core.files as files
from tests.support.builders import Builder
calls = 0
rename = pathlib.Path.rename
def deadly(path, target):
    global calls
    calls += 1
    if calls == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)
files._exchange_names = lambda *_: False
pathlib.Path.rename = deadly
Builder(pathlib.Path(sys.argv[2]))()
"""


def two_folders(parent: Path) -> None:
    """A new folder and the one in whose place it shall be, each with its name in a file."""
    for name in ("new", "site"):
        (parent / name).mkdir()
        (parent / name / "a").write_text(name)


def test_a_site_that_a_kill_left_aside_is_put_back(built: Builder, tmp_path: Path) -> None:
    """Killed between two renames, the site comes back first, though the next build fails."""
    before, seen = built.site_hash(), set()
    write_page(built.config, "Other words.\n")
    built()
    whole = {before, built.site_hash()}
    write_page(built.config, INDEX)
    built()
    for moment in (1, 2, 3):
        write_page(built.config, "Other words.\n")
        done = run_python("-c", KILLED, str(moment), str(built.config))
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        seen.add(built.output.exists())
        write_page(built.config, "{{ nothing }}\n")
        with pytest.raises(ConfigError):
            built()
        assert built.site_hash() in whole
        write_page(built.config, INDEX)
        built()
        assert built.site_hash() == before
        assert temporaries(tmp_path) == []
        assert {path.name for path in built.root.iterdir() if path.name[0] == "."} == {".sitegen"}
    assert seen == {True, False}


@pytest.mark.parametrize(("moment", "stays"), [(1, "site"), (2, "new")])
def test_interrupted_between_two_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int, stays: str
) -> None:
    """Ctrl-C as a rename returns leaves the old folder or the new one, under its name."""
    two_folders(tmp_path)
    rename, calls = Path.rename, iter(range(1, 9))

    def interrupted(path: Path, target: Path) -> Path:
        done = rename(path, target)
        if next(calls) == moment:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(files, "_exchange_names", lambda *_: False)
    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.exchange(tmp_path / "new", tmp_path / "site")
    assert (tmp_path / "site/a").read_text() == stays
    files.restore_backup(tmp_path / "site")
    assert (tmp_path / "site/a").read_text() == stays


def test_an_exchange_that_is_not_permitted_is_made_by_renames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a filter of calls answers EPERM to the exchange of two names, two renames do."""
    two_folders(tmp_path)

    def refused(*_: object) -> int:
        ctypes.set_errno(errno.EPERM)
        return -1

    library = SimpleNamespace(renameat2=refused)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    files.exchange(tmp_path / "new", tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert (tmp_path / "site/a").read_text() == "new"


def test_what_was_replaced_cannot_have_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the last of three renames fails the new folder is there, and the old one goes."""
    two_folders(tmp_path)
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if target == tmp_path / "new":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(path, target)

    monkeypatch.setattr(files, "_exchange_names", lambda *_: False)
    monkeypatch.setattr(Path, "rename", failing)
    files.exchange(tmp_path / "new", tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert (tmp_path / "site/a").read_text() == "new"


def test_error_after_the_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk after the folders were exchanged does not say that they were not."""
    two_folders(tmp_path)

    def failing(folder: Path) -> None:
        if folder == tmp_path:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "flush_folder", failing)
    with pytest.raises(PlatformError, match=r"is in place.*Input/output error") as told:
        files.exchange(tmp_path / "new", tmp_path / "site")
    assert "cannot replace" not in str(told.value)
    assert (tmp_path / "site/a").read_text() == "new"
