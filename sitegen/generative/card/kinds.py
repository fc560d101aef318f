"""What is known of each kind of process from a model's card alone, without its network.

Figures declare what they need (`figures/base.py`); here is what each kind has. This module does
not need torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

ModelCard: TypeAlias = Any
"""A model card, whose module imports this one."""

Ability = Literal["random", "prior", "blur", "noise_std", "ddim", "browser"]

ABILITIES: dict[Ability, str] = {
    "random": "randomness after the start",
    "prior": "initial states that were made of images",
    "blur": "a forward process that blurs",
    "noise_std": "a sampling noise to choose",
    "ddim": "the noise schedule of a DDPM",
    "browser": "a sampler for browsers",
}
"""What a figure can need of a process, in the words of messages."""


@dataclass(frozen=True)
class LevelAxis:
    """What a viewer reads of a level: `symbol` and `unit`, and the `values` of levels 0 … K."""

    symbol: str
    unit: str = ""
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class ProcessKind:
    """What a kind of process has.

    label: what pictures call the method
    start: the first state of a card in words: of one sample, or of several
    axis: the axis of a card
    """

    label: str
    abilities: frozenset[Ability]
    start: Callable[[ModelCard, int], str]
    axis: Callable[[ModelCard], LevelAxis]


def _flat(card: ModelCard, count: int) -> str:
    if count > 1:
        return "flat grey squares" if card.channels == 1 else "flat squares of one colour"
    return "a flat grey square" if card.channels == 1 else "a flat square of one colour"


def _blur(card: ModelCard) -> LevelAxis:
    """σ_B, rounded so that every machine writes the same digits."""
    return LevelAxis("σ_B", "px", tuple(round(sigma, 4) for sigma in card.schedule.sigmas))


def _timesteps(card: ModelCard) -> LevelAxis:
    return LevelAxis("t", "", tuple(float(level) for level in range(card.levels + 1)))


KINDS: dict[str, ProcessKind] = {
    "ihdm": ProcessKind(
        "IHDM",
        frozenset({"random", "prior", "blur", "noise_std", "browser"}),
        _flat,
        _blur,
    ),
    "ddpm": ProcessKind("DDPM", frozenset({"random", "ddim"}), lambda *_: "noise", _timesteps),
}
"""The kinds of processes, by the `kind` of a card."""
