"""EDM (Karras et al. 2022), and consistency models (Song et al. 2023): x_k = x_0 + σ_k z.

Both precondition the network F: D(x, σ) = c_skip x + c_out F(c_in x, c_noise), with
c_in = 1 / √(σ² + σ_d²), c_noise = ln(σ) / 4 and

- EDM: c_skip = σ_d² / (σ² + σ_d²), c_out = σ σ_d / √(σ² + σ_d²);
- consistency: c_skip = σ_d² / ((σ − σ_min)² + σ_d²), c_out = (σ − σ_min) σ_d / √(σ² + σ_d²),
  so that D(x, σ_min) = x.

A step of EDM (algorithm 2) first raises σ to σ̂ = (1 + γ) σ by noise, with
γ = min(S_churn / K, √2 − 1) for σ in [S_tmin, S_tmax] and else 0. It then goes to the next σ along
d = (x̂ − D(x̂, σ̂)) / σ̂, by Euler, or by Heun but for the last step. A step of a consistency model is
D(x, σ) with new noise of the standard deviation √(σ'² − σ_min²) (algorithm 1).

States are up to hundreds of times as large as images. `pixels` divides them by √(1 + σ² / σ_d²),
which gives every level the standard deviation of data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sitegen.generative.card.card import required
from sitegen.generative.card.noise import EdmConfig, edm_levels
from sitegen.generative.process.model import SingleNetwork
from sitegen.generative.process.protocol import Draw, FromNoise, Moved, add_noise, to_pixels

MOST_CHURN = math.sqrt(2) - 1
"""Upper limit of γ."""
DATA_STD = 0.5
"""Standard deviation of data in [-1, 1], for display."""


class EdmModel(SingleNetwork):
    """A network with EDM's preconditioning."""

    @property
    def edm(self) -> EdmConfig:
        """The `[edm]` table of the card."""
        return required(self.card.edm)

    def forward(self, x: Tensor, sigma: float) -> Tensor:
        """Return D(x, σ), the predicted images, of states; both (N, C, H, W) float32."""
        data, total = self.edm.sigma_data, math.hypot(sigma, self.edm.sigma_data)
        above = sigma - self.offset
        noise = torch.full((len(x),), self.edm.time_scale * math.log(sigma), device=x.device)
        answer = self.network(x / total, noise)
        image = data**2 / (above**2 + data**2) * x + above * data / total * answer
        return image.clamp(-1, 1) if self.edm.clip else image

    @property
    def offset(self) -> float:
        """The σ at which D(x, σ) = x."""
        return 0.0


class ConsistencyModel(EdmModel):
    """A network with the preconditioning of consistency models."""

    @property
    def offset(self) -> float:
        """The σ at which D(x, σ) = x."""
        return self.edm.sigma_min


@dataclass(frozen=True)
class Noised(FromNoise):
    """Base class of processes whose states are images and Gaussian noise, each scaled by level."""

    def scales(self, level: int) -> tuple[float, float]:
        """Return the factor of the image and the standard deviation of the noise at a level."""
        raise NotImplementedError

    @property
    def largest(self) -> float:  # type: ignore[override]
        """Largest absolute value that a state may be expected to have."""
        return max(1.0, self.scales(self.levels[0])[1])

    def start(self, seed: int, samples: Sequence[int]) -> Tensor:
        """Return initial noise (N, C, H, W) of N samples, scaled to level K."""
        return self.scales(self.levels[0])[1] * super().start(seed, samples)

    def pixels(self, states: Tensor, level: int) -> Tensor:
        """Return states from [-1, 1] in [0, 1], divided so that data keep their contrast."""
        return to_pixels(states / math.hypot(1, self.scales(level)[1] / DATA_STD))

    def corrupt(self, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return states at a level of images (N, C, H, W), in the range of data."""
        kept, noise = self.scales(level)
        return kept * images + noise * draw(0).to(images)


@dataclass(frozen=True)
class Edm(Noised):
    """EDM's sampler; nothing is random after the start unless the card has a churn."""

    def scales(self, level: int) -> tuple[float, float]:
        """Return 1 and σ of a level."""
        return 1.0, edm_levels(required(self.card.edm), self.card.levels)[level]

    def _churn(self, sigma: float) -> float:
        """Return γ at σ."""
        edm = required(self.card.edm)
        most = math.inf if edm.churn_max is None else edm.churn_max
        within = edm.churn_min <= sigma <= most
        return min(edm.churn / self.card.steps, MOST_CHURN) if within else 0.0

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states below, by Euler's or Heun's step."""
        edm = required(self.card.edm)
        (_, sigma), (_, after) = self.scales(level), self.scales(below)
        raised = (1 + self._churn(sigma)) * sigma
        if self.random:
            std = math.sqrt(raised**2 - sigma**2) * edm.churn_noise
            x = add_noise(x, draw(0), std).state
        image = self.model(x, raised)
        slope = (x - image) / raised
        state = x + (after - raised) * slope
        if edm.solver == "heun" and after > 0:
            other = (state - self.model(state, after)) / after
            state = x + (after - raised) * (slope + other) / 2
        return Moved(state, state, lambda: image)


@dataclass(frozen=True)
class Consistency(Edm):
    """Multistep consistency sampling."""

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the image of the model, with the noise of the level below."""
        image = self.model(x, self.scales(level)[1])
        after, least = self.scales(below)[1], required(self.card.edm).sigma_min
        std = math.sqrt(max(after**2 - least**2, 0.0))
        return add_noise(image, draw(0), std, lambda: image)
