"""A number and a checkpoint pass few files on their way, so that a newcomer can follow them."""

import re

from bench.walk import LOADING, Walk
from tests.support.builders import run_python


def test_the_main_path_does_not_grow() -> None:
    """Neither `count` nor a checkpoint passes more files or functions, or is opened more often."""
    done = run_python("-m", "bench.walk", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    walks = re.findall(r"^(\w+): (\d+) files, \d+ functions", done.stdout, re.MULTILINE)
    assert [name for name, _ in walks] == ["count", "add", "checkpoint"]
    assert all(int(files) > 5 for _, files in walks)  # something was traced


def test_a_walk_over_its_limits() -> None:
    """More files, more functions or another open of the checkpoint is over the limit.

    So are too many files before weights are loaded; what comes after counts among all files.
    """
    steps = tuple((f"file{n}.py", "function") for n in range(12))
    assert not Walk("checkpoint", steps, 1).over
    assert Walk("checkpoint", steps, 2).over
    assert Walk("checkpoint", (*steps, ("more.py", "function")), 1).over
    assert Walk("checkpoint", steps[:1] * 60, 1).over
    before = [(f"file{n}.py", "function") for n in range(14)]
    assert not Walk("add", (*before[:13], (LOADING, "load"), before[13]), 1).over
    assert Walk("add", (*before, (LOADING, "load")), 1).over
