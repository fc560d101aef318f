"""How a reporter tells times."""

from __future__ import annotations

import pytest

from sitegen.core.progress import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (99.6, "2 min"), (6000, "1 h 40 min"), (6301, "1 h 45 min")],
)
def test_duration(seconds: float, words: str) -> None:
    """Seconds for people: in seconds, minutes or hours."""
    assert duration(seconds) == words
