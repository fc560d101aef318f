"""The sentence about smoothness says what was measured, whichever way it falls."""

from __future__ import annotations

import numpy as np
import pytest

from sitegen.drawings.smoothness import summary
from sitegen.smoothness import Evenness


def measured(peak: float, scatter: float = 0.01) -> Evenness:
    """Twenty paths with about that peak."""
    peaks = peak + scatter * np.linspace(-1, 1, 20)
    return Evenness(peaks, peaks, np.ones((20, 3)))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (1.2, 1.9, "are smoother than those of DDPM"),
        (1.9, 1.2, "are less smooth than those of DDPM"),
        (1.5, 1.5, "are not shown to be smoother or less smooth than those of DDPM"),
    ],
)
def test_verdict(first: float, second: float, words: str) -> None:
    """By the interval of the paired differences."""
    found = {"IHDM": measured(first), "DDPM": measured(second, -0.2)}
    text = summary(found)
    assert words in text
    assert f"is {first:.2f} [" in text
    assert "times the mean step for IHDM and" in text
