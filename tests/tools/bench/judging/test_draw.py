"""Samples drawn for measuring are those of `sitegen sample`, and shipped priors those drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import Tensor

import bench.judging.draw
from bench.judging.draw import draw_samples
from bench.judging.images import Samples
from bench.judging.spectra import power
from recipes.priors import natural_prior
from sitegen.generative.card.card import BlurRange, ModelCard, preset
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.data.prior import read_prior
from sitegen.generative.maths.noise import initial_noise
from sitegen.models.registry import ModelSource, preset_prior

CARD = ModelCard(28, 1, 3, UNetConfig(32, (1,)), blur=BlurRange(0.5, 20.0), sampling_noise_std=0.1)
SOURCE = ModelSource("still", CARD, Path("weights"), Path("prior"))


@dataclass(frozen=True)
class Still:
    """A model that predicts what it is given, so that only the noise moves a state."""

    card: ModelCard = CARD

    def __call__(self, u: Tensor, level: int) -> Tensor:
        """The state itself."""
        return u


def ramp(seed: int, samples: Sequence[int]) -> Tensor:
    """Initial states (N, 1, 28, 28), each as grey as the sample's number says."""
    return torch.tensor(samples).float()[:, None, None, None].expand(-1, 1, 28, 28) / 10


@pytest.fixture(autouse=True)
def _model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.judging.draw, "load_model", lambda *_: Still())
    monkeypatch.setattr(bench.judging.draw, "read_prior", lambda *_: Mock(initial_states=ramp))


def draw(count: int, trajectories: int) -> Samples:
    """Samples of the still model."""
    return draw_samples(SOURCE, count, trajectories, seed=0, device="cpu")


def test_samples_and_the_states_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last mean lacks the last noise; power is watched of the first, in whatever batches."""
    samples = draw(40, 10)
    assert samples.initial[7] == pytest.approx(0.7)
    assert np.std(samples.final - samples.initial) == pytest.approx(0.1 * 2**0.5, rel=0.02)
    assert (samples.watched, list(samples.states)) == (10, [3, 2, 1])
    np.testing.assert_allclose(samples.states[3], power(samples.initial[:10]), atol=1e-5)
    assert samples.states[1][5:, 5:].mean() == pytest.approx(2 * 0.1**2, rel=0.05)
    assert draw(1, 0).states == {}
    whole = draw(8, 5)
    monkeypatch.setattr(bench.judging.draw, "BATCH", 3)  # the border of the watched ones is inside
    parts = draw(8, 5)
    np.testing.assert_array_equal(whole.final, parts.final)
    for level, spectrum in whole.states.items():
        np.testing.assert_allclose(spectrum, parts.states[level], rtol=1e-6)


def test_a_ddpm_starts_from_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins as noise and ends in [0, 1]; a model that blurs needs a prior, which is told."""
    cosine = DiffusionConfig("cosine")
    card = ModelCard(28, 1, 3, UNetConfig(32, (1,)), kind="ddpm", diffusion=cosine)
    monkeypatch.setattr(bench.judging.draw, "load_model", lambda *_: Still(card))
    monkeypatch.setattr(bench.judging.draw, "BATCH", 15)
    samples = draw_samples(ModelSource("noise", card, Path("weights"), None), 40, 10, 0, "cpu")
    assert samples.final.shape == (40, 28, 28)
    assert 0 <= samples.final.min() <= samples.final.max() <= 1
    x_K = initial_noise(0, range(40), card.shape)[:, 0].numpy()
    np.testing.assert_array_equal(samples.initial, (x_K + 1) / 2)
    assert (samples.states, samples.watched, samples.sigmas) == ({}, 0, None)
    with pytest.raises(SystemExit, match="still: its card names no prior"):
        draw_samples(ModelSource("still", CARD, Path("weights"), None), 1, 0, 0, "cpu")


@pytest.mark.parametrize("name", ["cifar10", "afhq-64"])
def test_they_can_be_drawn_again(name: str) -> None:
    """On another machine as well, to the last bits of a float."""
    shipped, drawn = read_prior(preset_prior(name), preset(name)), natural_prior(name)
    assert (shipped.data, shipped.sigma) == (drawn.data, drawn.sigma)
    difference = shipped.coefficients - drawn.coefficients
    assert float(difference.abs().max()) < 2 / 255  # a pixel may round the other way
