"""The silent reporter keeps what it is told, and is what a build needs."""

from __future__ import annotations

import pytest

from sitegen.cli.console import Console
from sitegen.core.progress import Reporter, Silent, duration


def test_silent() -> None:
    """Lines are kept in their order, warnings counted."""
    silent = Silent()
    silent.note("a note")
    with silent.rendering("x", 3) as advance:
        advance()
        silent.warn("careful")
    assert silent.lines == ["a note", "x: 3 steps", "warning: careful"]
    assert silent.warnings == 1


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
