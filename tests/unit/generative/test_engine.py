"""Networks are evaluated in fixed parts, each on one thread, and on a GPU by captured graphs."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from sitegen.core.compute import Precision
from sitegen.generative.engine import (
    Captured,
    Parts,
    choose_engines,
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
