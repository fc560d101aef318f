"""Sampling work as data that an executor runs: here, or in the workers of a cluster.

A batch is divided into shards, each with as many samples as a network processes at a time. An
executor runs the shards of a figure and yields their levels, all shards together. Everywhere a
shard is a batch of its own, so no bit of a picture depends on where it was computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from sitegen.core.errors import ConfigError
from sitegen.core.files import Place, Spool
from sitegen.generative.card.card import ModelCard
from sitegen.generative.engine import CORES, each_on_one_thread, memory_errors
from sitegen.generative.process.model import CardModel
from sitegen.generative.process.noise import Branching, Noise
from sitegen.generative.process.protocol import GenerativeProcess, Step, run

PIXELS_AT_ONCE = 48 * 64 * 64
"""Pixels that a model processes at a time; its engines divide them into parts (`engine.py`)."""
FEWEST = 8
"""Minimum number of images at a time, however large, so that several cores have work."""

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
    noise: Noise | None
    sample: int = 0

    def shards(self) -> list[SampleBatch]:
        """Return the batch in parts of as many samples as a model sees at a time.

        A tree, whose noise has several branches for one initial state, is not divided.
        """
        count, largest = len(self.initial), chunk(self.process.shape)
        if count <= largest:
            return [self]
        return [self._rows(at, min(at + largest, count)) for at in range(0, count, largest)]

    def _rows(self, first: int, last: int) -> SampleBatch:
        noise = self.noise
        if noise is not None:
            assert not isinstance(noise, Branching)  # of a single state
            noise = noise.rows(first, last)
        initial = self.initial[first:last].clone()
        return replace(self, initial=initial, noise=noise, sample=self.sample + first)

    def with_model(self, model: Any) -> SampleBatch:
        """Return the batch with a network, and its states there; None for a batch to be sent."""
        process = replace(self.process, model=model, starts=None)
        if model is None:
            return replace(self, process=process)
        return replace(self, process=process, initial=self.initial.to(model.device))

    def select(self, step: Step, selection: Selection) -> tuple[Tensor, ...]:
        """Return the selected output of a step, in pixel units."""
        if selection == "final" and step.level:
            if step.final is None:
                fault = f"the step to level {step.level} predicts no image"
                raise ConfigError(f'show = "final": {fault}; use show = "state"')
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


Executor = Callable[[Sequence[SampleBatch], Selection], Iterator[Visible]]
"""Runs shards, and yields the selected output of each level, all shards together."""


def run_here(shards: Sequence[SampleBatch], selection: Selection) -> Iterator[Visible]:
    """Run shards in this process, all of them step by step."""
    process = shards[0].process
    if isinstance(process.model, CardModel):
        process = replace(process, model=ChunkedModel(process.model))
    runs = [run(process, each.initial, each.noise, each.sample) for each in shards]

    def levels() -> Iterator[Visible]:
        for steps in zip(*runs, strict=True):
            parts = (each.select(step, selection) for each, step in zip(shards, steps, strict=True))
            yield steps[0].level, joined(list(parts))

    return each_on_one_thread(levels())


def joined(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Return the output of several shards as that of all samples."""
    if len(parts) == 1:
        return parts[0]
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))


@dataclass(frozen=True)
class ChunkedModel:
    """A model that sees a fixed number of pixels at a time, and names levels in its errors."""

    model: Any

    @property
    def card(self) -> ModelCard:
        """The card of the model."""
        card: ModelCard = self.model.card
        return card

    @property
    def device(self) -> torch.device | None:
        """The device of the model, if known."""
        return getattr(self.model, "device", None)

    def noise_std(self, level: int, below: int, delta: float) -> float | Tensor:
        """Return the model's noise standard deviation if it knows one; else `delta`."""
        known = hasattr(self.model, "noise_std")
        found: float | Tensor = self.model.noise_std(level, below, delta) if known else delta
        return found

    def __call__(self, u: Tensor, *levels: int | None) -> Tensor:
        """Evaluate the model with its own arguments."""
        with memory_errors(f"computing level {levels[0]}"):
            parts = torch.split(u, chunk(self.card.shape))
            return torch.cat([self.model(part, *levels) for part in parts])


def chunk(shape: tuple[int, ...]) -> int:
    """Return how many images of a shape (C, H, W) the network sees at a time."""
    return max(FEWEST, PIXELS_AT_ONCE // (shape[1] * shape[2]))


def bytes_of_all(process: GenerativeProcess, count: int, noise: Noise | None) -> int:
    """Return the size of the states and means of all levels of `count` samples, at most."""
    leaves = noise.branches(1) if isinstance(noise, Branching) else 1
    return 2 * (len(process.levels) - 1) * leaves * count * math.prod(process.shape) * 4


class SpooledLevels:
    """Levels and their output, in memory up to a limit and then in a file."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._levels: list[tuple[int, list[tuple[Place, torch.Size, torch.device]]]] = []

    def add(self, level: int, tensors: Sequence[Tensor]) -> None:
        """Store the float32 output of a level. Raises PlatformError if the disk is full."""
        places = [
            (self._spool.add(each.contiguous().cpu().numpy().data), each.shape, each.device)
            for each in tensors
        ]
        self._levels.append((level, places))

    def levels(self) -> Iterator[Visible]:
        """Yield all stored levels."""
        for level, places in self._levels:
            yield level, tuple(self._read(*each) for each in places)

    def _read(self, place: Place, shape: torch.Size, device: torch.device) -> Tensor:
        numbers = torch.frombuffer(bytearray(self._spool.read(place)), dtype=torch.float32)
        return numbers.view(shape).to(device)


def seconds_an_image(model: CardModel) -> float:
    """Return the networks' seconds per image at one level, averaged over the levels.

    Measured with as many images as rendering processes at a time; with one per core if they are
    large.
    """
    left = model.card.visited_levels[:-1]
    bands = [model.card.band_at(level) for level in left]
    seconds = {band: _seconds_at(model, left[bands.index(band)]) for band in {*bands}}
    return sum(seconds[band] for band in bands) / len(bands)


@torch.inference_mode()
def _seconds_at(model: CardModel, level: int) -> float:
    _, height, width = model.card.shape
    size = max(CORES, PIXELS_AT_ONCE // (height * width))  # fewer than `FEWEST` would be, if large
    states = torch.zeros(size, *model.card.shape, device=model.device)
    seconds = math.inf
    for _ in range(3):
        started = time.perf_counter()
        model(states, level).cpu()  # which waits for the device
        seconds = min(seconds, time.perf_counter() - started)
    return seconds / size
