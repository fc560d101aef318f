"""The kind `shared_initial_state`: many samples that begin from one flat state."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, StrictFloat
from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import RULES, FigureKind, Grid, counted, grid_sampler, steps
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard


@validated(frozen=True, config=RULES)
class SharedInitialState(Grid):
    """Samples in a grid that all begin from one flat state, and differ by their noise alone.

    A process without noise on the way makes one picture of one state; `around` then chooses states
    around the first.
    """

    example: ClassVar[str] = '"NAME", count=96, columns=9, show="mean"'
    needs: ClassVar[tuple[Ability, ...]] = ("fan",)

    around: StrictFloat | None = Field(
        default=None,
        gt=0,
        le=1.6,
        description=(
            "The angle in radians between the first initial state and each of the others, for a "
            "model in which nothing is random after the start."
        ),
    )

    @property
    def needs_of_models(self) -> tuple[tuple[Ability, ...], ...]:
        """Gaussian initial states if they are chosen around the first."""
        return (self.needs if self.around is None else ("around",),)

    @property
    def unkeyed(self) -> frozenset[str]:
        """Unkeyed fields, with `around` if it is not given."""
        return super().unkeyed | (frozenset() if self.around is not None else {"around"})

    def remedy(self, card: ModelCard) -> str:
        """Advise initial states around the first, where the process has them."""
        return "give around=0.5, the angle between initial states" * ("around" in card.abilities)

    def method(self, card: ModelCard) -> str:
        """Say how initial states were chosen around the first."""
        if self.around is None:
            return ""
        return (
            "Nothing is random after the start: the first picture has the initial state z, each "
            f"other one cos θ z + sin θ z′ with a z′ of its own and θ = {self.around:g}."
        )

    def describe(self, card: ModelCard) -> str:
        """Describe the number of samples, their initial state and the number of steps."""
        many = counted(self.count, self.display_name, card, self.label)
        start = card.first_state(1).removeprefix("a ")
        if self.around is not None:
            return (
                f"{many} forming out of {start} over {steps(card)}; the initial state of each but "
                f"the first is at an angle of {self.around:g} radians to that of the first"
            )
        return f"{many} forming out of one and the same {start} over {steps(card)}"


KIND = FigureKind("shared_initial_state", SharedInitialState, grid_sampler("fan"))
