"""Freed memory is kept: the next use of as much of it touches no new page."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from sitegen.sampling import memory
from tests.support.builders import environment
from tests.support.paths import ROOT

PROGRAM = """
import resource, sys
import numpy as np
from sitegen.sampling.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def layers():
    [np.ones(3_000_000, np.float32) for _ in range(8)]

layers()
layers()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
layers()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(argument: str) -> int:
    """How many pages a process asks the system for, after it has had and freed as many."""
    command = [sys.executable, "-c", PROGRAM, argument]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment()
    )
    return int(done.stdout)


def test_freed_memory_is_kept() -> None:
    """96 MB that were freed are there again without a page fault, instead of thousands."""
    assert faults("keep") < 200 < 2000 < faults("not")


def test_other_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be asked for, nothing happens."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert memory.keep_freed_memory() is False
