"""Networks are evaluated in fixed parts, each on one thread, and on a GPU by captured graphs."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from sitegen.core.compute import Precision
from sitegen.core.errors import PlatformError
from sitegen.generative.engine import (
    Captured,
    Parts,
    choose_engines,
    memory_errors,
)
from sitegen.generative.process.model import Model
from tests.support.making import random_unet, small_card
from tests.support.tinymodel import on_one_thread as quick

one_thread = pytest.fixture(scope="module", autouse=True)(quick)

CARD = small_card(channel_mult=(1, 2), attention_levels=(1,))
X = torch.randn(13, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LEVELS = torch.tensor([3]).expand(13)


def model(precision: Precision = "float32") -> Model:
    """Return a model of the smallest size, ready to sample from."""
    return Model(CARD, [random_unet(CARD)], precision=precision).eval().requires_grad_(False)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_same_pictures_as_without_an_engine(precision: Precision, tolerance: float) -> None:
    """Layout, shared levels and number type change the answer by rounding alone."""
    plain, chosen = model(), model(precision)
    choose_engines(chosen)
    with torch.no_grad():
        wanted = plain(X, 3)
        for level in (3, torch.full((13,), 3)):
            difference = (chosen(X, level) - wanted).abs().max()
            assert 0 < float(difference) < tolerance * float(wanted.abs().max())


def test_workers_compute_alone_and_at_the_same_time() -> None:
    """Two parts are computed together, each with one thread of torch's and no gradients."""
    both = threading.Barrier(2, timeout=60)
    settings = []

    def engine(x: Tensor, levels: Tensor) -> Tensor:
        both.wait()
        settings.append((torch.get_num_threads(), torch.is_grad_enabled()))
        return x

    Parts(engine, 1, cores=2)(X[:2], LEVELS[:2])
    assert settings == [(1, False), (1, False)]


def test_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole batch goes to one captured graph."""
    chosen = model()
    monkeypatch.setattr(Model, "device", SimpleNamespace(type="cuda"))
    choose_engines(chosen)
    engine = chosen.engines[0]
    assert isinstance(engine, Captured)


TORCH = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 160563200 bytes. Error"
FULL: list[tuple[Exception, str]] = [
    (RuntimeError(f"[enforce fail at alloc_cpu.cpp:127] err == 0. {TORCH} code 12"), "160563200 b"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"), "2.00 GiB"),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you"), ""),
    (RuntimeError("could not create a primitive"), ""),
    (MemoryError("Unable to allocate 74.5 GiB for an array with shape (9,)"), "74.5 GiB"),
]
ROWS = torch.arange(7.0)[:, None, None, None].expand(7, 1, 2, 2).contiguous()
NUMBERS = torch.arange(1, 8)


@pytest.mark.parametrize(("error", "requested"), FULL, ids=[str(error) for error, _ in FULL])
def test_exhausted_memory(error: Exception, requested: str) -> None:
    """Exit code 4, what was being done, and the size requested where the library has it."""
    doing, message = "computing level 3", "out of memory.* while computing level 3"
    with pytest.raises(PlatformError, match=message) as raised, memory_errors(doing):
        raise error
    assert raised.value.__cause__ is error
    assert requested in str(raised.value)
    assert ("requested" in str(raised.value)) == bool(requested)


def test_a_part_that_is_too_much() -> None:
    """The library's own exception arrives, also from a worker."""

    def engine(x: Tensor, levels: Tensor) -> Tensor:
        raise MemoryError("Unable to allocate 1.00 TiB for an array")

    message = r"out of memory \(1.00 TiB requested\) while computing level 3"
    with pytest.raises(PlatformError, match=message), memory_errors("computing level 3"):
        Parts(engine, 2, cores=2)(ROWS, NUMBERS)
