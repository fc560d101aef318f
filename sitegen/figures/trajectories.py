"""The kind `trajectories`: independent samples in a grid, from flat to sharp."""

from __future__ import annotations

from typing import ClassVar

from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import RULES, FigureKind, Grid, counted, grid_sampler, steps
from sitegen.generative.card.card import ModelCard


@validated(frozen=True, config=RULES)
class Trajectories(Grid):
    """Independent samples in a grid, from their flat initial states to the finished images."""

    example: ClassVar[str] = '"NAME", count=36'
    plain_samples: ClassVar[bool] = True

    def describe(self, card: ModelCard) -> str:
        """Describe the number of samples, their initial states and the number of steps."""
        many = counted(self.count, self.display_name, card, self.label)
        return f"{many} forming out of {card.first_state(self.count)} over {steps(card)}"


KIND = FigureKind("trajectories", Trajectories, grid_sampler("begin"))
