"""Noise of the stochastic differential equations of Song et al. 2021, at K levels.

A state is m x_0 + s z, whose m and s are `scales`; s is σ(t) for "ve", whose m is 1. The t of a
level falls evenly from 1 at level K to `end_time` at level 1; level 0 has no noise.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import ValidationInfo


class Marginals:
    """Noise of K = `levels` levels by a table `[sde]`; a base of a card with both."""

    levels: int
    sde: Any

    def time(self, level: int) -> float:
        """Return t of a level; 0 at level 0."""
        share = (self.levels - level) / max(self.levels - 1, 1)
        return 1 + share * (self.sde.end_time - 1) if level else 0.0

    def sigma(self, time: float) -> float:
        """Return σ(t) of "ve"."""
        return float(self.sde.sigma_min * (self.sde.sigma_max / self.sde.sigma_min) ** time)

    def beta(self, time: float) -> float:
        """Return β(t) / K of "vp"."""
        low, high = self.sde.beta_min, self.sde.beta_max
        return float((low + time * (high - low)) / self.levels)

    def scales(self, level: int) -> tuple[float, float]:
        """Return m and s of a level."""
        time, low = self.time(level), self.sde.beta_min
        if level == 0 or self.sde.family == "ve":
            return 1.0, self.sigma(time) if level else 0.0
        log = -0.25 * time**2 * (self.sde.beta_max - low) - 0.5 * time * low
        # `expm1`, since 1 − exp(2 log) cancels at small t.
        return math.exp(log), math.sqrt(-math.expm1(2 * log))

    def axis_value(self, level: int) -> float:
        """Return what a viewer reads of a level: σ of "ve", t of "vp"."""
        return self.scales(level)[1] if self.sde.family == "ve" else self.time(level)

    def alpha(self, level: int) -> float:
        """Return the factor α of the length of a Langevin step."""
        share = (level - 1) / max(self.levels - 1, 1)
        return 1.0 if self.sde.family == "ve" else 1 - self.beta(share)

    def step(self, level: int) -> tuple[float, float, float]:
        """Return a, b and c of the step to a x + b s + c z from a level, with the score s."""
        sde, time, last = self.sde, self.time(level), max(self.levels - 1, 1)
        euler, ancestral = sde.predictor == "euler_maruyama", sde.predictor == "ancestral"
        if sde.family == "ve":
            sigma, after = self.sigma((level - 1) / last), self.sigma((level - 2) / last)
            growth = sigma**2 - (after**2 if level > 1 else 0.0)
            if euler:
                growth = 2 * self.sigma(time) ** 2 * math.log(sde.sigma_max / sde.sigma_min)
                growth /= self.levels
            return 1.0, growth, math.sqrt(growth) * (after / sigma if ancestral else 1)
        beta = self.beta(time if euler else (level - 1) / last)
        if euler:
            return 1 + beta / 2, beta, math.sqrt(beta)
        if ancestral:
            return (1 - beta) ** -0.5, beta * (1 - beta) ** -0.5, math.sqrt(beta)
        return 2 - math.sqrt(1 - beta), beta, math.sqrt(beta)


def beta_fault(sde: Any, info: ValidationInfo) -> str | None:
    """Return why β of a table `[sde]` is too large for the levels of a card, if it is."""
    levels = info.data.get("levels", math.inf)
    if sde.family == "ve" or sde.predictor == "euler_maruyama" or sde.beta_max < levels:
        return None
    return f"beta_max = {sde.beta_max:g}: must be below levels, {levels}"
