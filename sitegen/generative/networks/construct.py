"""Construction of the network of a band of levels."""

from __future__ import annotations

from torch import nn

from sitegen.generative.card.networks import Band, DiffusersUNet, KDiffusionConfig, LucidrainsConfig
from sitegen.generative.networks.cosines import CosineNet
from sitegen.generative.networks.diffusers_unet import build
from sitegen.generative.networks.kdiffusion_unet import ImageUnet
from sitegen.generative.networks.lucidrains_unet import Unet
from sitegen.generative.networks.unet import UNet


def new_network(band: Band, channels: int, image_size: int) -> nn.Module:
    """Return a band's network with random weights, for images of `channels` × `image_size`²."""
    if band.cosines is not None:
        return CosineNet(band.cosines, band.side or image_size, channels)
    assert band.unet is not None
    if isinstance(band.unet, DiffusersUNet):
        return build(band.unet)
    if isinstance(config := getattr(band.unet, "config", None), LucidrainsConfig):
        return Unet(config)
    if isinstance(config, KDiffusionConfig):
        return ImageUnet(config)
    return UNet(band.unet, channels)
