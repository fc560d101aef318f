"""Nothing needs a function that macOS lacks."""

import ctypes
import os
import re
from pathlib import Path

import numpy as np
import pytest

from sitegen.core import compute, files, locks
from sitegen.generative.engines import choice
from sitegen.sampling.export import writing_npz

LINUX = (
    *("posix_fallocate", "posix_fadvise", "sched_getaffinity", "sched_setaffinity", "getrandom"),
    *("copy_file_range", "memfd_create", "pidfd_open", "eventfd", "splice", "fdatasync", "pipe2"),
    *("O_TMPFILE", "O_PATH", "O_DIRECT", "O_NOATIME", "getxattr", "listxattr", "setxattr"),
)
"""Names that `os` has on Linux and not on macOS."""


@pytest.fixture
def macos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what macOS has not: functions of `os` and of the C library, and /proc."""
    for name in LINUX:
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    for module, name in ((compute, "CPUINFO"), (choice, "MEMORY")):
        monkeypatch.setattr(module, name, tmp_path / "nowhere", raising=False)
    read = Path.read_text

    def read_text(path: Path, *rest: str, **more: str) -> str:
        if path.is_relative_to("/proc"):
            raise FileNotFoundError(path)
        return read(path, *rest, **more)

    monkeypatch.setattr(Path, "read_text", read_text)


def test_files_and_samples_without_linux(macos: None, tmp_path: Path) -> None:
    """Atomic writes, swaps, sweeps, locks and files of samples do without Linux's own functions."""
    path = tmp_path / "a.txt"
    files.write_atomic(path, b"one")
    assert path.read_bytes() == b"one"
    new, current = tmp_path / "new", tmp_path / "current"
    for folder in (new, current):
        folder.mkdir()
        (folder / "name").write_text(folder.name)
    files.exchange(new, current)
    assert (current / "name").read_text() == "new"
    with locks.lock(tmp_path / ".lock"):
        files.flush_folder(tmp_path)
    files.flush_tree(current)
    with files.temporary_file(tmp_path) as temporary:
        temporary.write_bytes(b"")
        files.remove_stale_temporaries(tmp_path)
        assert temporary.exists()
    with writing_npz(tmp_path / "x.npz", {"a": (3,)}, {}) as arrays:
        arrays["a"][:] = 2
    with np.load(tmp_path / "x.npz") as found:
        assert found["a"].tolist() == [2, 2, 2]


def test_no_module_names_them() -> None:
    """No module uses a name of `os` that only Linux has, without asking whether it is there."""
    package = Path(files.__file__).parents[1]
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not set(re.findall(r"\bos\.(\w+)", text)) & {*LINUX}, path
