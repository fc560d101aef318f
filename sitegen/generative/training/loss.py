"""Training objective: statistics of the data, levels to draw, and the loss."""

from __future__ import annotations

import torch
from torch import Tensor

from sitegen.generative.maths.heat import LEAST_VARIANCE, Statistics, dct2, dissipate
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.flow import Flow
from sitegen.generative.process.model import CardModel, Model, linear_estimate

_FOCUS_WIDTH = 0.18
"""Standard deviation of the focus on some levels, as a share of K."""


def image_statistics(images: Tensor, chunk: int = 4096) -> Statistics:
    """Return mean and variance (C, H, W) of the cosine coefficients of uint8 (N, C, H, W)."""
    # In float64, since the variance is a small difference of these sums.
    total = torch.zeros(images.shape[1:], dtype=torch.float64)
    square = torch.zeros_like(total)
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        coefficients = dct2(part.double() / 255)
        total += coefficients.sum(0)
        square += coefficients.square().sum(0)
    mean = total / len(images)
    variance = (square / len(images) - mean.square()).clamp_min(LEAST_VARIANCE)
    return Statistics(mean.float(), variance.float())


def level_density(levels: int, focus: float, centre: float) -> Tensor:
    """Return the unnormalized density of drawing each level 1 … K, float64 (K,).

    It is 1 plus a bump of height `focus` at the level `centre` · K.
    """
    share = torch.arange(1, levels + 1, dtype=torch.float64) / levels
    return 1 + focus * torch.exp(-0.5 * ((share - centre) / _FOCUS_WIDTH) ** 2)


def draw_levels(count: int, density: Tensor, generator: torch.Generator) -> Tensor:
    """Draw levels (count,) of 1 … K from a density, stratified so that a batch covers it all."""
    highest, cumulative = int(density.nonzero().max()) + 1, density.cumsum(0)
    shares = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    drawn = torch.searchsorted(cumulative, shares.double() * cumulative[-1], right=True) + 1
    # Rounding of the cumulative sum may lead beyond the last level of a band.
    return drawn.clamp_max(highest)[torch.randperm(count, generator=generator)]


def loss_per_image(model: CardModel, images: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
    """Return the loss (N,) of each of `images` (N, C, H, W), with values in [0, 1].

    `levels` are k (N,), `noise` is standard normal, of the images' shape. For a DDPM the loss is
    the mean squared error of the predicted noise (Ho et al. 2020, eq. 14), or of v; otherwise it
    is `heat_loss` or `flow_loss`.
    """
    if isinstance(model, Model):
        return heat_loss(model, images, levels, noise)
    card, sharp = model.card, 2 * images - 1
    if isinstance(card, Flow):
        return flow_loss(model, images, levels, noise)
    assert isinstance(card, Ddpm)
    image_share, noise_share = card.shares(levels, sharp)
    velocity = card.diffusion.prediction_type == "v_prediction"
    target = image_share * noise - noise_share * sharp if velocity else noise
    error: Tensor = card.answer(model, image_share * sharp + noise_share * noise, levels) - target
    return error.square().mean((1, 2, 3))


def flow_loss(model: CardModel, images: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
    """Return the mean squared error (N,) of the velocity on straight paths from noise to images.

    The arguments are those of `loss_per_image`; times are uniform within the steps that leave the
    levels (Lipman et al. 2023, eq. 23). Draws from the global generator of the device.
    """
    card = model.card
    assert isinstance(card, Flow)
    sharp, direction = 2 * images - 1, 2 * card.flow.data_time - 1
    noise_share = (levels - torch.rand(levels.shape, device=levels.device)) / model.card.levels
    share = noise_share.to(sharp).view(-1, 1, 1, 1)
    state = (1 - share) * sharp + share * noise
    times = 1 - noise_share if direction > 0 else noise_share
    error: Tensor = model(state, times) - direction * (sharp - noise)
    return error.square().mean((1, 2, 3))


def heat_loss(model: Model, images: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
    """Return the squared error (N,) of the predicted mean of u_{k−1}, summed over pixels.

    The arguments are those of `loss_per_image`. For "difference" the loss is as published. For
    "preconditioned" it is divided by Σ A_{k−1}² R_k, the error of the linear estimate, so that all
    levels have equal weight. It is then summed over cosines, where the blur is a factor; the
    transform is orthonormal, so the squared error is the same.
    """
    card, statistics = model.card, model.statistics
    if statistics is None:
        u = dissipate(images, model.sigmas[levels]) + card.training_noise_std * noise
        target = dissipate(images, model.sigmas[levels - 1])
        error: Tensor = model(u, levels) - target
        return error.square().sum((1, 2, 3))
    factor, factor_below = model.attenuation(levels), model.attenuation(levels - 1)
    cosines = dct2(images)
    state = factor * cosines + card.training_noise_std * dct2(noise)
    error = factor_below * (model.sharp_of(state, levels) - cosines)
    # Undivided, the targets of MNIST with K = 100 are 2.1 at k = 1 and 0.1 at k = 25, so the levels
    # that decide edges would get the gradient, and those of shapes little of it.
    _, unknown = linear_estimate(statistics, factor, card.training_noise_std)
    return error.square().sum((1, 2, 3)) / (factor_below**2 * unknown).sum((1, 2, 3))
