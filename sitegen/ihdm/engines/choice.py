"""Which engine evaluates which network of a loaded model."""

from __future__ import annotations

from functools import partial

from sitegen.ihdm.engines.captured import Captured
from sitegen.ihdm.engines.chunks import CORES, Chunked
from sitegen.ihdm.engines.memory import Halving
from sitegen.ihdm.engines.onnx_runtime import onnx_engine
from sitegen.ihdm.nets.cosines import CosineNet
from sitegen.ihdm.nets.unet import UNet
from sitegen.ihdm.process.model import CardModel, Engine

PIXELS_IN_ONNX = 4 * 28 * 28
PIXELS_IN_TORCH = 8 * 28 * 28
"""How many pixels a chunk has at most; torch needs more of them to be worth its operator calls."""


def choose_engines(model: CardModel) -> None:
    """Give a model that will only be sampled from the fastest engines that there are for it.

    The networks must stay where and as they are from now on: an engine may have its own copy.
    """
    for band, network in enumerate(model.networks):
        if not isinstance(network, CosineNet):
            model.engines[band] = _engine(model, band)


def _engine(model: CardModel, band: int) -> Engine:
    network, computed = model.networks[band], partial(model.computed, band=band)
    side = model.card.networks[band].side or model.card.image_size
    if model.device.type != "cpu":
        return Halving(Captured(computed) if isinstance(network, UNet) else computed)
    if model.precision == "float32" and isinstance(network, UNet):
        onnx = onnx_engine(network, model.card.channels, side, CORES)
        if onnx is not None:
            return Chunked(onnx.alone, _images(PIXELS_IN_ONNX, side), onnx.together)
    return Chunked(computed, _images(PIXELS_IN_TORCH, side))


def _images(pixels: int, side: int) -> int:
    return max(1, pixels // side**2)
