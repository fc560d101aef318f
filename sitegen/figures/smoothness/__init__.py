"""The kind `smoothness`: how even interpolations are, measured and drawn.

The arguments are here and need no torch; `sample` makes the paths, `measure` and `drawing` use only
arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import (
    RULES,
    DdimSteps,
    FigureKind,
    NoiseStd,
    Seed,
    sampler_in,
)
from sitegen.figures.compared import ComparedSpec, points_faults
from sitegen.figures.constants import DRAWINGS, METHODS
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.recorded import RecordingConfig


@validated(frozen=True, config=RULES)
class Smoothness(ComparedSpec):
    """How even interpolations are: the largest step over the mean step, and how long the way is."""

    recipe: ClassVar[int] = 3
    example: ClassVar[str] = '"NAME", pairs=16'
    needs: ClassVar[tuple[Ability, ...]] = ("paths",)
    constants: ClassVar[tuple[str, ...]] = (DRAWINGS, METHODS, f"{__name__}.look")

    pairs: StrictInt = Field(default=16, ge=2, le=1000, description="How many pairs of samples.")
    points: StrictInt = Field(
        default=6, ge=3, le=200, description="Images on the way from one to the other, with both."
    )
    seed: Seed = 0
    ddim_steps: DdimSteps = 20
    sampling_noise_std: NoiseStd = None

    @property
    def images(self) -> int:
        """Number of points of all pairs."""
        return self.points * self.pairs

    @classmethod
    def recorded_example(cls, recording: RecordingConfig) -> str:
        """Return a call with the points of the recorded paths."""
        points = recording.positions or 1
        return f'"NAME", pairs={recording.count // points}, points={points}'

    def recorded_faults(self, recording: RecordingConfig) -> Iterator[str]:
        """Paths other than those that were recorded."""
        pairs = [(2 * at, 2 * at + 1) for at in range(self.pairs)]
        return points_faults(self, self.points, pairs, recording)

    def describe(self, card: ModelCard) -> str:
        """Describe the plotted quantities."""
        others = " and with its DDPM and DDIM baselines" if self.ddpm else ""
        return (
            f"How even interpolations between {self.pairs} pairs of samples are, with "
            f"{self.named(card)}{others}: for each pair the largest step over the mean step, where "
            "1 is perfectly even, and the length of the way over the distance of its ends, where 1 "
            "is the straight way, with medians and their intervals"
        )


KIND = FigureKind("smoothness", Smoothness, sampler_in(__name__))
