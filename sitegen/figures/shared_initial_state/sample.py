"""How samples are drawn that all begin from one flat state, in a grid."""

from __future__ import annotations

from typing import cast

from sitegen.figures.base import Figure
from sitegen.figures.clips import displayed, grid_job, noise_std_of
from sitegen.figures.shared_initial_state import SharedInitialState
from sitegen.generative.process.noise import independent
from sitegen.media.jobs import RenderJob
from sitegen.sampling.models import ModelProvider


def sample(models: ModelProvider, figure: Figure) -> RenderJob:
    """Return samples with noise of their own, all from the initial state of the first of them."""
    spec = cast(SharedInitialState, figure.spec)
    sampler = models.heat_sampler(spec.model)
    card = sampler.model.card
    u_K = sampler.initial_states(spec.seed, spec.numbers[:1]).expand(spec.count, -1, -1, -1)
    noise = independent(spec.seed, spec.numbers, card.shape, sampler.model.device)
    trajectory = sampler.trajectory(u_K, noise, noise_std_of(spec, card))
    return grid_job(figure, card, spec.shape, displayed(trajectory, spec.show))
