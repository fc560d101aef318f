"""Sampling of a grid whose samples all begin from one flat state."""

from __future__ import annotations

from typing import cast

from sitegen.figures.base import Figure
from sitegen.figures.clips import displayed, grid_job, noise_std_of
from sitegen.figures.shared_initial_state import SharedInitialState
from sitegen.media.jobs import RenderJob
from sitegen.sampling.provider import ModelProvider


def sample(models: ModelProvider, figure: Figure) -> RenderJob:
    """Return samples with noise of their own, all from the initial state of the first of them."""
    spec = cast(SharedInitialState, figure.spec)
    sampler = models.sampler(spec.model)
    card = sampler.card
    if spec.around is not None:
        trajectory = sampler.around(spec.seed, spec.numbers, spec.around)
    else:
        trajectory = sampler.fan(spec.seed, spec.numbers, noise_std_of(spec, card))
    return grid_job(figure, card, spec.shape, displayed(trajectory, spec.show))
