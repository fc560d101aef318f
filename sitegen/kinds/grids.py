"""Grids of samples: independent ones, and ones that share their initial state."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field, StrictInt, ValidationInfo
from pydantic import field_validator as check
from pydantic.dataclasses import dataclass as validated

from sitegen.kinds.base import RULES, Fps, Model, NoiseStd, Seed, Show, Spec, counted


@validated(frozen=True, config=RULES)
class Grid(Spec):
    """Samples in rows, from their flat initial states to the finished images."""

    model: Model
    count: StrictInt = Field(default=36, ge=1, le=10_000, description="How many samples.")
    columns: StrictInt | None = Field(
        default=None,
        ge=1,
        validate_default=True,
        description="Samples in a row; a square if not given.",
    )
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None
    fps: Fps = None

    @check("columns")
    @classmethod
    def _fit(cls, columns: int | None, info: ValidationInfo) -> int | None:
        """Fill in the number of columns, so that two ways to write a grid are one figure."""
        count = info.data.get("count")
        if columns is None or count is None:
            return columns if count is None else math.ceil(math.sqrt(count))
        if columns > count:
            raise ValueError(f"should be at most the count, {count}")
        return columns

    @property
    def models(self) -> tuple[str, ...]:
        """The one model that is sampled."""
        return (self.model,)


@validated(frozen=True, config=RULES)
class Trajectories(Grid):
    """Independent samples in a grid, from their flat initial states to the finished images."""

    example: ClassVar[str] = '"NAME", count=36'

    def describe(self, levels: int, subject: str = "") -> str:
        """Say how many samples form, and over how many steps."""
        many = counted(self.count, self.model, subject)
        flat = "flat squares" if self.count > 1 else "a flat square"
        return f"{many} forming out of {flat} over {steps(levels)}"


@validated(frozen=True, config=RULES)
class SharedInitialState(Grid):
    """Samples in a grid that all begin from one flat state, and differ by their noise alone."""

    example: ClassVar[str] = '"NAME", count=96, columns=9, show="mean"'

    def describe(self, levels: int, subject: str = "") -> str:
        """Say how many samples grow out of the one state, and over how many steps."""
        many = counted(self.count, self.model, subject)
        return f"{many} forming out of one and the same flat square over {steps(levels)}"


def steps(levels: int) -> str:
    """The number of steps in words."""
    return f"{levels} steps" if levels > 1 else "one step"
