"""How independent samples are drawn, in a grid."""

from __future__ import annotations

from typing import cast

from sitegen.figures.base import Figure, Grid
from sitegen.figures.clips import (
    grid_job,
    noise_std_of,
)
from sitegen.media.jobs import RenderJob
from sitegen.sampling.models import ModelProvider


def trajectories(models: ModelProvider, figure: Figure) -> RenderJob:
    """Samples that have nothing in common."""
    spec = cast(Grid, figure.spec)
    sampler = models.heat_sampler(spec.model)
    noise_std = noise_std_of(spec, sampler)
    return grid_job(
        figure, sampler, noise_std, sampler.begin(spec.seed, range(spec.count), noise_std)
    )
