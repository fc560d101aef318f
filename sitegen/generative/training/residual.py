"""Residual variance of a trained model: its uncertainty about sharp images, used in sampling."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sitegen.generative.card.card import ModelCard
from sitegen.generative.data.datasets import Images
from sitegen.generative.maths.heat import dct2, idct2, ring_means, rings
from sitegen.generative.process.model import Model, linear_estimate

IMAGES = 256
"""Images per level for estimating the residual variance."""
MORE = 16
"""Factor for the images per level of an MLP over cosines, which is as much faster."""
_CHUNK = 32


def evaluations(card: ModelCard, count: int = IMAGES) -> int:
    """Return how many evaluations of a U-Net `residual_shares` costs; 0 if it is not needed."""
    return count * card.steps if card.estimates_variance else 0


@torch.no_grad()
def residual_shares(
    model: Model, images: Images, advance: Callable[[], None] = lambda: None, count: int = IMAGES
) -> Tensor:
    """Return the share of R_k that a "preconditioned" model leaves at each level (`Statistics`).

    Estimated from a sample of the uint8 `images` (N, C, H, W) with the noise of training, as the
    covariances of the errors of û_0 over the mean R_k of each ring, float32. Levels that are not
    visited get the value of the next visited level above. `advance` is called after each visited
    level; an exception from it ends the estimate.
    """
    statistics, card = model.statistics, model.card
    assert statistics is not None
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(images), generator=generator)[: MORE * count]
    all_cosines = dct2(torch.as_tensor(images[chosen.numpy()]).to(model.device).float() / 255)
    size = (card.levels, rings(card.image_size), card.channels, card.channels)
    shares, before = torch.zeros(size, dtype=torch.float64), 0
    for level in sorted(card.visited_levels)[1:]:
        band = card.networks[card.band_at(level)]
        cosines = all_cosines if band.cosines else all_cosines[:count]
        factor = model.attenuation(torch.tensor([level], device=model.device))
        noise = torch.randn(cosines.shape, generator=generator).to(model.device)
        states = idct2(factor * cosines) + card.training_noise_std * noise
        parts = [model.sharp(part, level) for part in torch.split(states, _CHUNK)]
        _, unknown = linear_estimate(statistics, factor, card.training_noise_std)
        errors = torch.cat(parts) - cosines
        means = torch.stack([ring_means(variance) for variance in unknown[0]]).sqrt()  # (C, rings)
        products = [
            torch.stack([ring_means(one * other) for other in errors.unbind(1)])
            for one in errors.unbind(1)
        ]
        covariances = (torch.stack(products) / (means[:, None] * means)).permute(2, 0, 1)
        shares[before:level] = covariances.cpu()
        before = level
        advance()
    result = shares.float()
    return result[..., 0, 0] if card.channels == 1 else result
