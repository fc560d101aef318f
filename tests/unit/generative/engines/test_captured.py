"""Captured evaluations are recorded once for each size and replayed, by a device made up here."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from sitegen.generative.engines.captured import Captured, Replay
from sitegen.generative.process.model import Engine

X = torch.arange(12.0).view(12, 1, 1, 1)
LEVELS = torch.arange(12)


class FakeDevice:
    """Keeps what a GPU would: fixed places for inputs and answer, of each captured size."""

    def __init__(self) -> None:
        self.captured: list[int] = []
        self.replayed = 0

    def capture(self, engine: Engine, x: Tensor, levels: Tensor) -> Replay:
        """Record an engine for inputs of these shapes."""
        self.captured.append(len(x))
        places, answer = (x.clone(), levels.clone()), torch.empty_like(x)

        def replay(x: Tensor, levels: Tensor) -> Tensor:
            self.replayed += 1
            places[0].copy_(x)
            places[1].copy_(levels)
            time.sleep(1e-4)  # here another thread would write into them
            answer.copy_(engine(*places))
            return answer.clone()

        return replay


def double(x: Tensor, levels: Tensor) -> Tensor:
    """An engine whose answer tells image and level."""
    return 2 * x + levels.view(-1, 1, 1, 1)


def test_a_size_is_captured_when_it_comes_again() -> None:
    """The first time it is computed as it is; then captured once, and replayed from there on."""
    device = FakeDevice()
    engine = Captured(double, capture=device.capture)
    for start in (0, 3, 6):
        part = slice(start, start + 3)
        assert torch.equal(engine(X[part], LEVELS[part]), double(X[part], LEVELS[part]))
    assert (device.captured, device.replayed) == ([3], 2)
    engine(X[:5], LEVELS[:5])
    assert device.captured == [3]


def test_only_some_sizes_are_kept() -> None:
    """Beyond that others are computed as they are, and right."""
    device = FakeDevice()
    engine = Captured(double, most=2, capture=device.capture)
    for _ in range(3):
        for count in (1, 2, 3):
            found = engine(X[:count], LEVELS[:count])
            assert torch.equal(found, double(X[:count], LEVELS[:count]))
    assert device.captured == [1, 2]


def test_threads_share_it() -> None:
    """Figures that are rendered at the same time do not write into each other's places."""
    engine = Captured(double, capture=FakeDevice().capture)

    def evaluate(start: int) -> bool:
        part = slice(start % 9, start % 9 + 3)
        return torch.equal(engine(X[part], LEVELS[part]), double(X[part], LEVELS[part]))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(evaluate, range(200)))
