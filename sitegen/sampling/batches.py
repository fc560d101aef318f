"""Sampling work as data that can be divided into shards and sent to another process.

A shard has as many samples as a network processes at a time. The shards of a figure run here, one
step after the other, or in the workers of a cluster. In both cases each shard is a batch of its
own, so no bit of a picture depends on where it was computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from sitegen.core.errors import ConfigError
from sitegen.generative.process.noise import Branching, NoiseSource, on_device, rows_of
from sitegen.generative.process.protocol import GenerativeProcess, Part, Step, run

Selection = Literal["steps", "state", "mean", "final", "last"]
"""Output of each step: states and means; or states, means or predicted images, and last the mean;
or the last mean alone."""

Visible = tuple[int, tuple[Tensor, ...]]
"""A level and its output (N, C, H, W), in [0, 1] pixel units."""


@dataclass(frozen=True, eq=False)
class SampleBatch:
    """Samples of a process: from the states `initial` (N, C, H, W), with that noise.

    sample: the index of the first among all samples of the figure
    """

    process: GenerativeProcess
    initial: Tensor
    noise: NoiseSource | None
    sample: int = 0

    def shards(self, largest: int) -> list[SampleBatch]:
        """Return the batch in parts of `largest` samples, the last with the rest.

        A tree, whose noise has several branches for one initial state, is not divided.
        """
        count = len(self.initial)
        if count <= largest:
            return [self]
        return [self._rows(at, min(at + largest, count)) for at in range(0, count, largest)]

    def _rows(self, first: int, last: int) -> SampleBatch:
        noise = self.noise
        if noise is not None:
            noise = rows_of(noise, len(self.initial), first, last)
        initial = self.initial[first:last].clone()
        return replace(self, initial=initial, noise=noise, sample=self.sample + first)

    def on(self, device: torch.device) -> SampleBatch:
        """Return the batch for another device."""
        noise = None if self.noise is None else on_device(self.noise, device)
        return replace(self, initial=self.initial.to(device), noise=noise)

    def run(self, first: int = 0, last: int | None = None) -> Iterator[Step]:
        """Run the steps from `first` on and before `last`; `initial` is the state before them."""
        return run(self.process, self.initial, self.noise, Part(first, last, self.sample))

    def select(self, step: Step, selection: Selection) -> tuple[Tensor, ...]:
        """Return the selected output of a step, in pixel units."""
        if selection == "final" and step.level:
            if step.final is None:
                raise ConfigError('show = "final": the model does not predict finished images')
            return (self.process.pixels(step.final(), 0),)
        wanted = select(step.level, (step.state, step.mean), selection)
        return tuple(self.process.pixels(each, step.level) for each in wanted)


def select(level: int, both: tuple[Tensor, ...], selection: Selection) -> tuple[Tensor, ...]:
    """Return the selected arrays of the state and the mean of a level."""
    state, mean = both
    if selection == "steps":
        return both
    if selection == "last" and level:
        return ()
    return (state if selection == "state" and level else mean,)


def bytes_of_all(process: GenerativeProcess, count: int, noise: NoiseSource | None) -> int:
    """Return the size of the states and means of all levels of `count` samples, at most."""
    leaves = noise.branches(1) if isinstance(noise, Branching) else 1
    return 2 * len(process.transitions()) * leaves * count * math.prod(process.shape) * 4


Executor = Callable[[Sequence[SampleBatch], Selection], Iterator[Visible]]
"""Runs shards, and yields the selected output of each level, all shards together."""


def joined(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Return the output of several shards as that of all samples."""
    if len(parts) == 1:
        return parts[0]
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))
