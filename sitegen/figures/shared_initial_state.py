"""The kind `shared_initial_state`: many samples that begin from one flat state."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import RULES, FigureKind, Grid, counted, grid_sampler, steps
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.kinds import Ability


@validated(frozen=True, config=RULES)
class SharedInitialState(Grid):
    """Samples in a grid that all begin from one flat state, and differ by their noise alone."""

    example: ClassVar[str] = '"NAME", count=96, columns=9, show="mean"'
    needs: ClassVar[tuple[Ability, ...]] = ("fan",)

    def describe(self, card: ModelCard) -> str:
        """Describe the number of samples, their initial state and the number of steps."""
        many = counted(self.count, self.display_name, card.subject, self.label)
        start = card.process.start(card, 1).removeprefix("a ")
        return f"{many} forming out of one and the same {start} over {steps(card)}"


KIND = FigureKind("shared_initial_state", SharedInitialState, grid_sampler("fan"))
