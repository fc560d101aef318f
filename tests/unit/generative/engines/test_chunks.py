"""Images go through a network in fixed chunks, each on one thread, whatever the number of cores."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
import torch
from torch import Tensor

from sitegen.generative.engines.chunks import (
    Chunked,
    Verified,
    chunk_sizes,
    each_on_one_thread,
    on_one_thread,
)
from sitegen.generative.engines.onnx_runtime import OnnxEngine
from sitegen.generative.process.model import Engine
from tests.support.making import random_unet, small_card
from tests.support.tinymodel import on_one_thread as quick

one_thread = pytest.fixture(scope="module", autouse=True)(quick)

UNET = random_unet(small_card(channel_mult=(1, 2), attention_levels=(1,)))
ENGINES: dict[str, Engine] = {"torch": UNET, "onnx": OnnxEngine(UNET, 1, 8, 2).alone}
X = torch.randn(13, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LEVELS = torch.tensor([3]).expand(13)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9, 36, 40, 41, 1000])
@pytest.mark.parametrize("largest", [1, 3, 4, 16])
def test_chunks_are_even(count: int, largest: int) -> None:
    """They hold all images, none too many, differ by one at most, and share out among 4 cores."""
    sizes = chunk_sizes(count, largest)
    assert sum(sizes) == count
    assert max(sizes) <= largest
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) % 4 == 0 or len(sizes) == count


@pytest.mark.parametrize("name", ENGINES)
def test_same_bits_whatever_the_number_of_cores(name: str) -> None:
    """1, 2 and 3 workers, and one image on several, give the same tensor."""
    engine = ENGINES[name]
    one, two, three = (Chunked(engine, 2, cores=cores)(X, LEVELS) for cores in (1, 2, 3))
    assert one.shape == X.shape
    assert torch.equal(one, two)
    assert torch.equal(one, three)
    alone = [Chunked(engine, 2, cores=cores)(X[:1], LEVELS[:1]) for cores in (1, 2)]
    assert torch.equal(*alone)


@pytest.mark.parametrize("name", ENGINES)
def test_a_sample_in_its_chunk_and_alone(name: str) -> None:
    """It has the bits of its chunk among others, and alone the same to rounding."""
    engine = ENGINES[name]
    whole = Chunked(engine, 2)(X, LEVELS)
    start = 0
    for size in chunk_sizes(len(X), 2):
        part = slice(start, start + size)
        with torch.no_grad():
            assert torch.equal(engine(X[part], LEVELS[part]), whole[part])
        start += size
    alone = Chunked(engine, 2)(X[5:6], LEVELS[5:6])
    assert float((alone - whole[5:6]).abs().max()) < 1e-5 * float(whole.abs().max())


def test_each_image_keeps_its_level() -> None:
    """Levels are divided as images are."""
    levels = torch.arange(1, 14)
    found = Chunked(lambda x, k: x + k.view(-1, 1, 1, 1), 2)(X, levels)
    assert torch.equal(found, X + levels.view(-1, 1, 1, 1))


def test_workers_compute_alone_and_at_the_same_time() -> None:
    """Two chunks are under way together, each with one thread of torch's and no gradients."""
    both = threading.Barrier(2, timeout=60)
    seen = []

    def engine(x: Tensor, levels: Tensor) -> Tensor:
        both.wait()
        seen.append((torch.get_num_threads(), torch.is_grad_enabled()))
        return x

    Chunked(engine, 1, cores=2)(X[:2], LEVELS[:2])
    assert seen == [(1, False), (1, False)]


@pytest.mark.parametrize("same", [True, False])
def test_several_threads_only_for_the_same_bits(same: bool) -> None:
    """The first answer is compared, and only if it is equal do later ones come from all cores."""
    calls = []

    def engine(name: str, more: float) -> Engine:
        def evaluate(x: Tensor, levels: Tensor) -> Tensor:
            calls.append(name)
            return x + more

        return evaluate

    together = engine("together", 0 if same else 1e-7)
    verified = Verified(together, engine("alone", 0))
    for _ in range(3):
        assert torch.equal(verified(X[:1], LEVELS[:1]), X[:1])
    later = "together" if same else "alone"
    assert calls == ["alone", "together", later, later]


def test_few_images_use_all_cores() -> None:
    """One chunk on two cores is for the engine of several threads; more chunks are for workers."""
    used = []

    def together(x: Tensor, levels: Tensor) -> Tensor:
        used.append(len(x))
        return x

    chunked = Chunked(lambda x, levels: x, 4, together, cores=2)
    chunked(X[:1], LEVELS[:1])
    chunked(X, LEVELS)
    assert used == [1]


def test_torch_gets_its_threads_back() -> None:
    """Also when two threads compute, and the one that came first leaves first."""
    inside, leave = threading.Event(), threading.Event()

    def other() -> int:
        with on_one_thread():
            inside.set()
            leave.wait(60)
            return torch.get_num_threads()

    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(1) as pool:
            with on_one_thread():
                found = pool.submit(other)
                inside.wait(60)
            assert torch.get_num_threads() == 1
            leave.set()
            assert found.result() == 1
        with on_one_thread():
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("seen", [1, 9])
def test_only_what_is_computed_is_on_one_thread(seen: int) -> None:
    """Who takes the steps has its threads between them, and after the last or when it leaves."""

    def walk() -> Iterator[int]:
        for _ in range(3):
            yield torch.get_num_threads()

    torch.set_num_threads(3)
    try:
        steps = each_on_one_thread(walk())
        found = [(inside, torch.get_num_threads()) for inside in islice(steps, seen)]
        assert found == [(1, 3)] * min(seen, 3)
        del steps
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
