"""The kind `trajectories`: independent samples in a grid, from flat to sharp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic.dataclasses import dataclass

from sitegen.figures.arguments import RULES
from sitegen.figures.base import Figure, GridKind, counted, steps
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.media.manifest import RenderJob
    from sitegen.sampling.provider import ModelProvider


@dataclass(frozen=True, config=RULES)
class Trajectories(GridKind):
    """Independent samples in a grid, from their flat initial states to the finished images."""

    example: ClassVar[str] = '"NAME", count=36'

    def sample(self, models: ModelProvider, figure: Figure) -> RenderJob:
        """Return the job of samples that share nothing."""
        from sitegen.figures.clips import displayed, grid_job, noise_std_of

        sampler = self.sampler(models)
        numbers, columns = self.cells(sampler.card)
        trajectory = sampler.begin(self.seed, numbers, noise_std_of(self, sampler.card))
        states = displayed(trajectory, self.show)
        return grid_job(figure, sampler.card, columns, states, samples=numbers, plain=True)

    def describe(self, cards: Sequence[ModelCard]) -> str:
        """Describe the number of samples, their initial state and the number of steps."""
        samples = counted(self, self.slots(cards[0]), cards[0])
        start = cards[0].first_state(several=self.count > 1)
        return f"{samples} forming out of {start} over {steps(cards[0])}"
