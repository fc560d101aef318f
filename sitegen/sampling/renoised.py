"""Trees of a process in which nothing is random after the start.

A branch splits at a level by noise on its finished image: the process's own forward process
takes that image back to the level of the split, with new noise, and the sample is finished again
from there. States at a level keep their law, and later splits leave more in common. The first of
two branches is the parent itself, and the second is such a sibling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sitegen.generative.process.base import Draw, Moved
from sitegen.generative.process.noise import Purpose, independent, normal
from sitegen.generative.process.protocol import GenerativeProcess

Finish = Callable[[GenerativeProcess, Tensor], Tensor]
"""Runs a process from initial states (N, C, H, W), and returns its last output."""


@dataclass(frozen=True)
class Renoised(GenerativeProcess):
    """A process with siblings that join the samples at levels.

    siblings: by level, the states (N, C, H, W) that join the N samples there
    bare: whether `pixels` returns states unchanged
    """

    siblings: tuple[tuple[int, Tensor], ...] = field(default=(), compare=False)
    bare: bool = False

    def move(self, level: int, below: int, x: Tensor, draw: Draw, memory: Any = None) -> Moved:
        """Return the states below; siblings join where theirs begins."""
        siblings = dict(self.siblings).get(level)
        if siblings is not None:  # each follows its state
            x = torch.stack([x, siblings[: len(x)].to(x)], dim=1).flatten(0, 1)
        return super().move(level, below, x, draw, memory)

    def pixels(self, states: Tensor, level: int) -> Tensor:
        """Return the pixels of states, or the states themselves."""
        return states if self.bare else super().pixels(states, level)


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
        return independent(seed, samples[leaves // 2 :: leaves], process.shape)(level, draw)
    nodes = range((2 << depth) + 1, 4 << depth, 2)
    return normal(seed, Purpose.BRANCH, nodes, level, process.shape, draw)
