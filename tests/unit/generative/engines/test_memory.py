"""When memory runs out fewer images are computed at a time, and one too many is told plainly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sitegen.core.errors import PlatformError
from sitegen.generative.engines.chunks import Chunked
from sitegen.generative.engines.memory import Halving, memory_errors

TORCH = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 160563200 bytes. Error"
FULL: list[tuple[Exception, str]] = [
    (RuntimeError(f"[enforce fail at alloc_cpu.cpp:127] err == 0. {TORCH} code 12"), "160563200 b"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0"), "2.00 GiB"),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you"), ""),
    (RuntimeError("could not create a primitive"), ""),
    (MemoryError("Unable to allocate 74.5 GiB for an array with shape (9,)"), "74.5 GiB"),
    (RuntimeError("Failed to allocate memory for requested buffer of size 512"), "512 bytes"),
    (RuntimeError("Non-zero status code: std::bad_alloc"), ""),
]
X = torch.arange(7.0)[:, None, None, None].expand(7, 1, 2, 2).contiguous()
LEVELS = torch.arange(1, 8)


@pytest.mark.parametrize(("error", "wanted"), FULL, ids=[str(error) for error, _ in FULL])
def test_plain_words(error: Exception, wanted: str) -> None:
    """Exit code 4, what was being done, and how much was wanted where the library tells it."""
    doing, words = "computing level 3", "out of memory.* while computing level 3"
    with pytest.raises(PlatformError, match=words) as found, memory_errors(doing):
        raise error
    assert found.value.__cause__ is error
    assert wanted in str(found.value)
    assert ("requested" in str(found.value)) == bool(wanted)


def test_other_errors_pass() -> None:
    """A fault that is not one of memory stays what it is, and halves nothing."""

    def engine(x: Tensor, levels: Tensor) -> Tensor:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"), memory_errors("computing"):
        Halving(engine)(X, LEVELS)


@pytest.mark.parametrize("room", [1, 2, 3, 4, 6])
def test_batches_halve(room: int) -> None:
    """With room for some images at a time all are computed, in their order, each at its level.

    What has failed once is not tried again.
    """
    sizes = []

    def engine(x: Tensor, levels: Tensor) -> Tensor:
        sizes.append(len(x))
        if len(x) > room:
            raise FULL[room][0]  # each room with another library's error
        return 10 * x + levels.view(-1, 1, 1, 1)

    halving = Halving(engine)
    wanted = 10 * X + LEVELS.view(-1, 1, 1, 1)
    assert torch.equal(halving(X, LEVELS), wanted)
    tried = len(sizes)
    assert torch.equal(halving(X, LEVELS), wanted)
    assert max(sizes[tried:]) <= room


def test_one_image_that_is_too_much() -> None:
    """It is not tried for ever; the library's own exception arrives, also from a worker."""

    def engine(x: Tensor, levels: Tensor) -> Tensor:
        raise MemoryError("Unable to allocate 1.00 TiB for an array")

    words = r"out of memory \(1.00 TiB requested\) while computing level 3"
    with pytest.raises(PlatformError, match=words), memory_errors("computing level 3"):
        Chunked(engine, 2, cores=2)(X, LEVELS)
