"""The kind `interpolation`: from one sample to another and back, in rows with DDPM and DDIM.

The arguments are here and need no torch; `sample` computes the paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field, StrictInt
from pydantic import field_validator as check
from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import (
    RULES,
    DdimSteps,
    FigureKind,
    Fps,
    NoiseStd,
    Seed,
    sampler_in,
)
from sitegen.figures.compared import ComparedSpec, points_faults
from sitegen.figures.constants import COLOURS, FILM, LABELS, METHODS, NARROW, STILLS
from sitegen.figures.selection import ChosenFrom, selection_note
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.recorded import RecordingConfig

FIRST = (0, 1)
"""Default samples at the ends of a path."""

Sample = Annotated[StrictInt, Field(ge=0, lt=2**31)]


@validated(frozen=True, config=RULES)
class Interpolation(ComparedSpec):
    """Paths from one sample to another and back; a DDPM that is named has its own beside them."""

    recipe: ClassVar[int] = 3
    example: ClassVar[str] = '"NAME", points=60'
    needs: ClassVar[tuple[Ability, ...]] = ("paths",)
    constants: ClassVar[tuple[str, ...]] = (
        FILM,
        STILLS,
        COLOURS,
        LABELS,
        NARROW,
        METHODS,
        f"{__name__}.look",
    )

    samples: tuple[Sample, ...] = Field(
        default=FIRST,
        description="The samples of the seed that the rows begin and end with, two a row.",
    )
    chosen_from: ChosenFrom = None
    points: StrictInt = Field(
        default=110,
        ge=2,
        le=1000,
        description="Images on the way from one to the other, with both.",
    )
    hold: StrictInt = Field(
        default=10, ge=0, le=600, description="Frames for which each end is held."
    )
    seed: Seed = 0
    ddim_steps: DdimSteps = 20
    sampling_noise_std: NoiseStd = None
    fps: Fps = 30.0

    @check("samples")
    @classmethod
    def _pairs(cls, samples: tuple[int, ...]) -> tuple[int, ...]:
        same = any(samples[at] == samples[at + 1] for at in range(0, len(samples) - 1, 2))
        if not samples or len(samples) % 2 or same:
            raise ValueError("should be two different samples for each row, as in [0, 1]")
        return samples

    @property
    def unkeyed(self) -> frozenset[str]:
        """Unkeyed fields, with `chosen_from`."""
        return super().unkeyed | {"chosen_from"}

    @property
    def choice(self) -> str:
        """Return a sentence that the samples were chosen; the first two do not count as chosen."""
        return selection_note(None if self.samples == FIRST else self.samples, self.chosen_from)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The samples that each row begins and ends with."""
        return tuple(zip(self.samples[::2], self.samples[1::2], strict=True))

    @property
    def images(self) -> int:
        """Number of points of all rows."""
        return self.points * len(self.pairs)

    def pixels(self, card: ModelCard) -> int:
        """Panels of some 300 pixels, there and back."""
        side = max(300, card.image_size)
        return 2 * (self.points + self.hold) * len(self.pairs) * (3 if self.ddpm else 1) * side**2

    @classmethod
    def recorded_example(cls, recording: RecordingConfig) -> str:
        """Return a call with the points of the recorded paths."""
        return f'"NAME", points={recording.positions}'

    def recorded_faults(self, recording: RecordingConfig) -> Iterator[str]:
        """Paths other than those that were recorded."""
        return points_faults(self, self.points, self.pairs, recording)

    def describe(self, card: ModelCard) -> str:
        """Describe the samples at the ends, and the panels."""
        rows = len(self.pairs)
        many = f"{rows} samples change into others" if rows > 1 else "a sample changes into another"
        where = f"With {self.named(card)} {many} and back"
        if self.ddpm:
            where = f"Three panels side by side: in each {many} and back, with {self.named(card)}, "
            where += f"with the full latent of the DDPM {self.ddpm}, and with DDIM"
        return f"{where}, in {self.points} images"


KIND = FigureKind("interpolation", Interpolation, sampler_in(__name__))
