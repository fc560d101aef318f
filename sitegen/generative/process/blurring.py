"""Blurring diffusion (Hoogeboom and Salimans 2023): diffusion of cosines, each at its own pace.

With u the DCT of a state, u_t = α_t u_0 + σ_t ε, where a_t² + σ_t² = 1, α_t = a_t d_t and
d_t = d_min + (1 − d_min) exp(−λ σ_B² / 2) for the eigenvalue λ of a cosine (`heat.py`). The network
predicts ε from the state in pixels and t. From t to s, with α_ts = α_t / α_s and
σ²_ts = σ_t² − α_ts² σ_s², the posterior given ε̂ is normal (eq. 21 to 23):

    V = 1 / (1 / σ_s² + 1 / (σ_t² / α_ts² − σ_s²))
    mean = (α_ts V / σ²_ts) u_t + (V / (α_ts σ_s²)) (u_t − σ_t ε̂)

As in the paper's program, denominators are at least 1e-8.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sitegen.generative.card.abilities import RANDOM
from sitegen.generative.card.parts import Number, Positive, above, card_kind, table
from sitegen.generative.process.base import Draw, FromNoise, Moved, add_noise

if TYPE_CHECKING:
    from torch import Tensor

    from sitegen.generative.process.model import CardModel

SMALLEST = 1e-8
"""Smallest denominator."""


@table
class BlurringConfig:
    """Schedule of a blurring diffusion, at t = k / K.

    sigma_max: σ_B at t = 1 in pixels; at t it is σ_max sin²(π t / 2)
    floor: smallest factor of a cosine by the blur
    log_snr_min, log_snr_max: ends of the cosine schedule of the noise, ln (a² / σ²)
    time_scale: factor of the t that the network receives
    """

    sigma_max: Positive = 20.0
    floor: Annotated[Number, Field(gt=0, lt=1)] = 0.001
    log_snr_min: Number = -10.0
    log_snr_max: Annotated[Number, above("log_snr_min")] = 10.0
    time_scale: Positive = 1.0


@card_kind
class Blurring(FromNoise):
    """The reverse of a blurring diffusion."""

    kind: Literal["blurring"] = "blurring"
    blurring: BlurringConfig = Field(description="a table [blurring]")

    label = "Blurring diffusion"
    abilities = RANDOM - {"final"}
    predicts = "noise, as in a DDPM"

    def level_values(self) -> list[float]:
        return [level / self.levels for level in range(self.levels + 1)]

    def scales(self, level: int) -> tuple[float, float]:
        # With a = cos φ and σ = sin φ, ln(a² / σ²) = −2 ln tan φ, which gives φ at both ends.
        last = math.atan(math.exp(-0.5 * self.blurring.log_snr_max))
        first = math.atan(math.exp(-0.5 * self.blurring.log_snr_min))
        angle = last + (first - last) * (level / self.levels)
        return math.cos(angle), math.sin(angle)

    def alpha(self, level: int) -> Tensor:
        """Return α_t of each cosine, (H, W) float64."""
        import torch

        from sitegen.generative.process.heat import attenuation

        blur = self.blurring.sigma_max * math.sin(math.pi * (level / self.levels) / 2) ** 2
        sigma_b, floor = torch.tensor([blur], dtype=torch.float64), self.blurring.floor
        factor = floor + (1 - floor) * attenuation(sigma_b, self.image_size, self.image_size)[0]
        return self.scales(level)[0] * factor

    def predict(self, model: CardModel, x: Tensor, level: Any, *_: Any) -> Tensor:
        """Return ε̂ (N, C, H, W) of states at a level from 1 to K; the network receives t."""
        times = model.levels_of(x, level) * (self.blurring.time_scale / self.levels)
        return model.network(x, times.float().expand(len(x)))

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        from sitegen.generative.process.heat import dct2, idct2

        (_, sigma_t), (_, sigma_s) = self.scales(level), self.scales(below)
        ratio = self.alpha(level) / self.alpha(below)
        spread = 1 / (sigma_t**2 / ratio**2 - sigma_s**2).clamp_min(SMALLEST)
        variance = (1 / max(sigma_s**2, SMALLEST) + spread).clamp_min(SMALLEST).reciprocal()
        of_state = ratio * variance / (sigma_t**2 - ratio**2 * sigma_s**2 + SMALLEST)
        of_image = variance / ratio / max(sigma_s**2, SMALLEST)
        state, noise = dct2(x), dct2(model(x, level))
        of_state, of_image, std = (part.to(x) for part in (of_state, of_image, variance.sqrt()))
        mean = idct2(of_state * state + of_image * (state - sigma_t * noise))
        return add_noise(mean, draw(0), std.expand(x.shape[1:]) if below else 0.0)

    def corrupt(self, model: Any, images: Tensor, level: int, draw: Draw) -> Tensor:
        from sitegen.generative.process.heat import dct2, idct2

        blurred = idct2(self.alpha(level).to(images) * dct2(images))
        return blurred + self.scales(level)[1] * draw(0).to(images)
