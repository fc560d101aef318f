"""Grids of samples: independent ones, and ones that share their initial state."""

from __future__ import annotations

from typing import cast

from sitegen.actors import Actor, Cast, Take
from sitegen.figures import Figure, spec_json
from sitegen.frames import grid, to_uint8
from sitegen.ihdm.noise import independent
from sitegen.kinds.grids import Grid
from sitegen.plan import Footage, Shot
from sitegen.shots.clips import BACKGROUND, cells, clip_spec, default_fps, displayed, noise_std_of


def trajectories(crew: Cast, figure: Figure) -> Shot:
    """Samples that have nothing in common."""
    spec = cast(Grid, figure.spec)
    actor = crew.actor(spec.model)
    noise_std = noise_std_of(spec, actor)
    return _shot(figure, actor, noise_std, actor.begin(spec.seed, range(spec.count), noise_std))


def shared_initial_state(crew: Cast, figure: Figure) -> Shot:
    """Samples with noise of their own that all begin from the initial state of the first."""
    spec = cast(Grid, figure.spec)
    actor = crew.actor(spec.model)
    noise_std = noise_std_of(spec, actor)
    u_K = actor.initial_states(spec.seed, [0]).expand(spec.count, -1, -1, -1)
    noise = independent(spec.seed, range(spec.count), actor.model.card.shape, actor.model.device)
    return _shot(figure, actor, noise_std, actor.take(u_K, noise, noise_std))


def _shot(figure: Figure, actor: Actor, noise_std: float, take: Take) -> Shot:
    spec, size = cast(Grid, figure.spec), actor.model.card.image_size
    columns = cast(int, spec.columns)
    fps = spec.fps or default_fps(take.levels)
    place = cells(spec.count, columns, size, size)
    clip = clip_spec(columns * size, place["rows"] * size, size, fps)
    known = {"sampling_noise_std": noise_std, "fps": fps, "cells": place}
    return Shot(
        levels=tuple(range(take.levels, -1, -1)),
        parameters={**spec_json(figure), **known},
        clips={
            "": Footage(
                clip,
                (grid(to_uint8(u), columns, BACKGROUND) for u in displayed(take, spec.show)),
            )
        },
    )
