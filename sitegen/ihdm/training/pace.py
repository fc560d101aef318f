"""How a training run gets on: what it tells, and when something is due."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from sitegen.ihdm.training.log import Batch
from sitegen.ihdm.training.options import TrainingOptions


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
