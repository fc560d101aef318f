"""What a training run tells: its log, a line every few steps, and how it gets on."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sitegen.core.files import platform_errors, write_atomic
from sitegen.ihdm.training.options import TrainingOptions

LOG_NAME = "log.jsonl"
LOG_EVERY = 50
"""Steps between two lines."""

Batch = tuple[Tensor, Tensor]
"""The levels (N,) and the losses (N,) of the images of one step."""


class TrainingLog:
    """Lines `{"step", "loss", "by_level": {"1-10": loss, …}}` of a model with K = `levels`."""

    def __init__(self, path: Path, levels: int) -> None:
        self.path = path
        self._bands = tuple(_bands(levels))

    def write(self, step: int, batches: Iterable[Batch]) -> None:
        """Add the line of `step` with the mean loss of these batches."""
        parts = list(batches)
        levels = torch.cat([levels for levels, _ in parts])
        losses = torch.cat([losses for _, losses in parts]).cpu()
        by_level = {}
        for low, high in self._bands:
            chosen = losses[(levels >= low) & (levels <= high)]
            if len(chosen):
                by_level[f"{low}-{high}"] = _rounded(chosen)
        record = {"step": step, "loss": _rounded(losses), "by_level": by_level}
        with platform_errors(self.path), self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")

    def cut(self, step: int) -> None:
        """Drop what a killed run wrote after the `step` that it goes on from."""
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if _step(line) <= step]
            write_atomic(self.path, "".join(f"{line}\n" for line in kept).encode())


def _rounded(losses: Tensor) -> float:
    return round(float(losses.mean()), 6)


def _step(line: str) -> float:
    """The step of a line; infinite for a line that is not whole."""
    try:
        record: Any = json.loads(line)
        return float(record["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _bands(levels: int, count: int = 10) -> Iterator[tuple[int, int]]:
    edges = [round(levels * i / count) for i in range(count + 1)]
    for low, high in itertools.pairwise(edges):
        if high > low:
            yield low + 1, high


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for whoever shows it; speed and time left are those of this session.

    loss: the mean over the last steps, in the units of `loss_per_image`
    """

    step: int
    steps: int
    loss: float
    images_per_second: float
    seconds_left: float


class Pace:
    """How fast this session is, which began at the step `first`."""

    def __init__(self, first: int, options: TrainingOptions) -> None:
        self._first = first
        self._options = options
        self._started = time.monotonic()

    def progress(self, step: int, recent: Iterable[Batch]) -> Progress:
        """Where the run stands after `step` steps."""
        per_step = (time.monotonic() - self._started) / max(step - self._first, 1)
        steps, size = self._options.steps, self._options.batch_size
        loss = float(torch.cat([losses for _, losses in recent]).mean())
        return Progress(step, steps, loss, size / max(per_step, 1e-9), (steps - step) * per_step)


class Timer:
    """True at the first call after each `every_s` seconds, and once after `first_s`, if sooner."""

    def __init__(self, every_s: float, first_s: float = math.inf) -> None:
        self._every_s = every_s
        self._last = time.monotonic() - max(every_s - first_s, 0)

    def __call__(self) -> bool:
        """Whether it is time."""
        now = time.monotonic()
        if now - self._last < self._every_s:
            return False
        self._last = now
        return True
