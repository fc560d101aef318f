"""Noise levels and preconditioning of Karras et al. 2022, for EDM and consistency models.

States are x_k = x_0 + σ_k z. With an offset o, the network F gives the predicted images
D(x, σ) = c_skip x + c_out F(c_in x, c_noise), where c_in = 1 / √(σ² + σ_d²), c_noise = ln(σ) / 4,
c_skip = σ_d² / ((σ − o)² + σ_d²) and c_out = (σ − o) σ_d / √(σ² + σ_d²). So D(x, o) = x.

States are up to hundreds of times as large as images. `pixels` divides them by √(1 + σ² / σ_d²),
which gives every level the standard deviation of data.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from sitegen.generative.card.parts import (
    Flag,
    Number,
    Positive,
    above,
    card_kind,
    falls,
    must,
    per_level,
    table,
)
from sitegen.generative.process.base import Noised

if TYPE_CHECKING:
    from torch import Tensor

    from sitegen.generative.process.model import CardModel


@table
class NoiseLevels:
    """Noise levels and preconditioning (table 1).

    sigma_min, sigma_max, rho: the σ of K steps; 0 follows
    sigmas: σ of each state but the last, falling, instead of these
    sigma_data: standard deviation of data in [-1, 1]
    time_scale: factor of ln σ in the number that the network receives: 0.25, and 250 in the
        published consistency models
    clip: whether predicted images are clipped to [-1, 1]
    """

    sigma_min: Positive = 0.002
    sigma_max: Annotated[Positive, above("sigma_min")] = 80.0
    rho: Positive = 7.0
    sigma_data: Positive = 0.5
    time_scale: Positive = 0.25
    clip: Flag = False
    sigmas: Annotated[
        tuple[Number, ...] | None,
        must(
            "a list of falling numbers above 0",
            lambda v: v is None or (len(v) > 0 and v[-1] > 0 and falls(v)),
        ),
    ] = None

    def of_levels(self, count: int) -> tuple[float, ...]:
        """Return σ of the levels 0 … K = `count` (eq. 5)."""
        if self.sigmas is not None:
            return (0.0, *self.sigmas[::-1])
        low, high = (end ** (1 / self.rho) for end in (self.sigma_min, self.sigma_max))
        shares = [step / max(count - 1, 1) for step in range(count)]
        falling = [(high + share * (low - high)) ** self.rho for share in shares]
        return (0.0, *falling[::-1])


@card_kind
class Preconditioned(Noised):
    """Base class of the kinds whose `[edm]` has these noise levels."""

    edm: Annotated[NoiseLevels, per_level("sigmas")] = Field(description="a table [edm]")

    symbol = "σ"
    predicts = "sharp images"

    @cached_property
    def sigmas(self) -> tuple[float, ...]:
        """σ of the levels 0 … K."""
        return self.edm.of_levels(self.levels)

    def level_values(self) -> tuple[float, ...]:
        return self.sigmas

    @property
    def offset(self) -> float:
        """The σ at which D(x, σ) = x."""
        return 0.0

    def scales(self, level: int) -> tuple[float, float]:
        return 1.0, self.sigmas[level]

    def predict(self, model: CardModel, x: Tensor, sigma: float, *_: Any) -> Tensor:
        """Return D(x, σ), the predicted images (N, C, H, W), of states; both float32."""
        import torch

        data, total = self.edm.sigma_data, math.hypot(sigma, self.edm.sigma_data)
        beyond = sigma - self.offset
        noise = torch.full((len(x),), self.edm.time_scale * math.log(sigma), device=x.device)
        answer = model.network(x / total, noise)
        image = data**2 / (beyond**2 + data**2) * x + beyond * data / total * answer
        return image.clamp(-1, 1) if self.edm.clip else image
