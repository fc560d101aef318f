"""Input that is made by watching which lines it reaches ends in words, soon."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.builders import environment
from tests.support.sweeping import LOG, counted
from tests.support.targets import TARGETS

SECONDS = 60
LIMITS = ("-timeout=10", "-rss_limit_mb=3000", "-print_final_stats=1")

CHILD = ("sh", "-c", '"$@" || exit $?', "sh")
"""Runs a command with the peak memory of sh: libFuzzer counts what a process has of its parent."""


@pytest.mark.skipif(
    not LOG or not importlib.util.find_spec("atheris"), reason="of `make faults`, with atheris"
)
@pytest.mark.parametrize("kind", TARGETS)
def test_input_that_atheris_makes(tmp_path: Path, kind: str) -> None:
    """What coverage leads atheris to, in a sweep for a minute each: read, or refused in words."""
    options = (f"-max_total_time={SECONDS}", *LIMITS)
    done = subprocess.run(
        [*CHILD, sys.executable, "-m", "tests.support.guided", kind, str(tmp_path), *options],
        env=environment(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, (
        done.stdout[-3000:],
        done.stderr[-5000:],
        list(tmp_path.iterdir()),
    )
    tried = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    assert tried is not None
    counted("inputs that atheris made, led by coverage", int(tried[1]))
