"""Cold diffusion by blurring (Bansal et al. 2023): the network predicts the sharp image.

D(x, k) is x after the convolutions with the kernels 1 … k; D(x, K) is the mean of that. A step is
x_{k−1} = x_k − D(x̂_0, k) + D(x̂_0, k − 1), the paper's improved sampling (algorithm 2), with the
x̂_0 that the network predicts from x_k and k − 1. Nothing is random after the start. First states
are squares of one colour, normally distributed, with a little noise.

All kernels are Gaussian and share their eigenvectors, so D is a product in the basis of Fourier.
Images that continue as mirrored are first extended to a whole period.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from sitegen.generative.card.card import required
from sitegen.generative.card.noise import ColdConfig, cholesky
from sitegen.generative.process.model import SingleNetwork
from sitegen.generative.process.noise import Purpose, initial_noise, normal, straight
from sitegen.generative.process.protocol import Draw, FromNoise, Moved


@lru_cache(maxsize=4)
def _factors(cold: ColdConfig, count: int, period: int) -> Tensor:
    """Return the factors of each frequency by the first k convolutions, (K + 1, period) float64.

    They are those of one axis; a kernel is the product of two equal ones.
    """
    place = torch.arange(cold.kernel_size, dtype=torch.float64) - cold.kernel_size // 2
    angle = 2 * torch.pi / period * torch.arange(period, dtype=torch.float64)
    waves = torch.cos(angle * place[:, None])
    stds = torch.tensor(cold.stds(count), dtype=torch.float64)[:, None]
    kernels = torch.exp(-(place**2) / (2 * stds**2))
    each = (kernels / kernels.sum(1, keepdim=True)) @ waves
    return torch.cat([torch.ones_like(each[:1]), each.cumprod(0)])


def blurred(images: Tensor, cold: ColdConfig, level: int, count: int) -> Tensor:
    """Return D(x, level) of images (N, C, H, H) float32; K is `count`."""
    side = images.shape[-1]
    whole = images
    if cold.padding == "reflect":
        whole = nn.functional.pad(images, (0, side - 2, 0, side - 2), mode="reflect")
    factor = _factors(cold, count, whole.shape[-1])[level].to(images)
    spectrum = torch.fft.fft2(whole) * (factor[:, None] * factor)
    found: Tensor = torch.fft.ifft2(spectrum).real[..., :side, :side]
    return found.mean((2, 3), keepdim=True).expand_as(images) if level == count else found


class ColdModel(SingleNetwork):
    """A network that predicts the sharp image."""

    def forward(self, x: Tensor, level: int | Tensor) -> Tensor:
        """Return x̂_0 (N, C, H, W) of states x_k, k from 1 to K; the network receives k − 1."""
        steps = self.levels_of(x, level) - 1
        return self.network(x, steps.expand(len(x)))


@dataclass(frozen=True)
class Cold(FromNoise):
    """Cold diffusion; nothing is random after the start."""

    def start(self, seed: int, samples: Sequence[int]) -> Tensor:
        """Return squares of one colour with noise, (N, C, H, W)."""
        cold, channels = required(self.card.cold), self.card.channels
        root = torch.tensor(cholesky(cold.start_covariance))
        colours = normal(seed, Purpose.INITIAL_STATE, samples, 0, (channels,)) @ root.T
        flat = (colours + torch.tensor(cold.start_mean))[:, :, None, None]
        return flat + cold.start_noise * initial_noise(seed, samples, self.shape)

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states below, by the image of the model, degraded anew."""
        image = self.model(x, level)
        state = x - self._blurred(image, level) + self._blurred(image, below)
        return Moved(state, state, lambda: image)

    def _blurred(self, images: Tensor, level: int) -> Tensor:
        return blurred(images, required(self.card.cold), level, self.card.levels)

    def between(self, first: Tensor, last: Tensor, points: int) -> Tensor:
        """Return states on the straight line between two."""
        return straight(first, last, points)

    def corrupt(self, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return the images x_0 (N, C, H, W) in [-1, 1] after k convolutions."""
        return self._blurred(images, level)
