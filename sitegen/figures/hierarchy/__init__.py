"""The kind `hierarchy`: a tree that grows out of one flat state, and the levels at which it splits.

The arguments are here and need no torch; `sample` computes the tree, in the layout of `drawing`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field, StrictInt, ValidationInfo
from pydantic import field_validator as check
from pydantic.dataclasses import dataclass as validated

from sitegen.figures.base import (
    RULES,
    ChosenSpec,
    FigureKind,
    Fps,
    NoiseStd,
    Seed,
    Show,
    sampler_in,
    steps,
)
from sitegen.figures.constants import COLOURS, FILM, NARROW, STILLS
from sitegen.generative.card.abilities import Ability
from sitegen.generative.card.card import ModelCard
from sitegen.generative.process.recorded import RecordingConfig

LEAVES = (2, 4, 8, 16)
DEFAULT_LEAVES = 8
_LEAVES = f"{', '.join(map(str, LEAVES[:-1]))} or {LEAVES[-1]}"


@validated(frozen=True, config=RULES)
class Hierarchy(ChosenSpec):
    """A tree that grows out of one flat state: what is decided above a split, its leaves share."""

    recipe: ClassVar[int] = 3
    example: ClassVar[str] = '"NAME", leaves=8'
    counts: ClassVar[str] = "leaves"
    needs: ClassVar[tuple[Ability, ...]] = ("tree",)
    constants: ClassVar[tuple[str, ...]] = (FILM, STILLS, COLOURS, NARROW, f"{__name__}.look")

    splits: tuple[StrictInt, ...] | None = Field(
        default=None, description="The levels at which every branch splits in two, flattest first."
    )
    leaves: StrictInt | None = Field(
        default=None,
        validate_default=True,
        description="How many branches there are in the end: 2, 4, 8 or 16.",
    )
    seed: Seed = 0
    show: Show = "state"
    sampling_noise_std: NoiseStd = None
    background: Literal["both", "light", "dark"] = Field(
        default="both", description="The pages that the tree is drawn for."
    )
    fps: Fps = None

    @check("samples")
    @classmethod
    def _one_a_leaf(cls, samples: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if samples is not None and len(samples) not in LEAVES:
            raise ValueError(f"{len(samples)} samples: should be one for each leaf, {_LEAVES}")
        return samples

    @check("splits")
    @classmethod
    def _falling(cls, splits: tuple[int, ...] | None) -> tuple[int, ...] | None:
        falling = all(above > below for above, below in pairwise(splits or ()))
        known = splits is None or (1 <= len(splits) <= len(LEAVES) and splits[-1] >= 1)
        if not (known and falling):
            raise ValueError(f"should be 1 to {len(LEAVES)} levels that fall, each at least 1")
        return splits

    @check("leaves")
    @classmethod
    def _branches(cls, leaves: int | None, info: ValidationInfo) -> int | None:
        """Fill in the number of leaves, so that two ways to write a tree are one figure."""
        splits = info.data.get("splits")
        wanted = DEFAULT_LEAVES if splits is None else int(2 ** len(splits))
        if leaves is None or "samples" not in info.data:
            return wanted
        if leaves not in LEAVES:
            raise ValueError(f"should be {_LEAVES}")
        if splits is not None and leaves != wanted:
            raise ValueError(f"should be {wanted}, which the splits make")
        return leaves

    def incompatibilities(self, cards: Sequence[ModelCard]) -> Iterator[str]:
        """Splits that the model has no level for."""
        levels, steps = cards[0].levels, cards[0].steps
        if self.splits and (flattest := self.splits[0]) > levels:
            yield f"splits: the model {self.model} has {levels} levels, and none is {flattest}"
        if self.leaves is not None and steps < self.leaves.bit_length() - 1:
            yield f"leaves: the model {self.model} has only {steps} levels to split at"

    @classmethod
    def recorded_example(cls, recording: RecordingConfig) -> str:
        """Return a call with the leaves of the recorded tree."""
        return f'"NAME", leaves={2 ** len(recording.splits)}'

    def recorded_faults(self, recording: RecordingConfig) -> Iterator[str]:
        """Leaves, splits or samples other than those of the recorded tree."""
        splits, leaves = list(recording.splits), 2 ** len(recording.splits)
        tree = f"the tree of the recording {self.model}"
        if self.splits not in (None, recording.splits):
            yield f"splits = {list(self.splits)}: {tree} splits at {splits}; leave them out"
        elif self.samples is not None:
            yield f"samples: those of {tree} are known; leave them out"
        elif self.leaves != leaves:
            yield f"leaves = {self.leaves}: {tree} has {leaves}"

    def describe(self, card: ModelCard) -> str:
        """Describe how the tree grows, and from which state."""
        assert self.leaves is not None
        *first, last = (str(2**depth) for depth in range(1, self.leaves.bit_length()))
        branches = f"{', '.join(first)} and then {last}" if first else last
        start = re.sub("^a ", "one ", card.first_state(1))
        alike = "share their coarse shape" if "blur" in card.abilities else "are one and the same"
        return (
            f"A tree of {self.named(card)} that grows from left to right over "
            f"{steps(card)}: {start} splits into {branches} {card.subject or 'pictures'}, which "
            f"{alike} as long as they share their branch"
            f"{_SIBLINGS if _is_renoised(card) else ''}"
        )

    def remedy(self, card: ModelCard) -> str:
        """Advise a sampler whose steps draw nothing to noise finished images."""
        return "give its class a method corrupt" if card.sampler else ""

    def method(self, card: ModelCard) -> str:
        """Say where branches come from if nothing is random on their way."""
        return RENOISED if _is_renoised(card) else ""

    def evaluations(self, cards: Sequence[ModelCard]) -> tuple[int, ...]:
        """Each distinct state counts once: one until the first split, two until the second, ….

        A branch that is noised anew has been finished before, so its states count twice.
        """
        splits, card = self.splits_of(cards[0]), cards[0]
        left = card.visited_levels[:-1]
        states = sum(2 ** sum(split > level for split in splits) for level in left)
        return (states * card.evaluations * (1 + _is_renoised(card)),)

    def pixels(self, card: ModelCard) -> int:
        """Return the number of pixels of the canvases, over eight seconds of growth and a pause."""
        from sitegen.figures.hierarchy.drawing import Layout  # Pillow is not needed before

        grey, splits = (0, 0, 0), range(card.steps, card.steps - len(self.splits_of(card)), -1)
        layout = Layout(card.steps, tuple(splits), card.image_size, grey, grey)
        frames = max(card.steps + 1, 192) * 4 // 3
        return frames * layout.size[0] * layout.size[1] * (2 if self.background == "both" else 1)

    def splits_of(self, card: ModelCard) -> tuple[int, ...]:
        """Return the levels at which the tree of a model splits: distinct levels that it visits.

        A requested level that is not visited is replaced by the next lower one, if there is one.
        """
        if card.recording is not None:
            return card.recording.splits
        usual = renoised_splits if _is_renoised(card) else default_splits
        wanted = self.splits or usual(card.levels, self.leaves or DEFAULT_LEAVES)
        visited, splits = card.visited_levels[:-1], list[int]()
        for number, split in enumerate(wanted):
            free = visited[visited.index(splits[-1]) + 1 :] if splits else visited
            free = free[: len(free) - (len(wanted) - number - 1)]  # the others need one each
            splits.append(next((level for level in free if level <= split), free[-1]))
        return tuple(splits)


RENOISED = (
    "Nothing is random after the start: at a split one branch continues, and the other begins from "
    "the finished picture of the first with new noise of that level."
)
_SIBLINGS = (
    "; at a split the second branch begins from the finished picture of the first, noised anew"
)


def _is_renoised(card: ModelCard) -> bool:
    """Return whether branches are made by noise on finished pictures."""
    return card.recording is None and "random" not in card.abilities


def default_splits(levels: int, leaves: int = DEFAULT_LEAVES) -> tuple[int, ...]:
    """Return the levels, flattest first, of the splits that end in `leaves`: K, 2K/3, 4K/9, …

    At K nothing is decided: the root is the flat state itself. Blur is spaced evenly in logarithms,
    so on MNIST (0.5 to 20 pixels) the next ones are at 6 and 2.5 pixels. At 2K/3 the children are
    patches of light that lean one way or the other, and can still become different digits. At 4K/9
    strokes begin to show, and the leaves differ in the remaining detail. Splits at K/2 and K/4 come
    late: shapes are settled by then, and the leaves of a branch hardly differ.

    Each split has a level of its own if there are as many levels as splits.
    """
    splits = [levels]
    for done in range(1, leaves.bit_length() - 1):
        splits.append(min(splits[-1] - 1, round(levels * (2 / 3) ** done)))
    return tuple(splits)


def renoised_splits(levels: int, leaves: int = DEFAULT_LEAVES) -> tuple[int, ...]:
    """Return the levels of the splits of a tree whose branches are noised anew: 0.8 K, 0.6 K, ….

    At K a branch would have nothing of its sibling.
    """
    return tuple(
        max(1, round(0.8 * 0.75**done * levels)) for done in range(leaves.bit_length() - 1)
    )


KIND = FigureKind("hierarchy", Hierarchy, sampler_in(__name__))
