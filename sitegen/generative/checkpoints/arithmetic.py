"""Number of operations of a network, from the shapes of its weights; no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod

from sitegen.generative.card.networks import UNetConfig

_PLACE = re.compile(r"(input_blocks|middle_block|output_blocks|out)\.(\d+)\.")


def unet_flop(shapes: Mapping[str, tuple[int, ...]], unet: UNetConfig, side: int) -> int:
    """Return the multiplications and additions of matrix products for one image of `side` pixels.

    `shapes` are those of the U-Net's tensors under their published names.
    """
    total = 0
    for name, shape in shapes.items():
        if len(shape) == 2:  # the level's embedding, once per image
            total += 2 * prod(shape)
        elif len(shape) > 2:
            pixels = (side // unet.patch >> _level(name, unet)) ** 2
            total += 2 * prod(shape) * pixels
            # Attention multiplies each pixel's query by all keys, and its weights by all values.
            total += 4 * pixels**2 * shape[1] if name.endswith(".qkv.weight") else 0
    return total


def linear_flop(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the multiplications and additions of a network that has only linear layers."""
    return sum(2 * prod(shape) for shape in shapes.values() if len(shape) > 1)


def _level(name: str, unet: UNetConfig) -> int:
    match = _PLACE.match(name)
    last, blocks = len(unet.channel_mult) - 1, unet.num_res_blocks + 1
    if match is None or match[1] == "out":
        return 0
    if match[1] == "input_blocks":
        return max(0, (int(match[2]) - 1) // blocks) + (".op." in name)
    if match[1] == "middle_block":
        return last
    return last - int(match[2]) // blocks - (".conv." in name)
