"""Other samplers and numbers of steps for a network, by a change of its card alone."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

from sitegen.core.errors import ConfigError
from sitegen.generative.card.card import CARD_NAME, ModelCard
from sitegen.generative.card.networks import LucidrainsUNet
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.checkpoints.schedulers import SAMPLERS, schedule_of
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.dissipation import HeatDissipation
from sitegen.generative.process.edm import Edm
from sitegen.generative.process.flow import Flow
from sitegen.generative.process.solver import Solved

Levels = tuple[int, ...]
DDIM_STEPS = 50
"""Default number of steps of DDIM, which has fewer than its network has levels."""
_OF_FLOW, _OF_EDM = ("euler", "midpoint", "heun"), ("euler", "heun")


def resampled(
    card: ModelCard,
    steps: int | None = None,
    sampler_name: str | None = None,
    respacing: str | None = None,
) -> ModelCard:
    """Return the card of the same network with another number of steps, or another sampler.

    Heat dissipation takes other numbers of steps if its network is preconditioned, and can jump.

    steps: evenly spaced from the first level on; the usual number of the sampler if not given
    sampler_name: one of `SAMPLERS` for a DDPM, "euler" or "heun" for EDM and flows, "midpoint" for
        flows
    respacing: of a DDPM, the levels to visit in place of steps (`respaced`)

    Raises ConfigError for a kind that lists its steps, and for a sampler or a number of steps that
    it does not have.
    """
    if steps is None and sampler_name is None and respacing is None:
        return card
    if respacing is not None:
        if steps is not None or not isinstance(card, Ddpm):
            raise ConfigError("only a DDPM has a respacing, in place of a number of steps")
        card = replace(card, sampling=_from(card, respaced(card.levels, respacing)))
        sampler_name = sampler_name or ("ddim" if respacing.startswith("ddim") else "ddpm")
        return replace(card, diffusion=replace(card.diffusion, sampler=cast(Any, sampler_name)))
    if steps is not None and steps < 1:
        raise ConfigError(f"{steps} steps: must be at least 1")
    match card:
        case Ddpm() if sampler_name in (None, "ddpm", "ddim"):
            method: Any = sampler_name or card.diffusion.sampler
            if isinstance(card.unet, LucidrainsUNet):
                # Its program takes DDIM wherever it skips levels.
                skips = steps is not None and steps < card.levels
                method = sampler_name or ("ddim" if skips else "ddpm")
            changed = method == "ddim" != card.diffusion.sampler
            card = replace(card, diffusion=replace(card.diffusion, sampler=method))
            if steps is None and not changed:
                return card
            count = steps or min(DDIM_STEPS, card.levels)
            visited = _even(card.levels, count)
            if isinstance(card.unet, LucidrainsUNet):
                import torch

                # As its program spaces them: in float32, which decides some of them.
                timesteps = torch.linspace(-1, card.levels - 1, count + 1)[1:].flip(0).tolist()
                visited = tuple(int(timestep) + 1 for timestep in timesteps)
            return replace(card, sampling=_from(card, None if count == card.levels else visited))
        case Ddpm() if sampler_name is not None and sampler_name in SAMPLERS:
            return _solved(card, steps, sampler_name)
        case Flow() if sampler_name in (None, *_OF_FLOW) and card.flow.times is None:
            method = sampler_name or card.flow.solver
            card = replace(card, flow=replace(card.flow, solver=method))
            if steps is None:
                return card
            if card.diffusion is None:
                return replace(card, levels=steps, sampling=_from(card, None))
            return replace(card, sampling=_from(card, _even(card.levels, steps)))
        case HeatDissipation(parameterization="preconditioned") if sampler_name is None and steps:
            return replace(card, sampling=_from(card, _even(card.levels, steps)))
        case Edm() if sampler_name in (None, *_OF_EDM) and card.edm.sigmas is None:
            method = sampler_name or card.edm.solver
            edm = replace(card.edm, solver=method)
            return replace(card, edm=edm, levels=steps or card.levels)
    known = {Ddpm: SAMPLERS, Flow: _OF_FLOW, Edm: _OF_EDM}.get(type(card), ())
    if sampler_name and sampler_name not in known:
        choice = f"choose {', '.join(known)}" if known else "leave it out"
        raise ConfigError(f'a card of kind "{card.kind}" has no sampler {sampler_name}; {choice}')
    raise ConfigError(f'a card of kind "{card.kind}" lists its steps')


def _even(levels: int, steps: int) -> Levels:
    """Return `steps` of the levels from K = `levels` down, evenly spaced and rounded."""
    if steps > levels:
        raise ConfigError(f"{steps} steps: must be from 1 to its {levels} levels")
    return tuple(round(levels - step * levels / steps) for step in range(steps))


def respaced(levels: int, spacing: str) -> Levels:
    """Return the levels of `timestep_respacing` of guided-diffusion, for K = `levels`.

    spacing: a number of steps in each of as many equal parts of the levels, as in "10,15,20" or
        "250"; or "ddim25", the stride that gives 25 steps from level 1 on

    Raises ConfigError for other texts, and for numbers of steps that the levels do not have.
    """
    if match := re.fullmatch(r"ddim(\d{1,6})", spacing):
        strides = (range(1, levels + 1, stride) for stride in range(1, levels))
        if taken := next((steps for steps in strides if len(steps) == int(match[1])), None):
            return tuple(reversed(taken))
        raise ConfigError(f"no stride gives so many of {levels} levels")
    counts, visited, first = numbers(spacing), list[int](), 1
    for part, count in enumerate(counts):
        size = levels // len(counts) + (part < levels % len(counts))
        if not 1 <= count <= size:
            raise ConfigError(f"{count} steps of {size} levels")
        stride, position = (size - 1) / max(count - 1, 1), 0.0
        for _ in range(count):
            visited.append(first + round(position))
            position += stride  # a sum, whose rounding decides where a product would be halfway
        first += size
    return tuple(reversed(visited))


def numbers(text: str) -> Levels:
    """Return whole numbers that commas separate. Raises ConfigError for other texts."""
    if not re.fullmatch(r"\d{1,6}(,\d{1,6}){0,999}", text):
        raise ConfigError(f'{text[:40]}: must be as in 250, "10,15,20" or ddim25')
    return tuple(map(int, text.split(",")))


def _from(card: Ddpm | Flow | HeatDissipation, visited: Levels | None) -> SamplingConfig | None:
    """Return the card's table `[sampling]` with other levels; None if nothing is in it."""
    sampling = replace(card.sampling or SamplingConfig(), levels=visited)
    return None if sampling == SamplingConfig() else sampling


def _solved(card: Ddpm, steps: int | None, sampler: str) -> Solved:
    """Return the card of a DDPM's network with a solver, in the steps that diffusers takes."""
    if any(card.guidance):
        raise ConfigError(f"sampler {sampler}: the card's guidance is for ddpm and ddim alone")
    diffusion = card.diffusion
    settings = {
        **SAMPLERS[sampler],
        "num_train_timesteps": card.levels,
        "beta_schedule": diffusion,
        "prediction_type": diffusion.predicts,
        "clip_sample": diffusion.clip_sample,
    }
    schedule = schedule_of(Path(CARD_NAME), settings, steps)
    solver = schedule["solver"]
    if diffusion.rescale_timesteps:
        scale = 1000 / card.levels
        solver = replace(solver, timesteps=tuple(scale * time for time in solver.timesteps))
    shared = {item.name for item in fields(Solved) if item.init} - {"kind", "levels", "solver"}
    values = {item.name: getattr(card, item.name) for item in fields(card) if item.name in shared}
    values["unet"] = replace(card.unet, learn_sigma=None)
    return Solved(**values, levels=schedule["levels"], solver=solver)
