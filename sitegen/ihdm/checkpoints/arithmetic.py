"""How much arithmetic a network takes, told from the shapes of its weights; no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod

from sitegen.ihdm.card.networks import UNetConfig

_PLACE = re.compile(r"(input_blocks|middle_block|output_blocks|out)\.(\d+)\.")


def unet_flop(shapes: Mapping[str, tuple[int, ...]], unet: UNetConfig, side: int) -> int:
    """Multiplications and additions for one image of `side` pixels, of products alone.

    `shapes` are those of the U-Net's tensors under their published names.
    """
    return sum(_flop(name, shape, unet, side) for name, shape in shapes.items() if len(shape) > 1)


def linear_flop(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The same of a network that has nothing but linear layers."""
    return sum(2 * prod(shape) for shape in shapes.values() if len(shape) > 1)


def _flop(name: str, shape: tuple[int, ...], unet: UNetConfig, side: int) -> int:
    if len(shape) == 2:  # of the level's embedding, once an image
        return 2 * prod(shape)
    pixels = (side >> _level(name, unet)) ** 2
    attention = 4 * pixels**2 * shape[1] if name.endswith(".qkv.weight") else 0
    return 2 * prod(shape) * pixels + attention


def _level(name: str, unet: UNetConfig) -> int:
    """How often images have been halved where a layer answers."""
    place = _PLACE.match(name)
    last, blocks = len(unet.channel_mult) - 1, unet.num_res_blocks + 1
    if place is None or place[1] == "out":
        return 0
    if place[1] == "input_blocks":
        return max(0, (int(place[2]) - 1) // blocks) + (".op." in name)
    if place[1] == "middle_block":
        return last
    return last - int(place[2]) // blocks - (".conv." in name)
