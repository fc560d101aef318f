"""Guidance of DDPMs and flows: away from the linear estimate."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import idctn

from sitegen.core.errors import ConfigError
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.maths.heat import Statistics
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.flow import FlowConfig
from sitegen.generative.process.model import CardModel
from tests.support.making import random_unet, small_card

Array = NDArray[np.float64]
SIZE, WEIGHT = 8, 0.5
GENERATOR = np.random.default_rng(0)
MEAN, VARIANCE = GENERATOR.normal(size=(3, SIZE, SIZE)), GENERATOR.random((3, SIZE, SIZE)) + 0.1
VELOCITY = DiffusionConfig("cosine", prediction_type="v_prediction")
CARDS: dict[str, dict[str, Any]] = {
    "flow": {"kind": "flow"},
    "flow with data at 0": {"kind": "flow", "flow": FlowConfig("heun", 0, 1000.0)},
    "flow of a ddpm": {"kind": "flow", "diffusion": VELOCITY},
    "ddpm": {"kind": "ddpm", "diffusion": DiffusionConfig("cosine")},
    "ddpm of velocity": {"kind": "ddpm", "diffusion": VELOCITY},
}


def guided_card(name: str, weight: float | None = WEIGHT) -> Any:
    sampling = None if weight is None else SamplingConfig(guidance=weight)
    return small_card(channels=3, levels=10, sampling=sampling, **CARDS[name])


def models(name: str) -> tuple[CardModel, CardModel]:
    """The same network without guidance, and with it."""
    statistics = Statistics(torch.tensor(MEAN).float(), torch.tensor(VARIANCE).float())
    plain, guided = guided_card(name, None), guided_card(name)
    unet = random_unet(plain)
    return CardModel(plain, [unet]).eval(), CardModel(guided, [unet], statistics).eval()


def expected_image(x: Array, kept: float, added: float) -> Array:
    """E[x_0 | x = kept x_0 + added ε] of Gaussian images in [-1, 1], by covariance matrices."""
    basis = np.stack([idctn(each.reshape(SIZE, SIZE), norm="ortho").ravel() for each in np.eye(64)])
    found = []
    for state, mean, variance in zip(x.reshape(3, 64), MEAN, VARIANCE, strict=True):
        average = 2 * mean.ravel() @ basis - 1
        covariance = 4 * basis.T @ (variance.ravel()[:, None] * basis)
        total = kept**2 * covariance + added**2 * np.eye(64)
        found.append(average + kept * covariance @ np.linalg.solve(total, state - kept * average))
    return np.stack(found).reshape(x.shape)


@pytest.mark.parametrize("name", CARDS)
def test_away_from_the_expected_image(name: str) -> None:
    """The answer moves by the weight times its distance from that of Gaussian images.

    In a batch each sample has its own time.
    """
    plain, guided = models(name)
    x = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    if isinstance(plain.card, Ddpm):
        places = torch.tensor([4, 9])
        left = np.array(plain.card.alphas_bar)[places.numpy()]
        pairs = np.stack([left**0.5, (1 - left) ** 0.5], 1)
    else:
        places = torch.tensor([0.3, 0.9], dtype=torch.float64)
        kept = places.numpy() if name != "flow with data at 0" else 1 - places.numpy()
        pairs = np.stack([kept, 1 - kept], 1)
    before, after = (model(x, places).double().numpy() for model in (plain, guided))
    for own, was, now, (kept, added) in zip(x.double().numpy(), before, after, pairs, strict=True):
        image = expected_image(own, kept, added)
        noise = (own - kept * image) / added
        direction = -1 if name == "flow with data at 0" else 1
        velocity = kept * noise - added * image if name == "ddpm of velocity" else noise
        worse = velocity if isinstance(plain.card, Ddpm) else direction * (image - noise)
        np.testing.assert_allclose(now, was + WEIGHT * (was - worse), atol=1e-4)


def test_cards_and_statistics_belong_together() -> None:
    """A guidance needs statistics, and statistics a guidance."""
    assert guided_card("flow").has_statistics
    assert not guided_card("flow", None).has_statistics
    assert not guided_card("flow", 0.0).has_statistics
    with pytest.raises(ConfigError, match="variance: only heat dissipation"):
        small_card(kind="flow", sampling=SamplingConfig(guidance=0.5, variance="estimated"))
