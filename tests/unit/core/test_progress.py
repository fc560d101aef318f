"""The silent reporter keeps what it is told; durations are told in words."""

from __future__ import annotations

import pytest

from sitegen.core.progress import Silent, duration


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
