"""Sampling of a grid of independent samples."""

from __future__ import annotations

from typing import cast

from sitegen.figures.base import Figure
from sitegen.figures.clips import displayed, grid_job, noise_std_of
from sitegen.figures.trajectories import Trajectories
from sitegen.media.jobs import RenderJob
from sitegen.sampling.provider import ModelProvider


def sample(models: ModelProvider, figure: Figure) -> RenderJob:
    """Return the job of independent samples."""
    spec = cast(Trajectories, figure.spec)
    sampler = models.sampler(spec.model)
    card = sampler.card
    trajectory = sampler.begin(spec.seed, spec.numbers, noise_std_of(spec, card))
    return grid_job(figure, card, spec.shape, displayed(trajectory, spec.show))
