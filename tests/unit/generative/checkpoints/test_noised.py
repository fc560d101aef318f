"""EDM, consistency and score-based models as diffusers saves them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    DDPMPipeline,
    EDMEulerScheduler,
    ScoreSdeVeScheduler,
    UNet2DModel,
)

from sitegen.core.errors import RefusedError
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import load_model
from tests.unit.generative.checkpoints.test_foreign import network


def saved(folder: Path, scheduler: Any, unet: Any = None) -> Any:
    """A pipeline of a network and a scheduler; returns the loaded model."""
    pipeline: Any = DDPMPipeline
    pipeline(unet or network(), scheduler).save_pretrained(folder)
    return load_model(folder)


def test_edm(tmp_path: Path) -> None:
    """σ, solver and predicted images are those of the scheduler."""
    made: Any = EDMEulerScheduler
    unet, scheduler = network(), made(sigma_max=40.0)
    model = saved(tmp_path, scheduler, unet)
    scheduler.set_timesteps(model.card.levels)
    assert model.card.edm.solver == "euler"
    assert np.allclose(model.card.axis.values[::-1], scheduler.sigmas, atol=1e-4)
    x, sigma = 20 * torch.randn(2, 1, 8, 8), scheduler.sigmas[3]
    with torch.no_grad():
        answer = unet(scheduler.precondition_inputs(x, sigma), scheduler.timesteps[3]).sample
        wanted = scheduler.precondition_outputs(x, answer, sigma)
        assert torch.allclose(model(x, float(sigma)), wanted, atol=1e-4)
    assert "preconditioned as in EDM" in inspect_checkpoint(tmp_path).to_text()


def test_consistency(tmp_path: Path) -> None:
    """Steps, clipping and σ are those of the scheduler with the default two steps."""
    made: Any = CMStochasticIterativeScheduler
    unet, scheduler = network(), made()
    model = saved(tmp_path, scheduler, unet)
    scheduler.set_timesteps(2)
    assert np.allclose(model.card.axis.values[1:][::-1], scheduler.sigmas[:2], atol=1e-3)
    state = 80 * torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        given = scheduler.scale_model_input(state, scheduler.timesteps[0])
        answer = unet(given, scheduler.timesteps[0].float()).sample
        c_skip, c_out = scheduler.get_scalings_for_boundary_condition(scheduler.sigmas[0])
        wanted = (c_skip * state + c_out * answer).clamp(-1, 1)
        assert torch.allclose(model(state, float(scheduler.sigmas[0])), wanted, atol=1e-4)


def test_variance_exploding(tmp_path: Path) -> None:
    """The network, which takes σ, and all settings are those of the saved model."""
    kind: Any = UNet2DModel
    unet = kind(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        time_embedding_type="fourier",
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("SkipDownBlock2D", "SkipDownBlock2D"),
        up_block_types=("SkipUpBlock2D", "SkipUpBlock2D"),
    )
    scheduler: Any = ScoreSdeVeScheduler
    model = saved(tmp_path, scheduler(10, sigma_max=30.0), unet)
    sde = model.card.sde
    assert (sde.family, sde.corrector_steps, sde.snr, sde.centered) == ("ve", 1, 0.15, False)
    assert model.card.levels == 10
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        wanted = unet(x, torch.tensor([30.0, 30.0])).sample
        assert torch.allclose(model(x, 10), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("made", "change", "told"),
    [
        (EDMEulerScheduler, {"prediction_type": "v_prediction"}, "only"),
        (EDMEulerScheduler, {"sigma_schedule": "exponential"}, '"exponential": only "karras"'),
        (EDMEulerScheduler, {"sigma_max": 0.001}, "sigma_max = 0.001: must be above"),
        (CMStochasticIterativeScheduler, {"s_noise": 1.1}, "s_noise = 1.1: only 1.0"),
        (CMStochasticIterativeScheduler, {"num_train_timesteps": 1}, "must be from 2"),
        (ScoreSdeVeScheduler, {"snr": 0.0}, "snr = 0.0: Input should be greater than 0"),
    ],
)
def test_settings_that_are_not_supported(made: Any, change: Any, told: str, tmp_path: Path) -> None:
    """A scheduler's setting that sitegen does not follow is refused with the file and the key."""
    scheduler = made()
    scheduler.register_to_config(**change)
    with pytest.raises(RefusedError, match=told) as error:
        saved(tmp_path, scheduler)
    assert "scheduler_config.json" in str(error.value)
