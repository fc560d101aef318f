"""The main path stays short, so that a newcomer can follow it."""

import re

from bench.walk import LIMITS
from tests.support.builders import run_python


def test_the_main_path_does_not_grow() -> None:
    """Builds, `count` and a checkpoint in `add` run through no more files than their limits."""
    done = run_python("-m", "bench.walk", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    walks = dict(re.findall(r"^(\w+): (\d+) files, \d+ functions", done.stdout, re.MULTILINE))
    assert walks.keys() == LIMITS.keys()
    assert all(int(files) > 5 for files in walks.values())  # something was traced
