"""EDM, score SDEs, cold and blurring diffusion, consistency: the numbers of published programs.

The numbers were recorded (`tests/reference/README.md`), or come from diffusers, executed here.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sitegen.core.errors import ConfigError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.process.blurring import BlurringConfig
from sitegen.generative.process.cold import ColdConfig
from sitegen.generative.process.edm import EdmConfig
from sitegen.generative.process.karras import NoiseLevels
from sitegen.generative.process.protocol import GenerativeProcess, Step, run
from sitegen.generative.process.sde import SdeConfig
from tests.support.making import process_with

SHAPE = (1, 8, 8)
UNET = UNetConfig(32, (1,), num_res_blocks=1)


def waves(number: float, shape: tuple[int, ...] = (2, *SHAPE)) -> Tensor:
    """Numbers without a random generator."""
    count = int(np.prod(shape))
    return torch.from_numpy(1.5 * np.sin(0.7 * np.arange(count) ** 1.3 + number)).reshape(shape)


class Toy(nn.Module):
    """A network in closed form; `about` makes it an estimate of the score, or of the noise."""

    def __init__(self, about: str = "") -> None:
        super().__init__()
        self.about = about
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """Return numbers that depend on neighbours and on the time."""
        c = times.view(-1, 1, 1, 1)
        found = torch.sin(1.3 * x + 0.5 * x.roll(1, -1)) * torch.cos(0.1 * c) + 0.2 * x.roll(1, -2)
        if self.about == "score":
            return (found - x) / (1 + c**2)
        return 0.9 * x + 0.1 * found if self.about == "noise" else found


def process(kind: Any, levels: int, about: str = "", size: int = 8, **table: Any) -> Any:
    """The process of a card with the toy network."""
    card = ModelCard(size, 1, levels, UNET, kind=kind, **table)
    return process_with(card, Toy(about))


def steps(found: GenerativeProcess, start: Tensor) -> list[Step]:
    """All steps from a state; draws are waves of their level, plus 0.1 for each draw before."""

    def noise(level: int, draw: int = 0) -> Tensor:
        return waves(level + 0.1 * draw, tuple(start.shape)).float()

    return list(run(found, start.float(), noise))


@pytest.fixture
def recorded(reference: Path) -> Any:
    """The recorded numbers."""
    return json.loads((reference / "processes.json").read_text())


def equal(found: Tensor, numbers: Any, tolerance: float = 2e-5) -> None:
    """Check every fourth number of an image."""
    wanted = np.array(numbers)
    error = np.abs(found.numpy().ravel()[::4] - wanted).max()
    assert error <= tolerance * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize(
    ("name", "churn"),
    [
        ("edm", {}),
        ("edm churn", {"churn": 3.0, "churn_min": 0.05, "churn_max": 50.0, "churn_noise": 1.003}),
    ],
)
def test_edm(name: str, churn: Any, recorded: Any) -> None:
    """Heun's steps, with and without churn, are those of EDM's sampler and preconditioning."""
    found = process("edm", 6, edm=EdmConfig(**churn))
    assert found.random == bool(churn)
    start = 80 * waves(0.5)
    equal(steps(found, start)[-1].state, recorded[name])


@pytest.mark.parametrize("churn", [0.0, 4.0])
def test_edm_of_diffusers(churn: float) -> None:
    """Euler's steps are those of EDMEulerScheduler, in σ, inputs, predicted images and states."""
    from diffusers import EDMEulerScheduler

    made: Any = EDMEulerScheduler
    scheduler, net = made(), Toy()
    scheduler.set_timesteps(6)
    found = process("edm", 6, edm=EdmConfig(solver="euler", churn=churn))
    assert np.allclose(found.card.axis.values[::-1], scheduler.sigmas, atol=1e-4)
    state = (scheduler.sigmas[0] * waves(0.5)).float()
    for level, (step, t) in enumerate(zip(steps(found, state), scheduler.timesteps, strict=True)):
        sigma, noise = scheduler.sigmas[level], waves(6 - level).float()
        gamma = min(churn / 6, 2**0.5 - 1) if churn else 0
        raised = sigma * (gamma + 1)
        state = state + noise * (raised**2 - sigma**2) ** 0.5 if churn else state
        answer = net(scheduler.precondition_inputs(state, raised), 0.25 * raised.log().view(1))
        image = scheduler.precondition_outputs(state, answer, raised)
        scheduler.scale_model_input(state, t)
        given = scheduler.step(answer, t, state, pred_original_sample=image)
        state = state + (scheduler.sigmas[level + 1] - raised) * (state - image) / raised
        if not churn:
            assert torch.allclose(given.prev_sample, state, rtol=1e-4, atol=1e-4)
        assert step.final is not None
        assert torch.allclose(step.final(), image, rtol=1e-4, atol=1e-4)
        assert torch.allclose(step.state, state, rtol=1e-4, atol=1e-4)


def test_consistency_of_diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Multistep sampling is that of CMStochasticIterativeScheduler."""
    from diffusers import CMStochasticIterativeScheduler
    from diffusers.schedulers import scheduling_consistency_models as module

    made: Any = CMStochasticIterativeScheduler
    scheduler, net = made(clip_denoised=False), Toy()
    scheduler.set_timesteps(timesteps=[39, 22, 7])
    sigmas = tuple(float(each) for each in scheduler.sigmas[:3])
    found = process("consistency", 3, edm=NoiseLevels(time_scale=250.0, sigmas=sigmas))
    state = (scheduler.sigmas[0] * waves(0.5)).float()
    for place, step in enumerate(steps(found, state)):
        t = scheduler.timesteps[place]
        noise = waves(3 - place).float()
        monkeypatch.setattr(module, "randn_tensor", lambda *_, noise=noise, **__: noise)
        answer = net(scheduler.scale_model_input(state, t), t.view(1))
        state = scheduler.step(answer, t, state).prev_sample.float()
        assert torch.allclose(step.state, state, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("steps_each", [0, 2])
@pytest.mark.parametrize("predictor", ["reverse_diffusion", "ancestral", "euler_maruyama"])
@pytest.mark.parametrize("family", ["ve", "vp"])
def test_score_sde(family: Any, predictor: Any, steps_each: int, recorded: Any) -> None:
    """Predictors and Langevin correctors are those of score_sde for a batch of one sample."""
    table = SdeConfig(family, predictor, steps_each, beta_max=2.5, end_time=1e-3)
    exploding = family == "ve"
    found = process("sde", 6, "score" if exploding else "", sde=table)
    start = (50 if exploding else 1) * waves(0.5, (1, *SHAPE))
    equal(steps(found, start)[-1].mean, recorded[f"{family} {predictor} {steps_each}"])


def test_score_sde_of_diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are those of ScoreSdeVeScheduler for each sample, whichever samples are beside it."""
    from diffusers import ScoreSdeVeScheduler
    from diffusers.schedulers import scheduling_sde_ve as module

    made: Any = ScoreSdeVeScheduler
    net, wanted = Toy("score"), []
    for sample in range(2):
        scheduler = made(8, snr=0.17, sigma_max=20.0)
        scheduler.set_timesteps(8)
        scheduler.set_sigmas(8)
        state = (20 * waves(0.5)[sample : sample + 1]).float()
        for place, t in enumerate(scheduler.timesteps):
            sigma = scheduler.sigmas[place].view(1)
            for draw, name in enumerate(("step_correct", "step_pred")):
                noise = waves(8 - place + 0.1 * draw)[sample : sample + 1].float()
                monkeypatch.setattr(module, "randn_tensor", lambda *_, noise=noise, **__: noise)
                given = (t,) if draw else ()
                result = getattr(scheduler, name)(net(state, sigma), *given, state)
                state = result.prev_sample
        wanted.append(result.prev_sample_mean)
    table = SdeConfig("ve", corrector_steps=1, snr=0.17, sigma_max=20.0)
    found = process("sde", 8, "score", sde=table)
    mean = steps(found, 20 * waves(0.5))[-1].mean
    assert torch.allclose(mean, torch.cat(wanted), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("published", "table"),
    [
        ("Incremental", {"kernel_size": 5, "kernel_std": 0.3}),
        ("Constant_reflect", {"kernel_size": 5, "kernel_std": 0.8, "padding": "reflect"}),
        ("Exponential", {"kernel_size": 7, "kernel_std": 0.1}),
        ("Special_6_routine", {"kernel_size": 11, "padding": "reflect"}),
    ],
)
def test_cold_diffusion(published: str, table: Any, recorded: Any) -> None:
    """Kernels and improved sampling are those of Cold Diffusion's generation from mean colours."""
    routine = published.split("_")[0].lower()
    table["routine"] = "special_6" if routine == "special" else routine
    size = 16 if published[0] == "S" else 8
    config = ColdConfig((0.0,), ((1.0,),), **table)
    found = process("cold", 5, size=size, cold=config)
    colours = torch.tensor(recorded["cold colours"][published]).view(-1, 1, 1, 1)
    start = colours + 0.01 * waves(0.5, (2, 1, size, size))
    equal(steps(found, start)[-1].state, recorded[f"cold {published}"])


def test_colours_of_cold_diffusion() -> None:
    """First states have the mean, the covariance and the noise of the card."""
    config = ColdConfig(
        (0.1, 0.2, 0.3), ((0.04, 0.02, 0.0), (0.02, 0.05, 0.0), (0.0, 0.0, 0.01)), start_noise=0.1
    )
    card = ModelCard(8, 3, 5, UNET, kind="cold", cold=config)
    states = process_with(card, Toy()).start(1, range(4000))
    colours = states.mean((2, 3))
    assert torch.allclose(colours.mean(0), torch.tensor(config.start_mean), atol=0.015)
    assert torch.allclose(torch.cov(colours.T), torch.tensor(config.start_covariance), atol=3e-3)
    assert float((states - colours[:, :, None, None]).std()) == pytest.approx(0.1, rel=0.03)


@pytest.mark.parametrize("number", [-0.2, 0.5])
def test_no_colours_of_an_invalid_covariance(number: float) -> None:
    """A covariance that is not positive or not symmetric is refused with its key."""
    rows = ((number, 0.0, 0.0), (0.1, 1.0, 0.0), (0.0, 0.0, 1.0))
    card = ModelCard(8, 3, 5, UNET, kind="cold", cold=ColdConfig((0.0,) * 3, rows))
    with pytest.raises(ConfigError, match=r"start_covariance: must be symmetric and positive"):
        process_with(card, Toy()).start(1, range(2))


def test_blurring_diffusion(recorded: Any) -> None:
    """Schedule and steps are those of a published program."""
    found = process("blurring", 6, "noise", blurring=BlurringConfig(sigma_max=1.5))
    made = steps(found, waves(0.5))
    equal(made[2].state, recorded["blurring half"], 1e-4)
    equal(made[-1].mean, recorded["blurring"], 1e-4)


MADE = {
    "edm": partial(process, "edm", edm=EdmConfig()),
    "consistency": partial(process, "consistency", edm=NoiseLevels()),
    "ve": partial(process, "sde", sde=SdeConfig("ve", centered=False)),
    "vp": partial(process, "sde", sde=SdeConfig("vp", beta_max=19.0)),
    "blurring": partial(process, "blurring", blurring=BlurringConfig()),
}


@pytest.mark.parametrize("name", MADE)
def test_states_are_shown_with_the_contrast_of_data(name: str) -> None:
    """At every level the pixels of noised images have a spread that can be seen."""
    found = MADE[name](20)
    data = 0.5 + 0.25 * waves(0.3, (40, *SHAPE)) / 1.06
    images = data if name == "ve" else 2 * data - 1
    noise = torch.randn(40, *SHAPE, generator=torch.Generator().manual_seed(0))
    for level in (0, 5, 20):
        shown = found.pixels(found.corrupt(images.float(), level, lambda _: noise), level)
        assert 0.18 < float(shown.std()) < 0.55
    sharp = found.pixels(found.corrupt(images.float(), 0, lambda _: noise), 0)
    assert torch.allclose(sharp, data.float(), atol=0.02)
