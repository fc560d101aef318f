"""Which engine evaluates which network of a loaded model."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.engines.captured import Captured
from sitegen.generative.engines.chunks import CORES, Chunked
from sitegen.generative.engines.memory import Halving
from sitegen.generative.engines.onnx_runtime import onnx_engine
from sitegen.generative.networks.cosines import CosineNet
from sitegen.generative.networks.unet import UNet
from sitegen.generative.process.model import CardModel, Engine

PIXELS_IN_ONNX = (12 if CORES <= 2 else 6 if CORES <= 4 else 4) * 28 * 28
PIXELS_IN_TORCH = 8 * 28 * 28
"""How many pixels a chunk has at most; torch needs more of them to be worth its operator calls.

Of 40 images ONNX Runtime takes 12 at a time in 3 % less time a core than 4, but then only 4 cores
have something to do; its last bits depend on neither, so the number of cores may decide.
"""

TENSORS = 24
"""How many of a U-Net's widest tensors an evaluation holds at its peak; measured at 256 pixels."""
MEMORY = Path("/proc/meminfo")


def choose_engines(model: CardModel) -> None:
    """Give a model that will only be sampled from the fastest engines that there are for it.

    The networks must stay where and as they are from now on: an engine may have its own copy.
    """
    for band, network in enumerate(model.networks):
        if not isinstance(network, CosineNet):
            model.engines[band] = _engine(model, band)


def _engine(model: CardModel, band: int) -> Engine:
    network, computed = model.networks[band], partial(model.computed, band=band)
    unet = model.card.networks[band].unet
    side = model.card.networks[band].side or model.card.image_size
    if model.device.type != "cpu":
        return Halving(Captured(computed) if isinstance(network, UNet) else computed)
    if model.precision == "float32" and isinstance(network, UNet):
        onnx = onnx_engine(network, model.card.channels, side, CORES)
        if onnx is not None:
            images = max(1, PIXELS_IN_ONNX // side**2)
            return Chunked(onnx.alone, images, onnx.together, cores_for(unet, side, images))
    images = max(1, PIXELS_IN_TORCH // side**2)
    return Chunked(computed, images, cores=cores_for(unet, side, images))


def cores_for(unet: UNetConfig | None, side: int, images: int) -> int:
    """How many chunks may be computed at a time: one a core, as far as half the free memory goes.

    `images` of `side` pixels are a chunk. Where the system does not tell its memory, all cores.
    """
    try:
        found = re.search(r"MemAvailable: *(\d+) kB", MEMORY.read_text(encoding="utf-8"))
    except OSError:
        found = None
    if unet is None or found is None:
        return CORES
    return max(1, min(CORES, 1024 * int(found[1]) // 2 // (bytes_of(unet, side) * images)))


def bytes_of(unet: UNetConfig, side: int) -> int:
    """About how much memory the evaluation of one image of `side` pixels takes at its peak."""
    return TENSORS * 4 * unet.model_channels * unet.channel_mult[0] * side**2
