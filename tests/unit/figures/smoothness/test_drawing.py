"""The sentence about smoothness says what was measured, whichever way it falls."""

from __future__ import annotations

import numpy as np
import pytest

from sitegen.figures.smoothness.drawing import summary
from sitegen.figures.smoothness.measure import Evenness


def measured(peak: float, scatter: float = 0.01) -> Evenness:
    """Twenty paths with about that peak."""
    peaks = peak + scatter * np.linspace(-1, 1, 20)
    return Evenness(peaks, peaks, np.ones((20, 3)))


@pytest.mark.parametrize(
    ("first", "second", "of_steps", "of_ways"),
    [
        (1.2, 1.9, "IHDM is more even than DDPM.", "IHDM is straighter than DDPM."),
        (1.9, 1.2, "IHDM is less even than DDPM.", "IHDM is less straight than DDPM."),
        (1.5, 1.5, "not shown to be more even or less even", "to be straighter or less straight"),
    ],
)
def test_verdict(first: float, second: float, of_steps: str, of_ways: str) -> None:
    """By the intervals of the paired differences, of both measures."""
    found = {"IHDM": measured(first), "DDPM": measured(second, -0.2)}
    text = summary(found)
    assert of_steps in text
    assert of_ways in text
    assert text.count(f" is {first:.2f} [") == 2


def test_several_models_in_a_sentence() -> None:
    """Those that fare alike are told together."""
    others = {"DDPM": measured(1.9, -0.2), "DDIM": measured(1.8, -0.2)}
    assert "IHDM is more even than DDPM and DDIM." in summary({"IHDM": measured(1.2), **others})
    others["DDIM"] = measured(1.2, -0.2)
    text = summary({"IHDM": measured(1.2), **others})
    told = "IHDM is more even than DDPM and not shown to be more even or less even than DDIM."
    assert told in text
