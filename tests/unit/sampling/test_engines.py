"""A sampler's pictures depend neither on cores nor on memory."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from sitegen.core.compute import ComputeTarget, Precision
from sitegen.core.errors import PlatformError
from sitegen.generative import engine as engines
from sitegen.generative.engine import Parts
from sitegen.models.registry import ModelSource, model_source
from sitegen.sampling import trajectory
from sitegen.sampling.models import Sampler, load_sampler
from tests.support.builders import CPU
from tests.support.tinymodel import on_one_thread, write_model

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The files of a tiny model."""
    return model_source("tiny", write_model(tmp_path_factory.mktemp("models") / "tiny"))


def finals(sampler: Sampler, count: int) -> Tensor:
    """The finished images of the first samples."""
    *_, last = sampler.begin(3, range(count), None).steps
    return last.mean


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_same_bits_on_any_number_of_cores(
    source: ModelSource, precision: Precision, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole ways down are the same on 1, 2 and 3 cores."""
    monkeypatch.setattr(engines, "NUMBERS_IN_PART", 2 * 8 * 8)
    monkeypatch.setattr(trajectory, "PIXELS_IN_PART", 4 * 8 * 8)
    target = ComputeTarget("cpu", precision)
    found = []
    for cores in (1, 2, 3):
        monkeypatch.setattr(engines, "CORES", cores)
        found.append(finals(load_sampler(source, target), count))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


FULL = "out of memory while computing level 4"


@pytest.mark.parametrize(
    ("error", "told", "words"),
    [
        (None, PlatformError, rf"\({1 << 57} bytes requested\) while computing level 4"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), PlatformError, FULL),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you"), PlatformError, FULL),
        (MemoryError(), PlatformError, FULL),
        (RuntimeError("shapes do not match"), RuntimeError, "shapes do not match"),
    ],
)
def test_no_memory(source: ModelSource, error: Any, told: Any, words: str) -> None:
    """Where memory does not suffice, sampling ends with the level and what was wanted.

    So it does in torch's several ways of saying so, and a bug is not told as such.
    """
    sampler = load_sampler(source, CPU)
    engine = sampler.model.engines[0]
    assert isinstance(engine, Parts)
    engine.network = Mock(side_effect=error or (lambda x, levels: torch.empty(1 << 55)))
    with pytest.raises(told, match=words):
        finals(sampler, 5)
