"""The model of denoising diffusion (DDPM), the baseline: its noise, and its network.

Images are in [-1, 1] here, not in [0, 1] as where heat dissipates; `to_pixels` takes them over.
Level k = 1 … K is timestep t = k − 1 of Ho et al. 2020, with β_k, ᾱ_k = Π_{i ≤ k} (1 − β_i) and
x_k = √ᾱ_k x_0 + √(1 − ᾱ_k) ε. The network predicts ε; `reverse.py` samples with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from sitegen.core.compute import Precision
from sitegen.core.errors import ConfigError
from sitegen.ihdm.card.card import DiffusionConfig, ModelCard
from sitegen.ihdm.process.model import CardModel
from sitegen.ihdm.process.noise import Purpose, Shape, normal

LARGEST_BETA = 0.999
"""Where the cosine schedule stops, so that its last step is not a division by 0."""


@dataclass(frozen=True, eq=False)
class DiffusionSchedule:
    """How much noise each level has; `betas` (K,) float64 are β of the levels 1 … K."""

    betas: Tensor

    @classmethod
    def linear(cls, levels: int, beta_start: float, beta_end: float) -> DiffusionSchedule:
        """β in equal steps from `beta_start` to `beta_end` (Ho et al. 2020)."""
        return cls(torch.linspace(beta_start, beta_end, levels, dtype=torch.float64))

    @classmethod
    def cosine(cls, levels: int) -> DiffusionSchedule:
        """ᾱ_k = f(k/K) / f(0), f(t) = cos²(π/2 (t + 0.008) / 1.008); β at most 0.999.

        Nichol and Dhariwal 2021, eq. 17; "squaredcos_cap_v2" of diffusers.
        """
        place = torch.arange(levels + 1, dtype=torch.float64) / levels
        left = torch.cos((place + 0.008) / 1.008 * (math.pi / 2)).square()
        return cls((1 - left[1:] / left[:-1]).clamp_max(LARGEST_BETA))

    @classmethod
    def of(cls, card: ModelCard) -> DiffusionSchedule:
        """The schedule of a card. Raises ConfigError for a model that is no DDPM."""
        config = diffusion_of(card)
        if config.beta_schedule == "cosine":
            return cls.cosine(card.levels)
        assert config.beta_start is not None
        assert config.beta_end is not None
        return cls.linear(card.levels, config.beta_start, config.beta_end)

    @cached_property
    def alphas_bar(self) -> Tensor:
        """ᾱ of the levels 0 … K, (K + 1,) float64: 1 at level 0, near 0 at level K."""
        products = torch.cumprod(1 - self.betas, 0)
        return torch.cat([products.new_ones(1), products])

    def diffuse(self, images: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
        """x_k of `images` (N, C, H, W) in [-1, 1], for `levels` k (N,) from 0 to K."""
        left = self.alphas_bar.to(images.device)[levels].view(-1, 1, 1, 1)
        kept, added = left.sqrt().to(images.dtype), (1 - left).sqrt().to(images.dtype)
        return kept * images + added * noise


def diffusion_of(card: ModelCard) -> DiffusionConfig:
    """The `[diffusion]` of a card. Raises ConfigError for a model that is no DDPM."""
    if card.diffusion is None:
        raise ConfigError(f'a card of kind "{card.kind}" has no [diffusion]; a DDPM is needed')
    return card.diffusion


class DiffusionModel(CardModel):
    """A network that predicts the noise in a state. Raises ConfigError for a card of no DDPM."""

    def __init__(self, card: ModelCard, unet: nn.Module, precision: Precision = "float32") -> None:
        super().__init__(card, [unet], precision)
        self.schedule = DiffusionSchedule.of(card)

    def forward(self, x: Tensor, level: int | Tensor) -> Tensor:
        """ε in x_k.

        `x` (N, C, H, W) float32, images in [-1, 1] with their noise; `level` k from 1 to K, an int
        or integers (N,); the network is given the timestep k − 1, in units of K / 1000 levels where
        the card says `rescale_timesteps`. Returns (N, C, H, W) float32.
        Raises ValueError for states of another shape or type, and for levels outside of 1 … K.
        """
        timesteps = self.levels_of(x, level) - 1
        if diffusion_of(self.card).rescale_timesteps:
            timesteps = timesteps * (1000 / self.card.levels)
        return self.network(x, timesteps.expand(len(x)))


def to_pixels(x: Tensor) -> Tensor:
    """From [-1, 1] to [0, 1]; nothing is clipped."""
    return (x + 1) / 2


def initial_noise(seed: int, samples: Sequence[int], shape: Shape) -> Tensor:
    """x_K (N, *shape) float32 of N `samples` of a seed: standard normal, on the CPU."""
    return normal(seed, Purpose.INITIAL_NOISE, samples, 0, shape)
