"""The model of denoising diffusion (DDPM), the baseline: its noise, and its network.

Images are in [-1, 1] here, not in [0, 1] as where heat dissipates.
Level k = 1 … K is timestep t = k − 1 of Ho et al. 2020, with β_k, ᾱ_k = Π_{i ≤ k} (1 − β_i) and
x_k = √ᾱ_k x_0 + √(1 − ᾱ_k) ε. The network predicts ε, or v = √ᾱ_k ε − √(1 − ᾱ_k) x_0 (Salimans and
Ho 2022, appendix D). `diffusion.py` samples with ε. Where little of the image is left, an error of
ε is an error of x_0 that is √((1 − ᾱ_k) / ᾱ_k) times as large, and one of v is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sitegen.core.errors import ConfigError
from sitegen.generative.card.card import DiffusionConfig, ModelCard
from sitegen.generative.card.flow import LARGEST_BETA
from sitegen.generative.process.model import SingleNetwork


@dataclass(frozen=True, eq=False)
class DiffusionSchedule:
    """The noise schedule: `betas` (K,) float64 are β of the levels 1 … K."""

    betas: Tensor

    @classmethod
    def of(cls, card: ModelCard) -> DiffusionSchedule:
        """Return the schedule of a card. Raises ConfigError if the model is not a DDPM.

        "linear": β in equal steps (Ho et al. 2020). "cosine": ᾱ_k = f(k/K) / f(0), f(t) = cos²(π/2
        (t + 0.008) / 1.008), β at most 0.999 (Nichol and Dhariwal 2021, eq. 17; "squaredcos_cap_v2"
        of diffusers).
        """
        config, levels = diffusion_of(card), card.levels
        if config.beta_start is not None and config.beta_end is not None:
            ends = config.beta_start, config.beta_end
            return cls(torch.linspace(*ends, levels, dtype=torch.float64))
        place = torch.arange(levels + 1, dtype=torch.float64) / levels
        left = torch.cos((place + 0.008) / 1.008 * (math.pi / 2)).square()
        return cls((1 - left[1:] / left[:-1]).clamp_max(LARGEST_BETA))

    @cached_property
    def alphas_bar(self) -> Tensor:
        """ᾱ of the levels 0 … K, (K + 1,) float64: 1 at level 0, near 0 at level K."""
        products = torch.cumprod(1 - self.betas, 0)
        return torch.cat([products.new_ones(1), products])

    def diffuse(self, images: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
        """x_k of `images` (N, C, H, W) in [-1, 1], for `levels` k (N,) from 0 to K."""
        kept, added = self.shares(levels, images)
        return kept * images + added * noise

    def velocity(self, images: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
        """Return the v of the states that `diffuse` returns for these arguments."""
        kept, added = self.shares(levels, images)
        return kept * noise - added * images

    def shares(self, levels: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """√ᾱ_k and √(1 − ᾱ_k) (N, 1, 1, 1) of levels (N,), of the type and device of `like`."""
        left = self.alphas_bar
        roots = torch.stack([left.sqrt(), (1 - left).sqrt()]).to(like.dtype).to(like.device)
        kept, added = roots[:, levels].view(2, -1, 1, 1, 1)
        return kept, added


def diffusion_of(card: ModelCard) -> DiffusionConfig:
    """Return the `[diffusion]` table of a card. Raises ConfigError if the model is not a DDPM."""
    if card.diffusion is None:
        raise ConfigError(f'a card of kind "{card.kind}" has no [diffusion]; a DDPM is needed')
    return card.diffusion


class DiffusionModel(SingleNetwork):
    """A network that predicts the noise in a state."""

    @cached_property
    def schedule(self) -> DiffusionSchedule:
        """The noise of each level."""
        return DiffusionSchedule.of(self.card)

    @property
    def predicts_velocity(self) -> bool:
        """Return whether the network predicts v instead of ε."""
        return diffusion_of(self.card).prediction_type == "v_prediction"

    def forward(self, x: Tensor, level: int | Tensor) -> Tensor:
        """Return ε in x_k, with the card's guidance unless the model is in training.

        `x` (N, C, H, W) float32, images in [-1, 1] with their noise; `level` k from 1 to K, an int
        or integers (N,). The network gets the timestep k − 1, in units of K / 1000 levels if the
        card sets `rescale_timesteps`. Returns (N, C, H, W) float32.

        Raises ValueError for states of another shape or type, and for levels outside of 1 … K.
        """
        answer = self.answer(x, level)
        kept, added = self.schedule.shares(self.levels_of(x, level), x)
        noise = kept * answer + added * x if self.predicts_velocity else answer
        return self.guided(noise, x, (kept, added), (0.0, 1.0))

    def answer(self, x: Tensor, level: int | Tensor) -> Tensor:
        """Return the network's raw output for x_k, ε or v; arguments are those of `forward`."""
        timesteps = self.levels_of(x, level) - 1
        if diffusion_of(self.card).rescale_timesteps:
            timesteps = timesteps * (1000 / self.card.levels)
        return self.network(x, timesteps.expand(len(x)))
