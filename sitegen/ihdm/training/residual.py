"""How much a trained model leaves unknown of sharp images: what the noise of sampling needs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sitegen.ihdm.data.images import Images
from sitegen.ihdm.process.heat import dct2, idct2, ring_means, rings
from sitegen.ihdm.process.model import Model, linear_estimate

IMAGES = 256
"""So many states of a level say what is left there."""
_CHUNK = 32


@torch.no_grad()
def residual_shares(
    model: Model, images: Images, seed: int = 0, advance: Callable[[], None] = lambda: None
) -> Tensor:
    """The share (K, rings) float32 of R_k that a "preconditioned" model leaves, level by level.

    From `IMAGES` of the uint8 `images` (N, C, H, W) with the noise of training: their mean squared
    error of û_0 over the mean R_k of each ring. Levels that are not visited have what the next
    lower one has that is. `advance` is called after each of these; what it raises ends all.
    """
    statistics, card = model.statistics, model.card
    assert statistics is not None
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(images), generator=generator)[:IMAGES]
    cosines = dct2(torch.as_tensor(images[chosen.numpy()]).to(model.device).float() / 255)
    shares = torch.zeros(card.levels, rings(card.image_size))
    before = 0
    for level in sorted(card.visited_levels)[1:]:
        here = model.attenuation(torch.tensor([level], device=model.device))
        noise = torch.randn(cosines.shape, generator=generator).to(model.device)
        states = idct2(here * cosines) + card.training_noise_std * noise
        parts = [dct2(model(part, level, 0)) for part in torch.split(states, _CHUNK)]
        left = ring_means((torch.cat(parts) - cosines).square())
        _, unknown = linear_estimate(statistics, here, card.training_noise_std)
        shares[before:level] = (left / ring_means(unknown)).float().cpu()
        before = level
        advance()
    return shares
