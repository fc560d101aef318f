"""Networks on a CPU: small chunks of images, each on one thread, as many at a time as cores.

The chunks depend only on the number and size of the images. Torch's last bits depend on how many
threads share a computation, here always one. Images therefore depend neither on the machine's
number of cores nor on other work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TypeVar

import torch
from torch import Tensor

from sitegen.generative.engines.memory import Halving
from sitegen.generative.process.model import Engine

_T = TypeVar("_T")
CORES = torch.get_num_threads()
"""Threads of torch when this module was imported; `OMP_NUM_THREADS` determines it."""
EVEN = 4
"""Divisor of the number of chunks, so that 2 or 4 cores finish together."""


def chunk_sizes(count: int, largest: int) -> list[int]:
    """Divide `count` images into chunks of at most `largest`, as even as possible."""
    chunks = min(count, EVEN * -(-count // (EVEN * largest)))
    return [count * (i + 1) // chunks - count * i // chunks for i in range(chunks)]


@cache
def workers(count: int) -> ThreadPoolExecutor:
    """Return this process's pool of threads for chunks; each thread computes alone."""
    return ThreadPoolExecutor(count, "chunks", initializer=partial(torch.set_num_threads, 1))


class Chunked:
    """Engine that evaluates chunks of at most `largest` images in parallel.

    `alone` computes on the calling thread. `together` computes the same on all cores, and is used
    if there are too few chunks to keep them busy.
    """

    def __init__(
        self, alone: Engine, largest: int, together: Engine | None = None, cores: int = CORES
    ) -> None:
        self.alone, self.largest, self.cores = Halving(alone), largest, cores
        self.together = Halving(Verified(together, alone)) if together else None

    def __call__(self, x: Tensor, levels: Tensor) -> Tensor:
        """Evaluate: (N, C, H, W), levels (N,) → (N, C, H, W)."""
        sizes = chunk_sizes(len(x), self.largest)
        parts = torch.split(x, sizes), torch.split(levels, sizes)
        if self.together is not None and 2 * len(sizes) <= self.cores:
            return _joined(map(self.together, *parts))
        return _joined(workers(self.cores).map(_without_gradients(self.alone), *parts))


def _joined(parts: Iterator[Tensor]) -> Tensor:
    first, *others = parts
    return torch.cat([first, *others]) if others else first


def _without_gradients(engine: Engine) -> Engine:
    """Disable gradients in the thread of the call, since torch's setting is per thread."""

    def evaluate(x: Tensor, levels: Tensor) -> Tensor:
        with torch.no_grad():
            return engine(x, levels)

    return evaluate


@dataclass
class Verified:
    """Engine on all cores that is used only while its results are bit-identical to one core's.

    The first result for each batch size is computed by both. If they differ, `alone` computes all
    further ones.
    """

    together: Engine
    alone: Engine
    same: dict[int, bool] = field(default_factory=dict)

    def __call__(self, x: Tensor, levels: Tensor) -> Tensor:
        """Evaluate: (N, C, H, W), levels (N,) → (N, C, H, W)."""
        if len(x) not in self.same:
            answer = self.alone(x, levels)
            self.same[len(x)] = torch.equal(answer, self.together(x, levels))
            return answer
        return (self.together if self.same[len(x)] else self.alone)(x, levels)


_lock = threading.Lock()
_entered: list[int] = []  # torch's number of threads, once for each thread inside


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Make torch compute on the calling thread only; restore its threads afterwards.

    Several threads may be inside; the last one to leave restores the original number.
    """
    with _lock:
        _entered.append(_entered[0] if _entered else torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            before = _entered.pop()
            if not _entered:
                torch.set_num_threads(before)


def each_on_one_thread(steps: Iterable[_T]) -> Iterator[_T]:
    """Yield the steps, each computed `on_one_thread`.

    Networks have their own threads. The work between them is so small that waiting for a second
    thread costs more than it saves, while other threads draw and encode.
    """
    steps = iter(steps)
    while True:
        with on_one_thread():
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step
