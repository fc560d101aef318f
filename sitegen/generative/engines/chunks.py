"""Networks on a CPU: a few images at a time, each few on one thread, as many as there are cores.

How images are divided follows from their number and size alone, and torch's last bits depend on
how many threads share a computation. So pictures depend neither on the machine's number of cores
nor on what else it computes.
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
"""How many threads torch was given when this module was imported; `OMP_NUM_THREADS` decides it."""
EVEN = 4
"""Images are divided into a multiple of as many chunks, so that 2 or 4 cores end together."""


def chunk_sizes(count: int, largest: int) -> list[int]:
    """How many of `count` images each chunk has: as even as can be, `largest` at most."""
    chunks = min(count, EVEN * -(-count // (EVEN * largest)))
    return [count * (i + 1) // chunks - count * i // chunks for i in range(chunks)]


@cache
def workers(count: int) -> ThreadPoolExecutor:
    """The threads of this process that evaluate chunks; each computes alone."""
    return ThreadPoolExecutor(count, "chunks", initializer=partial(torch.set_num_threads, 1))


class Chunked:
    """An engine that evaluates chunks of at most `largest` images at the same time.

    `alone` computes on the thread that calls it. `together` computes the same on all cores, and is
    used where there are too few chunks to keep them busy.
    """

    def __init__(
        self, alone: Engine, largest: int, together: Engine | None = None, cores: int = CORES
    ) -> None:
        self.alone, self.largest, self.cores = Halving(alone), largest, cores
        self.together = Halving(Verified(together, alone)) if together else None

    def __call__(self, x: Tensor, levels: Tensor) -> Tensor:
        """As the network: (N, C, H, W), levels (N,) → (N, C, H, W)."""
        sizes = chunk_sizes(len(x), self.largest)
        parts = torch.split(x, sizes), torch.split(levels, sizes)
        if self.together is not None and 2 * len(sizes) <= self.cores:
            return _joined(map(self.together, *parts))
        return _joined(workers(self.cores).map(_without_gradients(self.alone), *parts))


def _joined(parts: Iterator[Tensor]) -> Tensor:
    first, *others = parts
    return torch.cat([first, *others]) if others else first


def _without_gradients(engine: Engine) -> Engine:
    """The engine as it must be called in another thread, which torch asks anew for each."""

    def evaluate(x: Tensor, levels: Tensor) -> Tensor:
        with torch.no_grad():
            return engine(x, levels)

    return evaluate


@dataclass
class Verified:
    """An engine on all cores, for as long as its answers have the bits of one core alone.

    The first answer for each number of images is computed by both, and where they differ, so are
    all others by `alone`.
    """

    together: Engine
    alone: Engine
    same: dict[int, bool] = field(default_factory=dict)

    def __call__(self, x: Tensor, levels: Tensor) -> Tensor:
        """As `alone`."""
        if len(x) not in self.same:
            answer = self.alone(x, levels)
            self.same[len(x)] = torch.equal(answer, self.together(x, levels))
            return answer
        return (self.together if self.same[len(x)] else self.alone)(x, levels)


_lock = threading.Lock()
_entered: list[int] = []  # how many threads torch had, once for each thread that is inside


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Have torch compute on the calling thread alone; afterwards as before.

    Several threads may be inside; what torch had before the first comes back with the last.
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
    """The same steps, each of them computed `on_one_thread`.

    Networks have their own threads, and what is computed between two of them is so little that a
    second thread would be waited for longer than it helps, while others draw and encode.
    """
    steps = iter(steps)
    while True:
        with on_one_thread():
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step
