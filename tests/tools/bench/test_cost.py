"""The cost benchmark measures what it says: time, the memory of a whole tree, and failures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.cost import copy_site, run

HOLD = "held = b'x' * 80_000_000; import time; time.sleep(0.3)"


def test_time_and_memory_of_children_count(tmp_path: Path) -> None:
    """A child that holds 80 MB for 0.3 s is seen in time and memory of its parent's run."""
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"
    found = run([sys.executable, "-c", parent], tmp_path)
    assert found.seconds > 0.3
    assert 80_000_000 < found.peak_bytes < 200_000_000


def test_a_failing_command_is_not_a_measurement(tmp_path: Path) -> None:
    """Its exit code and words are told."""
    with pytest.raises(SystemExit, match=r"exit 3\nbroken"):
        run([sys.executable, "-c", "print('broken'); raise SystemExit(3)"], tmp_path)


def test_the_copied_site_has_as_many_samples_as_asked(tmp_path: Path) -> None:
    """Every clip of the copy has the count; the site is this repository's own."""
    copy_site(tmp_path / "site", 360)
    text = (tmp_path / "site" / "pages" / "index.md").read_text()
    assert 'trajectories("mnist", count=360' in text
    assert (tmp_path / "site" / "site.toml").is_file()
