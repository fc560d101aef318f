"""What the runs of this package share: averaged weights, and the way to the end, saving."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from sitegen.ihdm.options import TrainingOptions

SAVE_EVERY_S = 120.0
Result = TypeVar("Result", covariant=True)


class Run(Protocol[Result]):
    """A run in memory that can be saved whole.

    The random numbers of a step come from its number.
    """

    step: int
    training: TrainingOptions

    def advance(self) -> Result:
        """Take one step."""

    def save(self, path: Path) -> None:
        """Write the whole state."""


class Averages:
    """The averages of a network's parameters over the steps, by name."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], training: TrainingOptions) -> None:
        self.parameters, self.training = parameters, training
        self.values = {name: value.detach().clone() for name, value in parameters.items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move a little towards the parameters as they are after `step`."""
        current: list[Tensor] = [self.parameters[name] for name in self.values]
        share = self.training.ema_share(step)
        torch._foreach_lerp_(list(self.values.values()), current, 1 - share)


def to_the_end(
    run: Run[Result], path: Path, describe: Callable[[list[Result]], str], every: int
) -> None:
    """Take all steps that are left, save now and then, and print what the last `every` gave."""
    saved = time.monotonic()
    recent: list[Result] = []
    while run.step < run.training.steps:
        recent.append(run.advance())
        if run.step % every == 0:
            print(f"step {run.step} of {run.training.steps}: {describe(recent)}", flush=True)
            recent.clear()
        if time.monotonic() - saved > SAVE_EVERY_S:
            run.save(path)
            saved = time.monotonic()
    run.save(path)
