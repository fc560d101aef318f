"""The interface of a generative process, and the loop that runs one.

A process is a sequence of transitions, each from a level k to a lower one. A transition maps a
state and standard normal draws to the next state. `run` executes them in order, for every process:
heat dissipation (`dissipation.py`), DDPM and DDIM (`diffusion.py`), flows (`flow.py`). To add a
process, write its transition.

All randomness is standard normal and belongs to a sample: `draw(n)` gives the n-th draw of a
transition. In a tree (`noise.Branching`) a draw has m rows for each state. Each state then splits
into m adjacent ones, which `split` and `add_noise` do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from sitegen.core.errors import TargetError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.heat import dct2, idct2
from sitegen.generative.process.noise import (
    NoiseSource,
    Shape,
    great_circle,
    initial_noise,
    on_device,
    sample_at,
)

DIVERGED = 1000.0
"""Largest absolute value of a state, as a multiple of the largest one that is expected."""

Draw = Callable[[int], Tensor]
"""Returns the n-th standard normal draw (m · N, C, H, W) of a transition, counted from 0."""


class Moved(NamedTuple):
    """Result of a transition, each (N, C, H, W) float32 and unclipped.

    mean: the expected next state; the state itself where nothing is random
    final: computes the finished images that the model predicts from the previous states, where the
        process has such a prediction
    """

    state: Tensor
    mean: Tensor
    final: Callable[[], Tensor] | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """Result of a step: `level` falls from below K to 0; the other fields are those of `Moved`."""

    level: int
    state: Tensor
    mean: Tensor
    final: Callable[[], Tensor] | None = None


Starts: TypeAlias = Callable[[int, Sequence[int]], Tensor]
"""Makes initial states (N, C, H, W) of the N samples of a seed."""


@dataclass(frozen=True)
class GenerativeProcess:
    """A generative process of one model: where it starts, and its transitions.

    model: the network with its card. It decides no equality, so that a process can be compared,
        and sent without it
    starts: makes initial states; None where the process needs none to be given

    Subclasses implement the transition, `move`, and override what differs. Rows of a batch must not
    depend on each other.
    """

    model: Any = field(compare=False, repr=False)
    starts: Starts | None = field(default=None, compare=False, repr=False, kw_only=True)

    largest: ClassVar[float] = 1.0
    """Largest absolute value that a state may be expected to have."""
    hint: ClassVar[str] = "pixels belong in [0, 1]"
    """End of the error message about a state that cannot come from images, before the advice."""
    advice: ClassVar[str] = (
        "check that the card fits the weights, and that they are of a trained model"
    )
    """End of the error messages about states and results that cannot come from images."""

    @property
    def card(self) -> ModelCard:
        """The card of the model."""
        card: ModelCard = self.model.card
        return card

    @property
    def random(self) -> bool:
        """True if transitions draw noise."""
        return "random" in self.card.abilities

    @property
    def shape(self) -> Shape:
        """(C, H, W) of a state."""
        return self.card.shape

    @property
    def device(self) -> torch.device | None:
        """The device of the network, if known."""
        return getattr(self.model, "device", None)

    @property
    def levels(self) -> Sequence[int]:
        """The levels of the states, from the first to 0."""
        return self.card.visited_levels

    def start(self, seed: int, samples: Sequence[int]) -> Tensor:
        """Return the initial states (N, C, H, W) of N samples of a seed."""
        assert self.starts is not None
        return self.starts(seed, samples)

    def move(self, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states at the level `below` of states (N, C, H, W) at a level."""
        raise NotImplementedError

    def pixels(self, states: Tensor, level: int) -> Tensor:
        """Return states or images (N, C, H, W) of a level in [0, 1] pixel units, unclipped."""
        return states

    def between(self, first: Tensor, last: Tensor, points: int) -> Tensor:
        """Return initial states (points, C, H, W) on the path from one (C, H, W) to another."""
        raise NotImplementedError

    def corrupt(self, images: Tensor, level: int, draw: Draw) -> Tensor:
        """Return states at a level of finished images, both (N, C, H, W) as states are."""
        raise NotImplementedError

    def with_noise_std(self, noise_std: float | None) -> GenerativeProcess:
        """Return the process with another sampling noise δ, if it has one to choose."""
        return self


class FromNoise(GenerativeProcess):
    """Base class of processes from Gaussian noise to images in [-1, 1]."""

    hint: ClassVar[str] = "pixels belong in [-1, 1]"

    def start(self, seed: int, samples: Sequence[int]) -> Tensor:
        """Return standard normal numbers (N, C, H, W) of N samples."""
        return initial_noise(seed, samples, self.shape)

    def pixels(self, states: Tensor, level: int) -> Tensor:
        """Return states from [-1, 1] in [0, 1]."""
        return to_pixels(states)

    def between(self, first: Tensor, last: Tensor, points: int) -> Tensor:
        """Return states on the great circle, where they stay normal."""
        return great_circle(first, last, points)


def to_pixels(x: Tensor) -> Tensor:
    """Map images from [-1, 1] to [0, 1] without clipping."""
    return (x + 1) / 2


def run(
    process: GenerativeProcess, initial_state: Tensor, noise: NoiseSource | None, first: int = 0
) -> Iterator[Step]:
    """Run a process from `initial_state` (N, C, H, W), and yield a step for each transition.

    `noise(level)` gives the standard normal numbers (N, C, H, W) of the transition that leaves a
    level, and `noise(level, n)` those of its draw n > 0. `first` is the index of the first sample
    among all, for error messages. No gradients are kept.

    Raises TargetError, naming level, sample and range, when a state is not finite or far from
    images; ValueError for shapes that do not fit.
    """
    found, shape = tuple(initial_state.shape), process.shape
    if len(found) != 4 or found[1:] != shape:
        raise ValueError(f"the initial state is {found}; must be (N, C, H, W) = (N, {shape})")
    state = initial_state.to(process.device or initial_state.device, torch.float32)
    for level, below in pairwise(process.levels):
        with torch.no_grad():
            moved = process.move(level, below, state, _draws(noise, level, state.device))
        state = moved.state
        _check_finite(process, state, below, noise, first)
        yield Step(below, *moved)


def _draws(noise: NoiseSource | None, level: int, device: torch.device) -> Draw:
    """Return the draws of the transition that leaves a level, on a device."""

    def draw(number: int) -> Tensor:
        if noise is None:
            raise ValueError("this process draws noise, and none is given")
        return on_device(noise(level) if number == 0 else noise(level, number), device)

    return draw


def split(states: Tensor, draw: Tensor) -> Tensor:
    """Return states repeated for each branch of a tree that `draw` has numbers for.

    Raises ValueError if the number of draws is not a multiple of the number of states.
    """
    branches, rest = divmod(len(draw), len(states))
    if rest or not branches:
        raise ValueError(f"noise for {len(draw)} samples, not {len(states)}")
    return states if branches == 1 else states.repeat_interleave(branches, dim=0)


def add_noise(
    mean: Tensor, draw: Tensor, std: float | Tensor, final: Callable[[], Tensor] | None = None
) -> Moved:
    """Return the state `std` · draw away from a mean; both for each branch of a tree.

    `std` is a number; or (C, H, W), one for each cosine of the noise; or (C, C, H, W), which mixes
    the channels of each cosine.
    """
    fresh = draw.to(mean.device, mean.dtype)
    mean = split(mean, fresh)
    images = None if final is None else lambda: split(final(), fresh)
    return Moved(mean + _scaled(fresh, std), mean, images)


def _scaled(noise: Tensor, std: float | Tensor) -> Tensor:
    if not isinstance(std, Tensor):
        return std * noise
    if std.dim() == 3:
        return idct2(std * dct2(noise))
    mixed = std * dct2(noise)[:, None]  # an einsum would lay it out so that all else is slow
    return idct2(mixed.sum(2))


def _check_finite(
    process: GenerativeProcess, state: Tensor, level: int, noise: NoiseSource | None, first: int
) -> None:
    """Raise TargetError for values that are not finite, or far beyond those of states."""
    low, high = state.flatten(1).aminmax(dim=1)
    limit = DIVERGED * process.largest
    bad = ~((low >= -limit) & (high <= limit))  # true for NaN, too
    if bool(bad.any()):
        sample = int(bad.nonzero()[0])
        numbers = state[sample][state[sample].isfinite()]
        broken = state[sample].numel() - len(numbers)
        span = f"{numbers.min():.3g} to {numbers.max():.3g}" if len(numbers) else "none"
        told = f"{broken} values that are not finite, and the others are" if broken else "values of"
        raise TargetError(
            f"sampling broke down on the way to level {level}: {sample_at(noise, sample, first)} "
            f"has {told} {span}; {process.hint}; {process.advice}"
        )
