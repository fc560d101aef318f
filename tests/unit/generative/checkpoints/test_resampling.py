"""A card with another sampler takes the steps that diffusers takes for the same network."""

from dataclasses import replace
from typing import Any

import diffusers
import numpy as np
import pytest

from sitegen.core.errors import ConfigError
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.resampling import resampled
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.flow import Flow
from sitegen.generative.process.solver import Solved
from tests.support.making import small_card

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("EulerDiscreteScheduler", {}),
    "dpmpp": ("DPMSolverMultistepScheduler", {"solver_order": 1}),
    "dpmpp2m": ("DPMSolverMultistepScheduler", {"solver_order": 2}),
}


def ddpm(**changes: Any) -> Ddpm:
    """The card of a DDPM with 100 levels."""
    diffusion = DiffusionConfig("linear", beta_start=1e-3, beta_end=0.2, **changes)
    card = small_card(kind="ddpm", levels=100, diffusion=diffusion)
    assert isinstance(card, Ddpm)
    return card


@pytest.mark.parametrize("name", SCHEDULERS)
def test_solvers(name: str) -> None:
    """Timesteps and σ are those of the scheduler of diffusers; rescaled ones are so here, too."""
    scheduler, settings = SCHEDULERS[name]
    other = getattr(diffusers, scheduler)(
        num_train_timesteps=100, beta_start=1e-3, beta_end=0.2, **settings
    )
    other.set_timesteps(8)
    card = resampled(ddpm(), 8, name)
    assert isinstance(card, Solved)
    np.testing.assert_allclose(card.solver.timesteps, np.array(other.timesteps), atol=1e-4)
    np.testing.assert_allclose(card.solver.sigmas, np.array(other.sigmas)[:8], rtol=1e-5)
    scaled = resampled(ddpm(rescale_timesteps=True), 8, name)
    assert isinstance(scaled, Solved)
    np.testing.assert_allclose(scaled.solver.timesteps, 10 * np.array(card.solver.timesteps))


def test_the_same_card() -> None:
    """The card's own sampler in its own steps is the same card, and so is no choice."""
    card = replace(ddpm(), sampling=None)
    assert resampled(card) is card
    assert resampled(card, sampler_name="ddpm") == card
    assert resampled(card, 100) == card
    assert resampled(resampled(card, 10), 100) == card


def test_flows() -> None:
    """A flow takes any number of steps and its solvers; one with listed times takes no number."""
    card = small_card(kind="flow", levels=50)
    assert isinstance(card, Flow)
    other = resampled(card, 7, "midpoint")
    assert isinstance(other, Flow)
    assert (other.steps, other.flow.solver, other.evaluations) == (7, "midpoint", 2)
    listed = replace(card, levels=2, flow=replace(card.flow, times=(0.0, 0.3, 1.0)))
    with pytest.raises(ConfigError, match="lists its steps"):
        resampled(listed, 3)
    with pytest.raises(ConfigError, match="has no sampler ddim; choose euler, midpoint, heun"):
        resampled(card, 3, "ddim")
