"""The networks that training chooses for a size of images."""

import pytest

from sitegen.generative.card.networks import Band, UNetConfig
from sitegen.generative.training.recipe import (
    FINE_UNET,
    NOISE_UNET,
    as_ddpm,
    small_card,
)
from sitegen.models.browser import network_flop


@pytest.mark.parametrize(
    ("kind", "small", "share"), [("ihdm", FINE_UNET, 0.6), ("ddpm", NOISE_UNET, 0.5)]
)
def test_large_images_get_patches(kind: str, small: UNetConfig, share: float) -> None:
    """At 64 pixels a light network works on patches, at about half of the cost of one for 32."""

    def network(size: int) -> UNetConfig | None:
        card = small_card(size, 3)
        return as_ddpm(card, light=True).unet if kind == "ddpm" else card.networks[0].unet

    large = network(64)
    assert large is not None
    assert (network(32), large.patch_size) == (small, 2)
    costs = [network_flop(Band(1, unet=config), 3, 64) for config in (small, large)]
    assert costs[1] < share * costs[0]
