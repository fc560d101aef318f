"""U-Nets in ONNX Runtime answer as torch does, and what it cannot have is left to torch."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any
from unittest.mock import Mock

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from sitegen.core.installed import memory_full
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.engines import onnx_runtime
from sitegen.generative.engines.onnx_runtime import OnnxEngine, onnx_engine
from sitegen.generative.networks.unet import UNet
from tests.support.making import ARCHITECTURES, random_unet, small_card
from tests.support.paths import ROOT
from tests.support.tinymodel import on_one_thread

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)

ODD: list[dict[str, Any]] = [
    *ARCHITECTURES,
    {"channel_mult": (1, 2), "resblock_updown": True, "attention_levels": (1,), "num_heads": 2},
    {"channel_mult": (2, 1), "num_head_channels": 8, "use_new_attention_order": False},
    {"channel_mult": (1, 3), "use_scale_shift_norm": True, "conv_resample": False, "dropout": 0.3},
    {"model_channels": 3, "channel_mult": (32, 64)},
    {"model_channels": 8, "channel_mult": (1, 3), "norm_groups": 8},
    {"channel_mult": (1, 2), "patch_size": 2, "channels": 3},
    {"channel_mult": (1,), "patch_size": 4},
    {"channel_mult": (1, 1), "image_size": 6},
]
SHIPPED = sorted(folder.name for folder in (ROOT / "models").iterdir() if folder.is_dir())


def difference(unet: nn.Module, engine: OnnxEngine, x: Tensor, levels: Tensor) -> float:
    """How far the engine is from torch at most, as a share of the largest value."""
    with torch.no_grad():
        wanted = unet(x, levels)
    return float((engine.alone(x, levels) - wanted).abs().max() / wanted.abs().max())


def images(count: int, channels: int, side: int) -> Tensor:
    """Numbers such as networks see."""
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("options", ODD, ids=str)
def test_same_answers_as_torch(options: dict[str, Any]) -> None:
    """In every configuration, for levels of their own and for one that all share."""
    card = small_card(**options)
    unet = random_unet(card)
    engine = OnnxEngine(unet, card.channels, card.image_size, 2)
    x = images(3, card.channels, card.image_size)
    assert difference(unet, engine, x, torch.tensor([1, 5, 8])) < 1e-5
    assert difference(unet, engine, x, torch.tensor([7]).expand(3)) < 1e-5
    assert difference(unet, engine, x[:1], torch.tensor([0.5])) < 1e-5


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_networks(name: str) -> None:
    """Every U-Net in `models/` has an engine, with the bits of one thread on two, and in any batch.

    These bits are what `Verified` asks for before it uses several threads.
    """
    model = load_model(ROOT / "models" / name)
    card, found = model.card, 0
    for network, band in zip(model.networks, card.networks, strict=True):
        if not isinstance(network, UNet):
            continue
        side = band.side or card.image_size
        engine = onnx_engine(network, card.channels, side, 2)
        assert engine is not None
        x, levels = images(4, card.channels, side), torch.tensor([9]).expand(4)
        assert difference(network, engine, x, levels) < 1e-5
        together = engine.together(x, levels)
        assert torch.equal(engine.alone(x, levels), together)
        assert torch.equal(engine.alone(x[1:2], levels[:1]), together[1:2])
        found += 1
    assert found


TWO = torch.zeros(2, 1, 8, 8), torch.tensor([3, 3])


def small(config: UNetConfig | None = None) -> UNet:
    """A network of the smallest size."""
    return UNet(config or small_card().finest, 1).eval()


@pytest.mark.parametrize("name", ["onnxruntime", "onnx"])
def test_without_the_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no engine where a part is not installed."""
    monkeypatch.delitem(sys.modules, "sitegen.generative.engines.onnx_graph", raising=False)
    for each in [each for each in sys.modules if each.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, each)
    monkeypatch.setitem(sys.modules, name, None)
    assert onnx_engine(small(), 1, 8, 2) is None


def test_what_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer with no counterpart, a graph that the library refuses, and too many weights."""
    make = partial(onnx_engine, channels=1, side=8, cores=2)
    assert make(small()) is not None
    other = small()
    other.out[1] = nn.GELU()
    assert make(other) is None
    monkeypatch.setattr("sitegen.generative.engines.onnx_graph.OPSET", 1000)
    assert make(small()) is None
    monkeypatch.undo()
    monkeypatch.setattr(onnx_runtime, "LARGEST", 1000)
    assert make(small()) is None


@pytest.mark.parametrize("error", ["Fail", "RuntimeException"])
def test_memory_is_full_for_a_session(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as torch tells it, and no reason to compute with torch, which needs more of it."""
    full = getattr(onnxruntime.capi.onnxruntime_pybind11_state, error)("std::bad_alloc")
    engine = onnx_engine(small(), 1, 8, 2)
    assert engine is not None
    monkeypatch.setattr(onnxruntime, "InferenceSession", Mock(side_effect=full))
    for make in (lambda: onnx_engine(small(), 1, 8, 2), lambda: engine.together(*TWO)):
        with pytest.raises(RuntimeError) as told:
            make()
        assert memory_full(told.value) == "out of memory"
