"""The networks that training chooses for a size of images."""

import pytest
import torch

from sitegen.generative.checkpoints.arithmetic import unet_flop
from sitegen.generative.networks.unet import UNet
from sitegen.generative.training.recipe import FINE_UNET, as_ddpm, as_flow, small_card


@pytest.mark.parametrize("kind", ["ihdm", "ddpm"])
def test_large_images_get_patches(kind: str) -> None:
    """At 64 pixels the finest network works on patches, at 0.6 of the cost of the one for 32."""
    small, large = small_card(32, 3), small_card(64, 3)
    if kind == "ddpm":
        small, large = as_ddpm(small, light=True), as_ddpm(large, light=True)
    assert small.networks[0].unet == FINE_UNET
    unet = large.networks[0].unet
    assert unet is not None
    assert unet.patch_size == 2
    costs = []
    for config in (FINE_UNET, unet):
        with torch.device("meta"):
            shapes = {n: tuple(t.shape) for n, t in UNet(config, 3).state_dict().items()}
        costs.append(unet_flop(shapes, config, 64))
    assert costs[1] < 0.6 * costs[0]


def test_noise_is_seen_at_eight_pixels() -> None:
    """The light network of all levels halves images until 8 pixels a side, at any size."""
    for size in (32, 64):
        for card in (small_card(size, 3), small_card(size, 3, levels=30)):
            unet = as_ddpm(card, light=True).unet
            assert unet is not None
            assert as_flow(card, light=True).unet == unet
            halvings = len(unet.channel_mult) - 1
            assert size // (unet.patch_size or 1) >> halvings == 8
