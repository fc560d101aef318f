"""What is to be sampled, as plain data that can be divided into shards and can travel.

A shard is as many samples as a network sees at a time. Wherever the shards of a figure are
computed, here one step after the other or by the workers of a cluster, each is a batch of its own.
So no bit of a picture depends on where that was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from sitegen.generative.card.card import ModelCard
from sitegen.generative.engines.chunks import each_on_one_thread
from sitegen.generative.process.ddpm import to_pixels
from sitegen.generative.process.noise import Branching, NoiseSource, on_device, rows_of
from sitegen.generative.process.reverse import (
    Part,
    Step,
    ddim_process,
    ddpm_process,
    reverse_process,
)

Keep = Literal["steps", "state", "mean", "last"]
"""What is wanted of the steps: states and means; states or means, and last the mean; that alone."""

Seen = tuple[int, tuple[Tensor, ...]]
"""A level, and what is wanted of it (N, C, H, W), in [0, 1] pixel units."""


class Way(Protocol):
    """How one gets down from an initial state: a reverse process and what it is told."""

    def steps(self, card: ModelCard) -> int:
        """How many steps it takes."""

    def walk(
        self, model: Any, state: Tensor, noise: NoiseSource | None, part: Part
    ) -> Iterator[Step]:
        """Take the steps of a part, from the state that the first of them leaves."""

    def pixels(self, x: Tensor) -> Tensor:
        """A state or a mean in [0, 1] pixel units."""


@dataclass(frozen=True)
class Heat:
    """The reverse of heat dissipation; δ is the card's if not given."""

    noise_std: float | None = None

    def steps(self, card: ModelCard) -> int:
        """Those between the levels that the card visits."""
        return card.steps

    def walk(
        self, model: Any, state: Tensor, noise: NoiseSource | None, part: Part
    ) -> Iterator[Step]:
        """As `reverse_process`."""
        assert noise is not None
        return reverse_process(model, state, noise, self.noise_std, part=part)

    def pixels(self, x: Tensor) -> Tensor:
        """As it is."""
        return x


@dataclass(frozen=True)
class Ancestral:
    """The ancestral sampling of a DDPM."""

    def steps(self, card: ModelCard) -> int:
        """Those between the levels that the card visits."""
        return card.steps

    def walk(
        self, model: Any, state: Tensor, noise: NoiseSource | None, part: Part
    ) -> Iterator[Step]:
        """As `ddpm_process`."""
        assert noise is not None
        return ddpm_process(model, state, noise, part=part)

    def pixels(self, x: Tensor) -> Tensor:
        """From [-1, 1] to [0, 1]."""
        return to_pixels(x)


@dataclass(frozen=True)
class Implicit:
    """The deterministic way down of a DDPM (DDIM), in `count` steps."""

    count: int

    def steps(self, card: ModelCard) -> int:
        """As many as it was told."""
        return self.count

    def walk(
        self, model: Any, state: Tensor, noise: NoiseSource | None, part: Part
    ) -> Iterator[Step]:
        """As `ddim_process`."""
        return ddim_process(model, state, self.count, part=part)

    def pixels(self, x: Tensor) -> Tensor:
        """From [-1, 1] to [0, 1]."""
        return to_pixels(x)


@dataclass(frozen=True, eq=False)
class Descent:
    """Samples on their way down: from `initial` (N, C, H, W) with that noise.

    sample: the place of the first among all samples of the figure
    """

    way: Way
    initial: Tensor
    noise: NoiseSource | None
    sample: int = 0

    def shards(self, largest: int) -> list[Descent]:
        """The same in parts of `largest` samples, the last with what is left.

        A tree, whose noise has several branches for one initial state, is not divided.
        """
        count = len(self.initial)
        if count <= largest:
            return [self]
        return [self._rows(at, min(at + largest, count)) for at in range(0, count, largest)]

    def _rows(self, first: int, last: int) -> Descent:
        noise = self.noise
        if noise is not None:
            noise = rows_of(noise, len(self.initial), first, last)
        return replace(
            self,
            initial=self.initial[first:last].clone(),
            noise=noise,
            sample=self.sample + first,
        )

    def on(self, device: torch.device) -> Descent:
        """The same for another device."""
        noise = None if self.noise is None else on_device(self.noise, device)
        return replace(self, initial=self.initial.to(device), noise=noise)

    def walk(self, model: Any, first: int = 0, last: int | None = None) -> Iterator[Step]:
        """Take the steps from `first` on and before `last`; `initial` is what that one leaves."""
        return self.way.walk(model, self.initial, self.noise, Part(first, last, self.sample))

    def kept(self, step: Step, keep: Keep) -> tuple[Tensor, ...]:
        """What is wanted of a step, in pixel units."""
        wanted = picked(step.level, (step.state, step.mean), keep)
        return tuple(self.way.pixels(each) for each in wanted)


def bytes_of_all(way: Way, card: ModelCard, count: int, noise: NoiseSource | None) -> int:
    """How much the states and means of all levels are, of so many initial states, at most."""
    leaves = noise.branches(1) if isinstance(noise, Branching) else 1
    return 2 * way.steps(card) * leaves * count * math.prod(card.shape) * 4


def picked(level: int, both: tuple[Tensor, ...], keep: Keep) -> tuple[Tensor, ...]:
    """What is wanted of the state and the mean of a level."""
    state, mean = both
    if keep == "steps":
        return both
    if keep == "last" and level:
        return ()
    return (state if keep == "state" and level else mean,)


Place = Callable[[Sequence[Descent], Keep], Iterator[Seen]]
"""Where shards are computed: gives what is wanted of each level, all shards of it together."""


def here(model: Any) -> Place:
    """Compute with a model of this process, all shards step by step."""

    def compute(shards: Sequence[Descent], keep: Keep) -> Iterator[Seen]:
        walks = zip(*(shard.walk(model) for shard in shards), strict=True)
        for steps in each_on_one_thread(walks):
            kept = [shard.kept(step, keep) for shard, step in zip(shards, steps, strict=True)]
            yield steps[0].level, joined(kept)

    return compute


def joined(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """What several shards have kept of a level, as that of all samples."""
    if len(parts) == 1:
        return parts[0]
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))
