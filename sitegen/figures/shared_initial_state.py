"""The kind `shared_initial_state`: many samples that begin from one flat state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, StrictFloat
from pydantic.dataclasses import dataclass

from sitegen.figures.arguments import RULES
from sitegen.figures.base import Figure, GridKind, counted, lacking, steps
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider


@dataclass(frozen=True, config=RULES)
class SharedInitialState(GridKind):
    """Samples in a grid that all begin from one flat state, and differ by their noise alone.

    A process without noise on the way makes one picture of one state; `around` then chooses states
    around the first.
    """

    # The paper's own page has 96 samples in 9 columns, too.
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

    def unmet(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Several samples from one state, or Gaussian states if they are chosen around it."""
        no_fan = lacking(self.model, cards[0], self.needs)
        for fault in super().unmet(cards):
            if fault != no_fan:
                yield fault
            elif self.around is None:
                around = "around" in cards[0].abilities
                advice = "; give around=0.5, the angle between initial states"
                yield fault + (advice if around else "")
        if self.around is not None and (fault := lacking(self.model, cards[0], ("around",))):
            yield fault

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job of samples from the first one's state, or around it."""
        from sitegen.figures.clips import displayed, grid_job, noise_std_of

        sampler, note = self.sampler(models), ""
        numbers, columns = self.cells(sampler.card)
        if self.around is None:
            noise_std = noise_std_of(self, sampler.card)
            trajectory = sampler.fan(self.seed, numbers, noise_std)
        else:
            trajectory = sampler.around(self.seed, numbers, self.around)
            note = (
                "Nothing is random after the start: the first picture has the initial state z, "
                f"each other one cos θ z + sin θ z′ with a z′ of its own and θ = {self.around:g}."
            )
        states = displayed(trajectory, self.show)
        return grid_job(figure, sampler.card, columns, states, samples=numbers, note=note)

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the number of samples, their initial state and the number of steps."""
        samples, card = counted(self, self.slots(cards[0]), cards[0]), cards[0]
        start = card.first_state().removeprefix("a ")
        if self.around is not None:
            return (
                f"{samples} forming out of {start} over {steps(card)}; the initial state of each "
                f"but the first is at an angle of {self.around:g} radians to that of the first"
            )
        return f"{samples} forming out of one and the same {start} over {steps(card)}"
