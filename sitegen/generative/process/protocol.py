"""A process with its network, and the loop that runs it.

A process is a sequence of transitions, each from a level k to a lower one. A transition maps a
state and standard normal draws to the next state: the `move` of the card's class (`base.py`).
`run` executes them in order, for every process.

All randomness is standard normal and belongs to a sample: `draw(n)` gives the n-th draw of a
transition. In a tree (`noise.Branching`) a draw has m rows for each state. Each state then splits
into m adjacent ones, which `base.split` and `base.add_noise` do.

A process in which nothing is random after the start has trees as well (`Renoised`). A branch splits
at a level by noise on its finished image: the process's own forward process takes that image back
to the level of the split, with new noise, and the sample is finished again from there. States at a
level keep their law, and later splits leave more in common. The first of two branches is the parent
itself, and the second is such a sibling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor

from sitegen.core.errors import ConfigError, TargetError
from sitegen.generative.card.labels import Condition
from sitegen.generative.maths.noise import NoiseSource, Purpose, independent, normal, sample_at
from sitegen.generative.process.base import Draw, Moved, ProcessCard

DIVERGED = 1000.0
"""Largest absolute value of a state, as a multiple of the largest one that is expected."""


@dataclass(frozen=True, eq=False)
class Step:
    """Result of a step: `level` falls from below K to 0; the other fields are those of `Moved`."""

    level: int
    state: Tensor
    mean: Tensor
    final: Callable[[], Tensor] | None = None


@dataclass(frozen=True)
class GenerativeProcess:
    """A process with its network.

    card: the process
    model: the network. It decides no equality, so that a process can be compared, and sent without
        it
    begin: the level of the initial states, one of those that are visited; the first if not given
    end: the level at which samples stop, a visited one; 0 if not given
    condition: labels of the samples; None for none
    bare: whether `pixels` returns states unchanged
    """

    card: ProcessCard
    model: Any = field(compare=False, repr=False)
    begin: int | None = field(default=None, kw_only=True)
    end: int = field(default=0, kw_only=True)
    condition: Condition | None = field(default=None, kw_only=True)
    bare: bool = field(default=False, kw_only=True)

    @cached_property
    def network(self) -> Any:
        """The model, for samples with the labels of the condition.

        Raises ConfigError if it needs labels and there are none.
        """
        labels = self.card.labels
        if self.condition is None:
            if labels is not None and not labels.optional:
                raise ConfigError(f"this model draws by label only; the labels are {labels.listed}")
            return self.model
        assert labels is not None
        return self.model.conditioned(self.condition, labels.rows)

    @property
    def random(self) -> bool:
        """True if transitions draw noise."""
        return "random" in self.card.abilities

    @property
    def device(self) -> torch.device | None:
        """The device of the network, if known."""
        return getattr(self.model, "device", None)

    @property
    def levels(self) -> Sequence[int]:
        """The levels of the states, from the first to the last."""
        levels = self.card.visited_levels
        begin = levels[0] if self.begin is None else self.begin
        return levels[levels.index(begin) : levels.index(self.end) + 1]

    def start(self, seed: int, samples: Sequence[int]) -> Tensor:
        """Return the initial states (N, C, H, W) of N samples of a seed, without a prior."""
        return self.card.start(self.model, seed, samples)

    def move(self, level: int, below: int, x: Tensor, draw: Draw, memory: Any = None) -> Moved:
        """Return the states at the level `below` of states (N, C, H, W) at a level.

        memory: that of the transition before, for a process that keeps one
        """
        if memory is None:
            return self.card.move(self.network, level, below, x, draw)
        return self.card.move(self.network, level, below, x, draw, memory)  # type: ignore[call-arg]

    def pixels(self, states: Tensor, level: int) -> Tensor:
        """Return states or images (N, C, H, W) of a level in [0, 1] pixel units, unclipped."""
        return states if self.bare else self.card.pixels(states, level)

    def between(self, first: Tensor, last: Tensor, points: int) -> Tensor:
        """Return initial states (points, C, H, W) on the path from one (C, H, W) to another."""
        return self.card.between(self.model, first, last, points)

    def corrupt(self, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return states at a level of finished images, both (N, C, H, W) as states are."""
        return self.card.corrupt(self.model, images, level, draw)

    def forward(self, images: Tensor, level: int, normal: Tensor) -> Tensor:
        """Return states at a level of images in [0, 1], with those normal numbers (N, C, H, W)."""
        # Pixels of level 0 are a multiple of its states and a number.
        zero, one = (self.pixels(torch.full_like(images, value), 0) for value in (0.0, 1.0))
        return self.corrupt((images - zero) / (one - zero), level, lambda _: normal.to(images))


def process_of(model: Any) -> GenerativeProcess:
    """Return the process of a loaded model."""
    return GenerativeProcess(cast(ProcessCard, model.card), model)


def run(
    process: GenerativeProcess, initial_state: Tensor, noise: NoiseSource | None, first: int = 0
) -> Iterator[Step]:
    """Run a process from `initial_state` (N, C, H, W), and yield a step for each transition.

    `noise(level)` gives the standard normal numbers (N, C, H, W) of the transition that leaves a
    level, and `noise(level, n)` those of its draw n > 0. `first` is the index of the first sample
    among all, for error messages. No gradients are kept.

    Raises TargetError, naming level, sample and range, when a state is not finite or far from
    images.
    """
    state = initial_state.to(process.device or initial_state.device, torch.float32)
    memory = None
    for level, below in pairwise(process.levels):
        # Not around the loop: between two steps, a generator would leave it set for its caller.
        with torch.no_grad():
            draw = partial(noise_draw, noise, level, state.device)
            moved = process.move(level, below, state, draw, memory)
        state, memory = moved.state, moved.memory
        _check_finite(process, state, below, noise, first)
        yield Step(below, moved.state, moved.mean, moved.final)


def reverse_process(
    model: Any,
    start: Tensor,
    noise: NoiseSource | None,
    sampling_noise_std: float | None = None,
    *,
    begin: int | None = None,
) -> Iterator[Step]:
    """Run the process of a model's card from `start` (N, C, H, W); yield a step per visited level.

    The card selects the levels below K that are visited, all K of them by default; the last is 0.
    With `begin`, one of the visited levels, the given states are of that level instead.

    `noise(level)` is called for the levels that steps leave, as `run` documents; a process without
    noise takes None. `sampling_noise_std` is δ and defaults to the card's. Raises as `run` does,
    and ConfigError if the card has no process that can be run, or no δ.
    """
    card = model.card
    if not isinstance(card, ProcessCard):
        raise ConfigError(f'a card of kind "{card.kind}" has no process that can be run')
    if sampling_noise_std is not None and card.noise_std is None:
        raise ConfigError(f'a card of kind "{card.kind}" has no sampling_noise_std; leave it out')
    card = card.with_noise_std(sampling_noise_std)
    return run(GenerativeProcess(card, model, begin=begin), start, noise)


def noise_draw(noise: NoiseSource | None, level: int, device: torch.device, number: int) -> Tensor:
    """Return a draw of the transition that leaves a level, on a device."""
    if noise is None:
        raise ValueError("this process draws noise, and none is given")
    numbers = noise(level) if number == 0 else noise(level, number)
    # A GPU is not waited for: it has the network of the same step to evaluate while its noise is
    # drawn, and takes that from pinned memory when it comes to it.
    numbers = numbers.pin_memory() if device.type == "cuda" else numbers
    return numbers.to(device, non_blocking=True)


def _check_finite(
    process: GenerativeProcess, state: Tensor, level: int, noise: NoiseSource | None, first: int
) -> None:
    """Raise TargetError for values that are not finite, or far beyond those of states."""
    limit = DIVERGED * process.card.largest
    low, high = state.aminmax()  # 15 times as fast as those of each sample
    if not (low >= -limit and high <= limit):  # true for NaN, too
        sample = int((~(state.abs() <= limit)).nonzero()[0, 0])
        raise TargetError(
            f"sampling broke down on the way to level {level}: {sample_at(noise, sample, first)} "
            f"has values beyond ±{limit:g}, or that are no numbers; {process.card.advice}"
        )


Finish = Callable[[GenerativeProcess, Tensor], Tensor]
"""Runs a process from initial states (N, C, H, W), and returns its last output."""


@dataclass(frozen=True)
class Renoised(GenerativeProcess):
    """A process with siblings that join the samples at levels.

    siblings: by level, the states (N, C, H, W) that join the N samples there
    """

    siblings: tuple[tuple[int, Tensor], ...] = field(default=(), compare=False)

    def move(self, level: int, below: int, x: Tensor, draw: Draw, memory: Any = None) -> Moved:
        """Return the states below; siblings join where theirs begins."""
        siblings = dict(self.siblings).get(level)
        if siblings is not None:  # each follows its state
            x = torch.stack([x, siblings[: len(x)].to(x)], dim=1).flatten(0, 1)
        return super().move(level, below, x, draw, memory)


def renoised_tree(
    process: GenerativeProcess,
    start: Tensor,
    seed: int,
    splits: Sequence[int],
    samples: Sequence[int] | None,
    finish: Finish,
) -> Renoised:
    """Return the process of a tree from the state `start` (1, C, H, W), with all its siblings.

    `samples` are those of the leaves, if they are chosen; a sibling has the noise of the sample of
    its first leaf. This finishes every branch once, to know the image that is noised.
    """
    same = partial(Renoised, process.card, process.model, condition=process.condition)
    alone = partial(same, bare=True)
    ended = finish(alone(), start)
    siblings: list[tuple[int, Tensor]] = []
    for depth, level in enumerate(splits):
        draw = partial(_noise, process, seed, level, depth, len(splits), samples)
        states = process.corrupt(ended, level, draw)
        siblings.append((level, states))
        if depth + 1 < len(splits):
            others = finish(alone(begin=level), states)
            ended = torch.stack([ended, others.to(ended)], dim=1).flatten(0, 1)
    return same(siblings=tuple(siblings))


def _noise(
    process: GenerativeProcess,
    seed: int,
    level: int,
    depth: int,
    depths: int,
    samples: Sequence[int] | None,
    draw: int,
) -> Tensor:
    """Return a draw of the noise (2^depth, C, H, W) of the siblings that begin at a split."""
    if samples is not None:
        leaves = 1 << (depths - depth)
        return independent(seed, samples[leaves // 2 :: leaves], process.card.shape)(level, draw)
    nodes = range((2 << depth) + 1, 4 << depth, 2)
    return normal(seed, Purpose.BRANCH, nodes, level, process.card.shape, draw)
