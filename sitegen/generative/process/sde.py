"""Score-based sampling of stochastic differential equations (Song et al. 2021).

A step from level k to k − 1 corrects the state by Langevin steps (algorithms 4 and 5), then
predicts the next one. With the score s at t_k, where t falls evenly from 1 to `end_time`, and with
β_k = (β_min + (β_max − β_min) (k − 1) / (K − 1)) / K:

| predictor | "ve", G² = σ_k² − σ_{k−1}² | "vp" |
| --- | --- | --- |
| reverse_diffusion | x + G² s + G z | (2 − √(1 − β_k)) x + β_k s + √β_k z |
| ancestral | x + G² s + (σ_{k−1} G / σ_k) z | (x + β_k s) / √(1 − β_k) + √β_k z |
| euler_maruyama | x + (g² s) / K + (g / √K) z | x + (β(t) x / 2 + β(t) s) / K + √(β(t) / K) z |

where g² = 2 σ(t)² ln(σ_max / σ_min). A Langevin step is x + h s + √(2 h) z with
h = 2 α (snr ‖z‖ / ‖s‖)², α = 1 − β_k for "vp" and 1 for "ve". The published code takes both norms
as means over a batch. Here they belong to a sample, which then does not depend on the others; a
batch of one sample is the same. The last step returns its mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sitegen.generative.card.card import required
from sitegen.generative.process.edm import DATA_STD, Noised
from sitegen.generative.process.model import SingleNetwork
from sitegen.generative.process.protocol import Draw, Moved, add_noise, split, to_pixels

VP_TIME_SCALE = 999.0
"""Factor of the t that a "vp" network receives."""


class ScoreModel(SingleNetwork):
    """A network that estimates the score."""

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Return the score (N, C, H, W) of states at a level from 1 to K; both float32."""
        sde = required(self.card.sde)
        time = sde.time(level, self.card.levels)
        _, noise = sde.marginal(time)
        exploding = sde.family == "ve"
        given = torch.full((len(x),), noise if exploding else VP_TIME_SCALE * time, device=x.device)
        answer = self.network(x, given)
        return answer if exploding else -answer / noise


@dataclass(frozen=True)
class Score(Noised):
    """Predictor and corrector of a stochastic differential equation."""

    def scales(self, level: int) -> tuple[float, float]:
        """Return the factor of the image and the standard deviation of the noise at a level."""
        sde = required(self.card.sde)
        return sde.marginal(sde.time(level, self.card.levels)) if level else (1.0, 0.0)

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states below, by the steps of the predictor and the corrector."""
        sde = required(self.card.sde)
        *corrections, last = (draw(number) for number in range(sde.corrector_steps + 1))
        x = split(x, last)
        for noise in corrections:
            x = self._corrected(x, level, noise)
        score = self.model(x, level)
        mean, std = self._predicted(x, score, level)
        kept, spread = self.scales(level)
        final = (x + spread**2 * score) / kept
        return add_noise(mean, last, std if below else 0.0, lambda: final)

    def _corrected(self, x: Tensor, level: int, draw: Tensor) -> Tensor:
        """Return states after a Langevin step."""
        sde, draw = required(self.card.sde), draw.to(x)
        score = self.model(x, level)
        ratio = draw.flatten(1).norm(dim=1) / score.flatten(1).norm(dim=1)
        kept = 1.0 if sde.family == "ve" else 1 - self._beta(level)
        size = (2 * kept * (sde.snr * ratio).square()).view(-1, 1, 1, 1)
        moved: Tensor = x + size * score + (2 * size).sqrt() * draw
        return moved

    def _predicted(self, x: Tensor, score: Tensor, level: int) -> tuple[Tensor, float]:
        """Return the mean of the next states, and the standard deviation of their noise."""
        sde, count = required(self.card.sde), self.card.levels
        time = sde.time(level, count)
        if sde.family == "ve":
            here, after = self._sigma(level), self._sigma(level - 1)
            if sde.predictor == "euler_maruyama":
                step = 2 * sde.sigma(time) ** 2 * math.log(sde.sigma_max / sde.sigma_min) / count
                return x + step * score, math.sqrt(step)
            step = here**2 - after**2
            share = after / here if sde.predictor == "ancestral" else 1.0
            return x + step * score, share * math.sqrt(step)
        beta = self._beta(level)
        if sde.predictor == "ancestral":
            return (x + beta * score) / math.sqrt(1 - beta), math.sqrt(beta)
        if sde.predictor == "euler_maruyama":
            beta = (sde.beta_min + time * (sde.beta_max - sde.beta_min)) / count
            return x + beta * (x / 2 + score), math.sqrt(beta)
        return (2 - math.sqrt(1 - beta)) * x + beta * score, math.sqrt(beta)

    def _share(self, level: int) -> float:
        return (level - 1) / max(self.card.levels - 1, 1)

    def _beta(self, level: int) -> float:
        """Return β of a level from 1 to K."""
        sde = required(self.card.sde)
        rise = sde.beta_max - sde.beta_min
        return (sde.beta_min + rise * self._share(level)) / self.card.levels

    def _sigma(self, level: int) -> float:
        """Return σ of a level, 0 at level 0."""
        return required(self.card.sde).sigma(self._share(level)) if level else 0.0

    def pixels(self, states: Tensor, level: int) -> Tensor:
        """Return states in [0, 1]; "ve" states are divided so that data keep their contrast."""
        sde = required(self.card.sde)
        shown = states if sde.centered else 2 * states - 1
        if sde.family == "ve":
            noise = self.scales(level)[1] / DATA_STD
            shown = shown / math.hypot(1, noise if sde.centered else 2 * noise)
        return to_pixels(shown)
