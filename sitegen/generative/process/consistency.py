"""Consistency models (Song et al. 2023): a network that predicts the image from any noise level.

Noise levels and preconditioning are those of `karras.py` with the offset σ_min, so that
D(x, σ_min) = x. A step is D(x, σ) with new noise of the standard deviation √(σ'² − σ_min²)
(algorithm 1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from sitegen.generative.card.abilities import ANY, DETERMINISTIC, Abilities
from sitegen.generative.card.parts import card_kind
from sitegen.generative.process.base import Draw, Moved, add_noise
from sitegen.generative.process.karras import Preconditioned

if TYPE_CHECKING:
    from torch import Tensor


@card_kind
class Consistency(Preconditioned):
    """Multistep consistency sampling. Its table is `[edm]`, without a solver and churn."""

    kind: Literal["consistency"] = "consistency"

    label = "Consistency"

    @property
    def abilities(self) -> Abilities:
        """Abilities of the sampler; with one step, nothing is random after the start."""
        return ANY | {"random", "fan", "mean"} if self.levels > 1 else DETERMINISTIC

    @property
    def offset(self) -> float:
        """The σ at which D(x, σ) = x."""
        return self.edm.sigma_min

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        image = model(x, self.sigmas[level])
        if "random" not in self.abilities:  # a single step, for which no noise is drawn
            return Moved(image, image, lambda: image)
        std = math.sqrt(max(self.sigmas[below] ** 2 - self.edm.sigma_min**2, 0.0))
        return add_noise(image, draw(0), std, lambda: image)
