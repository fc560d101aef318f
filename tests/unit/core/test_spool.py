"""A spool gives back what was added, from memory or from a file, and leaves nothing behind."""

import os
import tempfile
from pathlib import Path

import pytest

from sitegen.core import files as spool
from sitegen.core.errors import PlatformError
from sitegen.core.files import Spool

PARTS = [b"", b"one", bytes(1000), b"two" * 7]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files of no name would be."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("room", [10, 10_000])
def test_read_in_any_order(room: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is added and read in between, each part stays what it was; no file has a name."""
    monkeypatch.setattr(spool, "IN_MEMORY", room)
    kept, places = Spool(), list[tuple[int, int]]()
    for part in PARTS:
        places.append(kept.add(memoryview(part)))
        assert [kept.read(place) for place in places] == PARTS[: len(places)]
    assert [kept.read(place) for place in reversed(places)] == PARTS[::-1]
    assert list(folder.iterdir()) == []


def test_closed_when_it_is_gone() -> None:
    """The file goes with the object, or when it is told."""
    first, second = Spool(), Spool()
    first.close()
    assert not first.close.alive
    closing = second.close
    del second
    assert not closing.alive


def test_full_disk(folder: Path) -> None:
    """A full disk is told, with the folder; nothing is kept then that could be read."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        kept = Spool()
        kept._file._file = full
        with pytest.raises(PlatformError, match=f"cannot write {folder}: .*{os.strerror(28)}"):
            kept.add(b"more")
