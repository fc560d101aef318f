"""Folders that are made once in a test run, by whichever worker of xdist comes first."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

VARIABLE = "TESTS_SHARED"
"""Environment variable with the folder of a run, which its workers inherit."""


def begin() -> Callable[[], None]:
    """Make the folder of this run; return the function that removes it."""
    folder = tempfile.mkdtemp(prefix="sitegen-tests-")
    os.environ[VARIABLE] = folder
    return lambda: shutil.rmtree(folder, ignore_errors=True)


def once(name: str, make: Callable[[Path], Path]) -> Path:
    """Return the path that `make` returns, given an empty folder; tests do not write there."""
    root = Path(os.environ[VARIABLE])
    note = root / f"{name}.path"
    with FileLock(root / f"{name}.lock"):
        if not note.exists():
            folder = root / name
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            folder.mkdir()
            note.write_text(str(make(folder)))
    return Path(note.read_text())
