"""How samples are drawn that all begin from one flat state, in a grid."""

from __future__ import annotations

from typing import cast

from sitegen.figures.base import Figure, Grid
from sitegen.figures.clips import (
    grid_job,
    noise_std_of,
)
from sitegen.ihdm.process.noise import independent
from sitegen.media.jobs import RenderJob
from sitegen.sampling.models import ModelProvider


def shared_initial_state(models: ModelProvider, figure: Figure) -> RenderJob:
    """Samples with noise of their own that all begin from the initial state of the first."""
    spec = cast(Grid, figure.spec)
    sampler = models.heat_sampler(spec.model)
    noise_std = noise_std_of(spec, sampler)
    u_K = sampler.initial_states(spec.seed, [0]).expand(spec.count, -1, -1, -1)
    noise = independent(
        spec.seed, range(spec.count), sampler.model.card.shape, sampler.model.device
    )
    return grid_job(figure, sampler, noise_std, sampler.trajectory(u_K, noise, noise_std))
