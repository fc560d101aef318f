"""The networks that training chooses for a size of images."""

from collections.abc import Callable

import pytest
import torch

from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.checkpoints.arithmetic import unet_flop
from sitegen.generative.networks.unet import UNet
from sitegen.generative.training.recipe import (
    FINE_UNET,
    NOISE_UNET,
    as_ddpm,
    as_flow,
    light_noise_unet,
    light_unet,
    small_card,
)


@pytest.mark.parametrize(("of", "small"), [(light_unet, FINE_UNET), (light_noise_unet, NOISE_UNET)])
def test_large_images_get_patches(of: Callable[[int], UNetConfig], small: UNetConfig) -> None:
    """At 64 pixels a light network works on patches, at 0.7 at most of the cost of one for 32."""
    large = of(64)
    assert (of(32), large.patch_size) == (small, 2)
    costs = []
    for config in (small, large):
        with torch.device("meta"):
            shapes = {n: tuple(t.shape) for n, t in UNet(config, 3).state_dict().items()}
        costs.append(unet_flop(shapes, config, 64))
    assert costs[1] < 0.7 * costs[0]


def test_noise_is_seen_at_eight_pixels() -> None:
    """The light network of all levels halves images until 8 pixels a side, at any size."""
    for size in (32, 64):
        for card in (small_card(size, 3), small_card(size, 3, levels=30)):
            unet = as_ddpm(card, light=True).unet
            assert unet is not None
            assert as_flow(card, light=True).unet == unet
            halvings = len(unet.channel_mult) - 1
            assert size // (unet.patch_size or 1) >> halvings == 8
