"""Choice of the engine for each network of a loaded model."""

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
"""Largest number of pixels in a chunk; torch needs more to be worth the calls of its operators.

ONNX Runtime takes 3 % less time per core with 12 of 40 images at a time than with 4, but then only
4 cores are busy. Its results do not depend on the chunk, so the number of cores may decide.
"""

TENSORS = 24
"""Widest tensors of a U-Net that an evaluation holds at its peak, measured at 256 pixels."""
MEMORY = Path("/proc/meminfo")


def choose_engines(model: CardModel) -> None:
    """Set the fastest available engines of a model that will only be sampled from.

    Afterwards the networks must not change or move: an engine may have a copy of them.
    """
    for band, network in enumerate(model.networks):
        if not isinstance(network, CosineNet):
            model.engines[band] = _engine(model, band)


def _engine(model: CardModel, band: int) -> Engine:
    network, computed = model.networks[band], partial(model.computed, band=band)
    unet = model.card.networks[band].unet
    side = model.card.networks[band].side or model.card.image_size
    if model.device.type != "cpu":
        captured = model.device.type == "cuda" and isinstance(network, UNet)
        return Halving(Captured(computed) if captured else computed)
    if model.precision == "float32" and isinstance(network, UNet):
        onnx = onnx_engine(network, model.card.channels, side, CORES)
        if onnx is not None:
            images = max(1, PIXELS_IN_ONNX // side**2)
            return Chunked(onnx.alone, images, onnx.together, cores_for(unet, side, images))
    images = max(1, PIXELS_IN_TORCH // side**2)
    return Chunked(computed, images, cores=cores_for(unet, side, images))


def cores_for(unet: UNetConfig | None, side: int, images: int) -> int:
    """Return how many chunks to compute at a time: one per core within half the free memory.

    A chunk has `images` of `side` pixels. Returns all cores if the free memory is unknown.
    """
    try:
        found = re.search(r"MemAvailable: *(\d+) kB", MEMORY.read_text(encoding="utf-8"))
    except OSError:
        found = None
    if unet is None or found is None:
        return CORES
    return max(1, min(CORES, 1024 * int(found[1]) // 2 // (bytes_of(unet, side) * images)))


def bytes_of(unet: UNetConfig, side: int) -> int:
    """Estimate the peak memory in bytes of evaluating one image of `side` pixels."""
    return TENSORS * 4 * unet.model_channels * unet.channel_mult[0] * side**2
