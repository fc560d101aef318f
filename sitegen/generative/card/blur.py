"""The blur of a heat dissipation model's levels, as a range or as a schedule; without torch."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import pairwise
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sitegen.core.errors import ConfigError
from sitegen.generative.card.limits import LARGEST_BLUR
from sitegen.generative.card.validation import PART, Incompatibilities, Number, checked

_Pixels = Annotated[Number, Field(gt=0, le=LARGEST_BLUR)]


@checked("blur")
@dataclass(frozen=True, config=PART)
class BlurRange:
    """Blur scales, in pixels, of levels 1 and K; those in between are evenly spaced in log."""

    sigma_min: _Pixels
    sigma_max: _Pixels

    def incompatibilities(self) -> Incompatibilities:
        """Yield a range that does not increase."""
        if self.sigma_min > self.sigma_max:
            yield "sigma_max", f"must be at least sigma_min, {self.sigma_min:g}"


@checked("blur schedule")
@dataclass(frozen=True, config=PART)
class BlurSchedule:
    """Blur scales σ_B,k in pixels of levels k = 0 (sharp) … K (flattest).

    `sigmas[0]` is 0 and the rest strictly increases; `sigmas[k]` is the standard deviation of the
    Gaussian that the heat equation has applied at level k (Rissanen et al. 2023, §3). Cards call
    the field `schedule`.

    Raises ConfigError for a schedule that is not finite, does not start at 0 or does not increase.
    """

    sigmas: tuple[Number, ...] = Field(validation_alias="schedule")

    def incompatibilities(self) -> Incompatibilities:
        """Yield schedules that do not start at 0 or do not strictly increase."""
        if len(self.sigmas) < 2:
            yield "schedule", "needs level 0 and at least one more level"
        elif self.sigmas[0] != 0:
            yield "schedule", "level 0 is the sharp image, so must be 0"
        for level, (below, here) in enumerate(pairwise(self.sigmas), 1):
            if not here > below:
                words = f"level {level} has {here:g}, which is not above {below:g}; blur scales"
                yield "schedule", f"{words} must increase from 0 to the flattest level"
                return

    @property
    def schedule(self) -> tuple[float, ...]:
        """The blur scales, by their name in cards."""
        return self.sigmas

    @classmethod
    def log_spaced(cls, levels: int, sigma_min: float, sigma_max: float) -> BlurSchedule:
        """Return σ_B,0 = 0 and `levels` values in geometric steps, sigma_min to sigma_max."""
        if levels < 1:
            raise ConfigError(f"levels must be at least 1, not {levels}")
        if not 0 < sigma_min < math.inf or not sigma_min <= sigma_max < math.inf:
            raise ConfigError(
                "blur scales must be finite with 0 < sigma_min <= sigma_max, "
                f"not {sigma_min} and {sigma_max}"
            )
        span = math.log(sigma_max / sigma_min)
        steps = [i / (levels - 1) if levels > 1 else 1.0 for i in range(levels)]
        return cls((0.0, *(sigma_min * math.exp(span * step) for step in steps)))

    @cached_property
    def levels(self) -> int:
        """K, the number of steps from the flattest state to the sharp one."""
        return len(self.sigmas) - 1

    def __getitem__(self, level: int) -> float:
        return self.sigmas[level]
