"""What a build needs of a reporter, and how it tells times."""

from __future__ import annotations

import pytest

from sitegen.cli.console import Console
from sitegen.core.progress import Reporter, duration
from tests.support.reporters import Silent


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (99.6, "2 min"), (6000, "1 h 40 min"), (6301, "1 h 45 min")],
)
def test_duration(seconds: float, words: str) -> None:
    """Seconds for people: in seconds, minutes or hours."""
    assert duration(seconds) == words


def test_both_are_reporters() -> None:
    """The type checker proves it; this keeps it in sight."""
    reporters: list[Reporter] = [Silent(), Console(quiet=True)]
    assert [reporter.warnings for reporter in reporters] == [0, 0]
