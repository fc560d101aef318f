"""The blur of a heat dissipation model's levels, as a range or as a schedule; without torch."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated

from pydantic import Field

from sitegen.generative.card.limits import LARGEST_BLUR
from sitegen.generative.card.parts import Number, above, falls, must, table

_Pixels = Annotated[Number, Field(gt=0, le=LARGEST_BLUR)]


@table
class BlurRange:
    """Blur scales, in pixels, of levels 1 and K; those in between are evenly spaced in log."""

    sigma_min: _Pixels
    sigma_max: Annotated[_Pixels, above("sigma_min")]


@table
class BlurSchedule:
    """Blur scales σ_B,k in pixels of levels k = 0 (sharp) … K (flattest).

    `sigmas[0]` is 0 and the rest strictly increases; `sigmas[k]` is the standard deviation of the
    Gaussian that the heat equation has applied at level k (Rissanen et al. 2023, §3). Cards call
    the field `schedule`.

    Raises ConfigError for a schedule that is not finite, does not start at 0 or does not increase.
    """

    sigmas: Annotated[
        tuple[Number, ...],
        must(
            "numbers that rise from 0, the blur of the sharp image",
            lambda v: len(v) > 1 and v[0] == 0 and falls(v[::-1]),
        ),
    ] = Field(validation_alias="schedule")

    @property
    def schedule(self) -> tuple[float, ...]:
        """The blur scales, by their name in cards."""
        return self.sigmas

    @classmethod
    def log_spaced(cls, levels: int, sigma_min: float, sigma_max: float) -> BlurSchedule:
        """Return σ_B,0 = 0 and `levels` values in geometric steps, sigma_min to sigma_max."""
        span = math.log(sigma_max / sigma_min)
        steps = [i / (levels - 1) if levels > 1 else 1.0 for i in range(levels)]
        return cls((0.0, *(sigma_min * math.exp(span * step) for step in steps)))

    @cached_property
    def levels(self) -> int:
        """K, the number of steps from the flattest state to the sharp one."""
        return len(self.sigmas) - 1

    def __getitem__(self, level: int) -> float:
        return self.sigmas[level]
