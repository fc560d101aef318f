"""Freed memory is kept: the next use of as much of it touches no new page."""

import ctypes

import pytest

from sitegen.sampling import models
from tests.support.builders import run_python

PROGRAM = """
import resource
import numpy as np
from sitegen.sampling.models import keep_freed_memory

def layers():
    [np.ones(3_000_000, np.float32) for _ in range(8)]

def faults():
    layers()
    layers()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layers()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), keep_freed_memory(), faults())
"""


def test_freed_memory_is_kept() -> None:
    """96 MB that were freed are there again without a page fault, instead of thousands."""
    before, kept, after = run_python("-c", PROGRAM).stdout.split()
    assert kept == "True"
    assert int(after) < 200 < 2000 < int(before)


def test_other_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be asked for, nothing happens."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert models.keep_freed_memory() is False
