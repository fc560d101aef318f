"""The words of grids: how many samples there are, and of what where the card says it."""

from __future__ import annotations

import pytest

from sitegen.figures.shared_initial_state.spec import SharedInitialState
from sitegen.figures.trajectories.spec import Trajectories


@pytest.mark.parametrize(
    ("count", "subject", "words"),
    [
        (36, "", "36 samples of the model mnist forming out of flat squares over 100 steps"),
        (36, "handwritten digits", "36 handwritten digits forming out of flat squares over 100 "),
        (1, "handwritten digits", "One sample of the model mnist forming out of a flat square "),
    ],
)
def test_trajectories(count: int, subject: str, words: str) -> None:
    """The subject takes the place of "samples of the model", but for one alone."""
    assert Trajectories("mnist", count=count).describe(100, subject).startswith(words)


def test_shared_initial_state() -> None:
    """The state is one and the same."""
    told = SharedInitialState("mnist", count=96, columns=9).describe(1, "pieces of clothing")
    assert told == "96 pieces of clothing forming out of one and the same flat square over one step"
