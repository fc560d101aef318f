"""The blur schedule: which blur scale belongs to each level of the process."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from sitegen.core.errors import ConfigError
from sitegen.ihdm.card.checked import PART, Misfits, Number, checked


@checked("blur schedule")
@dataclass(frozen=True, config=PART)
class BlurSchedule:
    """Blur scales σ_B,k in pixels of levels k = 0 (sharp) … K (flattest).

    `sigmas[0]` is 0 and the rest strictly increases; `sigmas[k]` is the standard deviation of the
    Gaussian that the heat equation has applied at level k (Rissanen et al. 2023, §3). A card
    calls them `schedule`.

    Raises ConfigError for a schedule that is not finite, does not start at 0 or does not increase.
    """

    sigmas: tuple[Number, ...] = Field(validation_alias="schedule")

    @staticmethod
    def misfits(values: Mapping[str, Any]) -> Misfits:
        """Level 0 is sharp, and each level is flatter than the one below."""
        name = "schedule" if "schedule" in values else "sigmas"
        sigmas: Sequence[float] | None = values.get(name)
        if sigmas is None:
            return
        if len(sigmas) < 2:
            yield name, "needs level 0 and at least one level more"
        elif sigmas[0] != 0:
            yield name, "level 0 is the sharp image, so 0"
        for level, (below, here) in enumerate(pairwise(sigmas), 1):
            if not here > below:
                words = f"level {level} has {here}, not more than the {below} below it; blur scales"
                yield name, f"{words} must increase from 0 to the flattest level"
                return

    @classmethod
    def log_spaced(cls, levels: int, sigma_min: float, sigma_max: float) -> BlurSchedule:
        """σ_B,0 = 0, then `levels` values in geometric steps from `sigma_min` to `sigma_max`."""
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

    @classmethod
    def explicit(cls, sigmas: Sequence[float]) -> BlurSchedule:
        """A schedule given as its K + 1 values, level 0 first."""
        return cls(tuple(float(sigma) for sigma in sigmas))

    @cached_property
    def levels(self) -> int:
        """K, the number of steps from the flattest state to the sharp one."""
        return len(self.sigmas) - 1

    def __getitem__(self, level: int) -> float:
        return self.sigmas[level]
