"""What a network is trained for: the statistics, the levels drawn, and the loss."""

from __future__ import annotations

import torch
from torch import Tensor

from sitegen.generative.process.ddpm import DiffusionModel
from sitegen.generative.process.heat import Statistics, dct2, dissipate
from sitegen.generative.process.model import Model, linear_estimate

_FOCUS_WIDTH = 0.18
"""The standard deviation of the focus on some levels, as a share of K."""


def image_statistics(images: Tensor, chunk: int = 4096) -> Statistics:
    """Mean and variance (C, H, W) of the cosine coefficients of uint8 images (N, C, H, W)."""
    total = torch.zeros(images.shape[1:], dtype=torch.float64)
    square = torch.zeros_like(total)
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        coefficients = dct2(part.double() / 255)
        total += coefficients.sum(0)
        square += coefficients.square().sum(0)
    mean = total / len(images)
    variance = (square / len(images) - mean.square()).clamp_min(1e-10)
    return Statistics(mean.float(), variance.float())


def level_density(levels: int, focus: float, centre: float) -> Tensor:
    """How often each level 1 … K is drawn, float64 (K,), up to a factor: 1 plus the focus.

    `focus` is how much there is of it, `centre` where it lies, as a share of K.
    """
    place = torch.arange(1, levels + 1, dtype=torch.float64) / levels
    return 1 + focus * torch.exp(-0.5 * ((place - centre) / _FOCUS_WIDTH) ** 2)


def draw_levels(count: int, density: Tensor, generator: torch.Generator) -> Tensor:
    """Levels (count,) of 1 … K that have a density, stratified: each batch covers all of them."""
    highest, cumulative = int(density.nonzero().max()) + 1, density.cumsum(0)
    places = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    drawn = torch.searchsorted(cumulative, places.double() * cumulative[-1], right=True) + 1
    return drawn.clamp_max(highest)[torch.randperm(count, generator=generator)]


def loss_per_image(
    model: Model | DiffusionModel, images: Tensor, levels: Tensor, noise: Tensor
) -> Tensor:
    """What a model is trained to make small (N,), for each of `images` (N, C, H, W) in [0, 1].

    `levels` are k (N,), `noise` standard normal. For a DDPM the mean squared error of the noise
    that it predicts (Ho et al. 2020, eq. 14), or of v; otherwise `heat_loss`.
    """
    if isinstance(model, Model):
        return heat_loss(model, images, levels, noise)
    sharp, schedule = 2 * images - 1, model.schedule
    wanted = schedule.velocity(sharp, levels, noise) if model.predicts_velocity else noise
    error: Tensor = model.answer(schedule.diffuse(sharp, levels, noise), levels) - wanted
    return error.square().mean((1, 2, 3))


def heat_loss(model: Model, images: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
    """Squared error (N,) of the predicted mean of u_{k−1}, summed over pixels.

    The arguments are those of `loss_per_image`. As published for the "difference"
    parameterization. For "preconditioned" divided by Σ A_{k−1}² R_k, the error of the linear
    estimate, so that every level counts the same; and summed over cosines, where the blur is a
    factor and which a squared error does not tell from pixels, as they are orthonormal.
    """
    card, statistics = model.card, model.statistics
    if statistics is None:
        u = dissipate(images, model.sigmas[levels]) + card.training_noise_std * noise
        target = dissipate(images, model.sigmas[levels - 1])
        error: Tensor = model(u, levels) - target
        return error.square().sum((1, 2, 3))
    here, left = model.attenuation(levels), model.attenuation(levels - 1)
    cosines = dct2(images)
    state = here * cosines + card.training_noise_std * dct2(noise)
    error = left * (model.sharp_of(state, levels) - cosines)
    _, unknown = linear_estimate(statistics, here, card.training_noise_std)
    return error.square().sum((1, 2, 3)) / (left**2 * unknown).sum((1, 2, 3))
