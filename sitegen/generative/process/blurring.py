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

from dataclasses import dataclass

import torch
from torch import Tensor

from sitegen.generative.card.card import required
from sitegen.generative.process.heat import attenuation, dct2, idct2
from sitegen.generative.process.model import SingleNetwork
from sitegen.generative.process.protocol import Draw, FromNoise, Moved, add_noise

SMALLEST = 1e-8
"""Smallest denominator."""


class BlurringModel(SingleNetwork):
    """A network that predicts the noise."""

    def forward(self, x: Tensor, level: int | Tensor) -> Tensor:
        """Return ε̂ (N, C, H, W) of states at a level from 1 to K; the network receives t."""
        scale = required(self.card.blurring).time_scale / self.card.levels
        times = self.levels_of(x, level) * scale
        return self.network(x, times.float().expand(len(x)))


@dataclass(frozen=True)
class Blurring(FromNoise):
    """The reverse of a blurring diffusion."""

    def scales(self, level: int) -> tuple[float, float]:
        """Return a_t, the factor of a mean colour, and σ_t."""
        return required(self.card.blurring).noise(level / self.card.levels)

    def _kept(self, level: int) -> Tensor:
        """Return α_t of each cosine, (H, W) float64."""
        blurring, size = required(self.card.blurring), self.card.image_size
        blur = torch.tensor([blurring.blur(level / self.card.levels)], dtype=torch.float64)
        left = blurring.floor + (1 - blurring.floor) * attenuation(blur, size, size)[0]
        return self.scales(level)[0] * left

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states below, drawn from the posterior of blurring diffusion."""
        (_, here), (_, after) = self.scales(level), self.scales(below)
        ratio = self._kept(level) / self._kept(below)
        variance = (
            (1 / max(after**2, SMALLEST) + 1 / (here**2 / ratio**2 - after**2).clamp_min(SMALLEST))
            .clamp_min(SMALLEST)
            .reciprocal()
        )
        of_state = ratio * variance / (here**2 - ratio**2 * after**2 + SMALLEST)
        of_image = variance / ratio / max(after**2, SMALLEST)
        state, noise = dct2(x), dct2(self.model(x, level))
        of_state, of_image, std = (each.to(x) for each in (of_state, of_image, variance.sqrt()))
        mean = idct2(of_state * state + of_image * (state - here * noise))
        return add_noise(mean, draw(0), std.expand(x.shape[1:]) if below else 0.0)

    def corrupt(self, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return states at a level of images (N, C, H, W) in [-1, 1]."""
        kept = idct2(self._kept(level).to(images) * dct2(images))
        return kept + self.scales(level)[1] * draw(0).to(images)
