"""Inputs and targets of a U-Net for a band of levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sitegen.generative.maths.heat import Statistics, dct2, idct2
from sitegen.generative.process.model import Model, linear_estimate, shrunken


@dataclass(frozen=True)
class BandStates:
    """States of a "preconditioned" model at its levels, for a network that sees `side` pixels.

    `attenuation` (K + 1, 1, H, W) is A_k, `unknown` (K, C, side, side) √R_k of the levels 1 … K,
    and `cost`, of the same shape, the cost of an error of r: A_{k−1}² R_k, as a share of its sum.
    """

    statistics: Statistics
    noise_std: float
    side: int
    attenuation: Tensor
    unknown: Tensor
    cost: Tensor

    @classmethod
    def of(cls, model: Model, side: int) -> BandStates:
        """Compute those of a model."""
        statistics, noise_std = model.statistics, model.card.training_noise_std
        assert statistics is not None
        factors = model.attenuation(torch.arange(model.card.levels + 1))
        _, unknown = linear_estimate(statistics, factors[1:], noise_std)
        cost = (factors[:-1] ** 2 * unknown)[..., :side, :side]
        cost = cost / cost.sum((1, 2, 3), keepdim=True)
        return cls(statistics, noise_std, side, factors, unknown[..., :side, :side].sqrt(), cost)

    def estimate(self, cosines: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
        """Return the cosines (N, C, H, W) of x̂_0, from sharp images', with `noise` in pixels."""
        factor = self.attenuation[levels]
        state = factor * cosines + dct2(noise)
        gain, _ = linear_estimate(self.statistics, factor, self.noise_std)
        return self.statistics.mean + gain * (state - factor * self.statistics.mean)

    def seen(self, estimate: Tensor) -> Tensor:
        """Return the images (N, C, side, side) of x̂_0 that a network sees."""
        return shrunken(estimate, self.side, *self.statistics.pixel_scale(self.side))

    def target(self, cosines: Tensor, estimate: Tensor, levels: Tensor) -> Tensor:
        """Return the r (N, C, side, side) for which û_0 equals the sharp images."""
        side = self.side
        return (cosines - estimate)[..., :side, :side] / self.unknown[levels - 1]

    def loss(
        self, answer: Tensor, target: Tensor, levels: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss (N,) of an output in pixels, given the cosines `wanted`.

        The squared error of each pixel, as it enters the next state, is multiplied by its weight
        (side, side). The output that is best does not depend on the weights.
        """
        error = self.cost[levels - 1].sqrt() * (dct2(answer) - target)
        if weights is not None:
            error = weights.sqrt() * idct2(error)
        return error.square().sum((1, 2, 3))
