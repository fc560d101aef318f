"""Each U-Net of a loaded model gets an engine that fits device, precision and network."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sitegen.core.compute import Precision
from sitegen.generative.card.card import preset
from sitegen.generative.engines import choice
from sitegen.generative.engines.captured import Captured
from sitegen.generative.engines.choice import choose_engines, cores_for
from sitegen.generative.engines.chunks import Chunked
from sitegen.generative.engines.memory import Halving
from sitegen.generative.engines.onnx_runtime import OnnxEngine
from sitegen.generative.process.model import Model
from tests.support.making import random_unet, small_card
from tests.support.tinymodel import on_one_thread

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


def model(precision: Precision = "float32") -> Model:
    """A model of the smallest size, ready to sample from."""
    card = small_card()
    return Model(card, [random_unet(card)], precision=precision).eval().requires_grad_(False)


def engine_of(chosen: Model) -> Chunked:
    """What was chosen for its network, which is evaluated on a CPU."""
    engine = chosen.engines[0]
    assert isinstance(engine, Chunked)
    return engine


def test_on_a_cpu() -> None:
    """ONNX Runtime in float32; the model answers as before, to rounding."""
    plain, chosen = model(), model()
    choose_engines(chosen)
    assert isinstance(engine_of(chosen).alone.engine.__self__, OnnxEngine)  # type: ignore[attr-defined]
    u = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        wanted, found = plain(u, 3), chosen(u, 3)
    assert float((found - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


def test_without_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch takes its place, in chunks, and the pictures are the same to rounding."""
    chosen, other = model(), model()
    choose_engines(chosen)
    monkeypatch.setattr(choice, "onnx_engine", lambda *given: None)
    choose_engines(other)
    assert engine_of(other).together is None
    u = torch.rand(20, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(chosen(u, 3), other(u, 3), atol=1e-5)


def test_bfloat16_is_for_torch() -> None:
    """ONNX Runtime computes in float32 alone; the workers know the precision."""
    plain, chosen = model("bfloat16"), model("bfloat16")
    choose_engines(chosen)
    assert engine_of(chosen).together is None
    u = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(plain(u, 3), chosen(u, 3), atol=0.02)
        assert not torch.allclose(model()(u, 3), chosen(u, 3), atol=1e-6)


def test_fewer_at_a_time_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what is free is shared out among chunks, and there is always one under way."""
    told = tmp_path / "meminfo"
    monkeypatch.setattr(choice, "CORES", 16)
    monkeypatch.setattr(choice, "MEMORY", told)
    faces, digits = preset("afhq-256").finest, preset("mnist").finest
    assert cores_for(faces, 256, 1) == 16  # the system does not tell
    for available, expected in [(100_000, 1), (8_000_000, 5), (64_000_000, 16)]:
        told.write_text(f"MemTotal: 99999999 kB\nMemAvailable:   {available} kB\n")
        assert cores_for(faces, 256, 1) == expected
    told.write_text("MemAvailable: 1000000 kB\n")
    assert cores_for(digits, 28, 4) == 13
    assert cores_for(None, 28, 4) == 16


def test_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole batch goes to one captured graph; networks that are not ours are not captured."""
    chosen = model()
    monkeypatch.setattr(Model, "device", SimpleNamespace(type="cuda"))
    choose_engines(chosen)
    engine = chosen.engines[0]
    assert isinstance(engine, Halving)
    assert isinstance(engine.engine, Captured)
