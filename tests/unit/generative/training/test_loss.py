"""The loss as published and ours, against direct sums; the levels drawn; the statistics."""

from typing import Any, Literal

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.process.flow import FlowConfig
from sitegen.generative.process.model import Model
from sitegen.generative.training.loss import (
    loss_per_image,
)
from tests.support.lessons import blur, cascade, dct, images, kept
from tests.support.making import closeness, model_of, random_unet, small_card


def batch(count: int, channels: int = 1) -> tuple[Tensor, Tensor]:
    """Images in [0, 1] and noise, (count, channels, 8, 8)."""
    generator = torch.Generator().manual_seed(7)
    return images(count, channels).float() / 255, torch.randn(
        count, channels, 8, 8, generator=generator
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_published_loss(channels: int) -> None:
    """The sum over pixels of (u + f(u, k) − blur_{k−1}(x))² with u = blur_k(x) + σ·noise."""
    card = small_card(channels=channels, training_noise_std=0.02)
    model = Model(card, [random_unet(card)])
    pictures, noise = batch(8, channels)
    levels = torch.arange(1, 9)
    found = loss_per_image(model, pictures, levels, noise)
    for place, level in enumerate(range(1, 9)):
        sharp = pictures[place].double().numpy()
        blurred, target = (blur(sharp, kept(card, k)) for k in (level, level - 1))
        u = torch.from_numpy(blurred + 0.02 * noise[place].double().numpy()).float()[None]
        with torch.no_grad():
            answer = model.unet(u, torch.tensor([level]))[0].double().numpy()
        wanted = ((u[0].double().numpy() + answer - target) ** 2).sum()
        assert float(found[place]) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_ddpm_loss(kind: Literal["epsilon", "v_prediction"]) -> None:
    """The mean square of what the network answers less the noise, or the v of diffusers' own."""
    diffusion = DiffusionConfig("cosine", prediction_type=kind)
    card = small_card(kind="ddpm", diffusion=diffusion)
    model = model_of(card)
    pictures, noise = batch(8)
    theirs: Any = DDPMScheduler
    levels = torch.arange(1, 9)
    scheduler = theirs(8, beta_schedule="squaredcos_cap_v2")
    sharp, timesteps = 2 * pictures - 1, torch.arange(8)
    x = scheduler.add_noise(sharp, noise, timesteps)
    velocity = scheduler.get_velocity(sharp, noise, timesteps)
    with torch.no_grad():
        answer = model.unet(x, timesteps)
        found = loss_per_image(model, pictures, levels, noise)
    wanted = (answer - (noise if kind == "epsilon" else velocity)).square().mean((1, 2, 3))
    assert closeness(found, wanted) < 1e-4


@pytest.mark.parametrize("data_time", [0, 1])
def test_flow_loss(data_time: Literal[0, 1]) -> None:
    """The mean square of the network's answer less dx/dt, at times within the levels' steps."""
    flow = FlowConfig(data_time=data_time, time_scale=7.0)
    card = small_card(kind="flow", flow=flow)
    model = model_of(card)
    pictures, noise = batch(8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shares = 1 - (torch.arange(1, 9) - torch.rand(8)) / 8  # of the image
        torch.manual_seed(0)
        with torch.no_grad():
            found = loss_per_image(model, pictures, torch.arange(1, 9), noise)
    part = shares.view(-1, 1, 1, 1)
    x = part * (2 * pictures - 1) + (1 - part) * noise
    times = 7 * (shares if data_time else 1 - shares)
    wanted = (2 * pictures - 1 - noise) * (1 if data_time else -1)
    with torch.no_grad():
        error = model.unet(x, times) - wanted
    assert closeness(found, error.square().mean((1, 2, 3))) < 1e-4


@pytest.mark.parametrize("channels", [1, 3])
def test_loss_of_a_cascade(channels: int) -> None:
    """Of networks that have an answer it is the error of the mean in pixels, in the same units."""
    model = cascade(channels).train()
    pictures, noise = batch(8, channels)
    levels, card = torch.arange(1, 9), model.card
    found = loss_per_image(model, pictures, levels, noise)
    sharp, sigma = pictures.double().numpy(), card.training_noise_std
    variance = dct(images(channels=channels).double().numpy() / 255).var(0)
    for place, level in enumerate(range(1, 9)):
        here, below = kept(card, level), kept(card, level - 1)
        u = torch.from_numpy(blur(sharp, here) + sigma * noise.double().numpy()).float()
        mean = model(u[place : place + 1], level)[0].double().numpy()
        scale = (below**2 * variance * sigma**2 / (here**2 * variance + sigma**2)).sum()
        wanted = ((mean - blur(sharp, below)[place]) ** 2).sum() / scale
        assert float(found[place]) == pytest.approx(wanted, rel=1e-3)
