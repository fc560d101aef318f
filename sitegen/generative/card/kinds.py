"""What is known of each kind of process from a model's card alone, without its network.

Figures declare what they need (`figures/base.py`); here is what each kind has. This module does
not need torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sitegen.generative.card import methods
from sitegen.generative.card.noise import edm_levels

ModelCard: TypeAlias = Any
"""A model card, whose module imports this one."""

Ability = Literal[
    "network",
    "random",
    "mean",
    "final",
    "tree",
    "fan",
    "around",
    "paths",
    "prior",
    "blur",
    "noise_std",
    "ddim",
    "browser",
]

ABILITIES: dict[Ability, str] = {
    "random": "randomness after the start",
    "mean": "means of its states",
    "final": "predicted images",
    "tree": "samples that split in two on their way",
    "fan": "several samples from one initial state",
    "around": "Gaussian initial states that may lie at an angle to one of them",
    "paths": "samples along paths from one to another",
    "prior": "initial states that were made of images",
    "blur": "a forward process that blurs",
    "noise_std": "a sampling noise to choose",
    "ddim": "the noise schedule of a DDPM",
    "browser": "a sampler for browsers",
    "network": "a network",
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
    abilities: what the process of a card can do
    start: the first state of a card in words: of one sample, or of several
    axis: the axis of a card
    evaluations: the number of times that a step evaluates the network
    predicts: what the network of a card predicts; empty where that is not known
    """

    label: str
    abilities: Callable[[ModelCard], frozenset[Ability]]
    start: Callable[[ModelCard, int], str]
    axis: Callable[[ModelCard], LevelAxis]
    evaluations: Callable[[ModelCard], int] = lambda _: 1
    predicts: Callable[[ModelCard], str] = lambda _: ""


def _flat(card: ModelCard, count: int) -> str:
    if count > 1:
        return "flat grey squares" if card.channels == 1 else "flat squares of one colour"
    return "a flat grey square" if card.channels == 1 else "a flat square of one colour"


def _blur(card: ModelCard) -> LevelAxis:
    """Return σ_B, rounded so that every machine writes the same digits."""
    return LevelAxis("σ_B", "px", tuple(round(sigma, 4) for sigma in card.schedule.sigmas))


def _timesteps(card: ModelCard) -> LevelAxis:
    return LevelAxis("t", "", tuple(float(level) for level in range(card.levels + 1)))


def _sampler(card: ModelCard) -> frozenset[Ability]:
    facts = card.sampler
    there: dict[Ability, bool] = {
        "random": facts.random,
        "fan": facts.random,
        "final": facts.predicts,
        "tree": facts.random or facts.corrupts,
        "around": facts.gaussian and not facts.random,
        "paths": True,
    }
    return frozenset(name for name, found in there.items() if found)


_RANDOM: frozenset[Ability] = frozenset({"network", "random", "mean", "tree", "fan", "paths"})
_FINAL: frozenset[Ability] = frozenset({"final"})
_HEAT = _RANDOM | frozenset[Ability]({"prior", "blur", "noise_std", "browser"})
_DIFFUSION = _RANDOM | _FINAL | frozenset[Ability]({"ddim", "browser"})
_FLOW: frozenset[Ability] = frozenset({"network", "final", "tree", "around", "paths", "browser"})
_NOISED: frozenset[Ability] = frozenset({"network", "final", "tree", "paths"})
_STOCHASTIC: frozenset[Ability] = frozenset({"random", "fan"})
_AROUND: frozenset[Ability] = frozenset({"around"})


def _times(card: ModelCard) -> LevelAxis:
    """Return t of a flow, rounded so that every machine writes the same digits."""
    return LevelAxis("t", "", tuple(round(time, 4) for time in card.flow_times))


def _edm(card: ModelCard) -> frozenset[Ability]:
    return _NOISED | (_STOCHASTIC if card.edm.churn else _AROUND)


def _consistency(card: ModelCard) -> frozenset[Ability]:
    return _NOISED | (_STOCHASTIC | {"mean"} if card.levels > 1 else _AROUND)


def _sigmas(card: ModelCard) -> LevelAxis:
    sigmas = edm_levels(card.edm, card.levels)
    return LevelAxis("σ", "", tuple(round(sigma, 4) for sigma in sigmas))


def _sde_axis(card: ModelCard) -> LevelAxis:
    times = [card.sde.time(level, card.levels) for level in range(card.levels + 1)]
    if card.sde.family == "vp":
        return LevelAxis("t", "", tuple(round(time, 4) for time in times))
    return LevelAxis("σ", "", (0.0, *(round(card.sde.sigma(time), 4) for time in times[1:])))


def _shares(card: ModelCard) -> LevelAxis:
    """Return t, from 0 to 1."""
    return LevelAxis("t", "", tuple(round(k / card.levels, 4) for k in range(card.levels + 1)))


def _squares(card: ModelCard, count: int) -> str:
    return "squares of one colour" if count > 1 else "a square of one colour"


def _noise(card: ModelCard, count: int) -> str:
    return "noise"


def _heat(card: ModelCard) -> frozenset[Ability]:
    predicts = card.parameterization == "preconditioned"
    return _HEAT | _FINAL if predicts else _HEAT


def _recorded(card: ModelCard) -> frozenset[Ability]:
    recording = card.recording
    there: dict[Ability, bool] = {
        "mean": "mean" in recording.shows,
        "final": "final" in recording.shows,
        "tree": bool(recording.splits),
        "fan": recording.one_start,
        "paths": recording.positions is not None,
    }
    return frozenset(name for name, found in there.items() if found)


def _recorded_start(card: ModelCard, count: int) -> str:
    one = "one recorded state" if card.recording.one_start else "recorded states"
    return one if count > 1 else "a recorded state"


def _own_axis(card: ModelCard) -> LevelAxis:
    """Return the axis that the table of a recording or a sampler has."""
    own = card.recording or card.sampler
    return LevelAxis(own.symbol, own.unit, own.values)


def _of_ddpm(card: ModelCard) -> str:
    known = card.diffusion.prediction_type == "v_prediction"
    return "v, of noise and image, as in a DDPM" if known else "noise, as in a DDPM"


Kind = Literal[
    "ihdm",
    "ddpm",
    "flow",
    "edm",
    "consistency",
    "sde",
    "cold",
    "blurring",
    "sampler",
    "recording",
]
KINDS: dict[Kind, ProcessKind] = {
    "ihdm": ProcessKind(methods.IHDM, _heat, _flat, _blur),
    "ddpm": ProcessKind(methods.DDPM, lambda _: _DIFFUSION, _noise, _timesteps, predicts=_of_ddpm),
    "flow": ProcessKind(
        methods.FLOW,
        lambda _: _FLOW,
        _noise,
        _times,
        lambda card: card.flow.evaluations if card.flow else 1,
        lambda card: _of_ddpm(card) if card.diffusion else "velocity, as in a flow",
    ),
    "edm": ProcessKind(
        methods.EDM,
        _edm,
        _noise,
        _sigmas,
        lambda card: 2 if card.edm.solver == "heun" else 1,
        lambda _: "sharp images, preconditioned as in EDM",
    ),
    "consistency": ProcessKind(
        methods.CONSISTENCY, _consistency, _noise, _sigmas, predicts=lambda _: "sharp images"
    ),
    "sde": ProcessKind(
        methods.SCORE_SDE,
        lambda _: _RANDOM | _FINAL,
        _noise,
        _sde_axis,
        lambda card: 1 + card.sde.corrector_steps,
        lambda card: "the score" if card.sde.family == "ve" else "noise, as in a DDPM",
    ),
    "cold": ProcessKind(
        methods.COLD,
        lambda _: frozenset({"network", "final", "paths"}),
        _squares,
        _timesteps,
        predicts=lambda _: "sharp images",
    ),
    "blurring": ProcessKind(
        methods.BLURRING,
        lambda _: _RANDOM,
        _noise,
        _shares,
        predicts=lambda _: "noise, as in a DDPM",
    ),
    "sampler": ProcessKind(
        methods.SAMPLER, _sampler, lambda card, _: card.sampler.start, _own_axis
    ),
    "recording": ProcessKind(methods.RECORDED, _recorded, _recorded_start, _own_axis),
}
"""The kinds of processes, by the `kind` of a card."""
