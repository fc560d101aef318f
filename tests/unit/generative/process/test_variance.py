"""Noise that has the variance which a model leaves, and its estimate."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.checkpoints.weights import save_weights
from sitegen.generative.maths.heat import Statistics, rings
from sitegen.generative.maths.noise import independent
from sitegen.generative.process.model import Model
from sitegen.generative.process.protocol import reverse_process
from sitegen.generative.training.residual import residual_shares
from tests.support.lessons import Array, cascade, dct, idct, images, kept, without_coarse

SAMPLES = 4000


class Silent(torch.nn.Module):
    """A network that answers nothing, and soon."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, _levels: Tensor) -> Tensor:
        """Zero, for any input."""
        return torch.zeros_like(x)


def linear(
    visited: tuple[int, ...], residual: float | None, forward: Literal["markov"] | None = None
) -> Model:
    """A model that is the linear estimate, and leaves all that this leaves unknown."""
    plain = without_coarse()
    card = replace(plain.card, sampling=SamplingConfig(visited, "estimated", forward))
    known = plain.statistics
    assert known is not None
    shares = None if residual is None else torch.full((card.levels, rings(8)), residual)
    statistics = Statistics(known.mean, known.variance, shares)
    return Model(card, [Silent()], statistics).requires_grad_(False)


def spread(model: Model, level: int) -> Array:
    """Standard deviation of the cosines of Gaussian states with the data's statistics."""
    card, known = model.card, model.statistics
    assert known is not None
    variance = kept(card, level) ** 2 * known.variance[0].double().numpy()
    return np.asarray(np.sqrt(variance + card.training_noise_std**2))


def drawn(model: Model) -> list[tuple[int, Tensor]]:
    """Levels and states of Gaussian samples on their way down, with δ = σ."""
    known, card = model.statistics, model.card
    assert known is not None
    noise = np.random.default_rng(3).normal(size=(SAMPLES, 1, 8, 8))
    mean = kept(card, card.levels) * known.mean.numpy()
    u_K = torch.from_numpy(idct(mean + spread(model, card.levels) * noise)).float()
    own = independent(0, range(SAMPLES), card.shape)
    steps = reverse_process(model, u_K, own, card.training_noise_std)
    return [(step.level, step.state) for step in steps]


@pytest.mark.parametrize("forward", [None, "markov"])
def test_states_of_two_levels_go_together_as_forwards(forward: Literal["markov"] | None) -> None:
    """Their covariance is that of one blurred image with two noises, or of a chain of states.

    A chain blurs what there is, its noise too, so that u_k is ρ u_j and noise of its own.
    """
    model = linear((8, 5, 1), residual=1.0, forward=forward)
    (_, first), (_, second), *_ = drawn(model)
    found = np.asarray([dct(state[:, 0].numpy()) for state in (first, second)])
    away = found - found.mean(1, keepdims=True)
    here, left = (kept(model.card, level) for level in (5, 1))
    known = model.statistics
    assert known is not None
    chain = here / left * spread(model, 1) ** 2
    apart = here * left * known.variance[0].double().numpy()
    shown = (away[0] * away[1]).mean(0) / (spread(model, 5) * spread(model, 1))
    wanted = (chain if forward else apart) / (spread(model, 5) * spread(model, 1))
    assert shown == pytest.approx(wanted, abs=0.08)
    # Fine cosines are of noise alone, so that this tells the two apart.
    assert np.abs(chain - apart).max() > 0.3 * np.abs(spread(model, 5) * spread(model, 1)).min()


@pytest.mark.parametrize("channels", [1, 3])
def test_share_that_a_network_leaves(channels: int) -> None:
    """The share is the squared error, by SciPy, over that of the linear estimate.

    In colour it is the covariance of errors. Noise is drawn with it.
    """
    model, data = cascade(channels), images(256, channels)
    shares = residual_shares(model, data.numpy())
    assert shares.shape == (8, rings(8), *[3, 3] * (channels == 3))
    known, card = model.statistics, model.card
    assert known is not None
    generator = torch.Generator().manual_seed(0)
    sharp = data[torch.randperm(256, generator=generator)].double().numpy() / 255
    noise = torch.randn(sharp.shape, generator=generator).numpy()
    state = torch.from_numpy(idct(kept(card, 1) * dct(sharp)) + card.training_noise_std * noise)
    error = (dct(model(state.float(), 1, 0).double().numpy()) - dct(sharp))[:, :, 0, 0]
    variance = known.variance.double().numpy()
    total = kept(card, 1) ** 2 * variance + card.training_noise_std**2
    scale = np.sqrt(variance * card.training_noise_std**2 / total)[:, 0, 0]
    expected = error.T @ error / len(error) / np.outer(scale, scale)
    told = shares.view(8, rings(8), channels, channels)
    assert torch.equal(told, told.mT)
    assert told[0, 0].numpy() == pytest.approx(expected, rel=1e-3)
    known = replace(known, residual=shares)
    std = Model(card, list(model.networks), known).noise_std(1, 0, 0.05)
    assert isinstance(std, Tensor)
    own = std[..., 0, 0].view(channels, channels)
    assert (own @ own.T).numpy() == pytest.approx(
        0.05**2 * np.eye(channels) + expected * np.outer(scale, scale), rel=1e-3, abs=1e-6
    )


@pytest.mark.parametrize(
    "wrong", [[[1, 2, 0], [2, 1, 0], [0, 0, 1]], [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]]
)
def test_what_is_no_covariance(tmp_path: Path, wrong: list[list[float]]) -> None:
    """Shares in colour are a covariance for each ring; others are refused."""
    model = without_coarse(3)
    card, known = (
        replace(model.card, sampling=SamplingConfig(variance="estimated")),
        model.statistics,
    )
    assert known is not None
    path, shares = tmp_path / "weights.safetensors", torch.eye(3).expand(8, rings(8), 3, 3)
    tensors = replace(known, residual=shares.clone()).tensors()
    save_weights(path, tensors | model.unet.state_dict(), torch.float32)
    assert isinstance(load_model(path, card), Model)
    tensors = replace(
        known, residual=torch.tensor(wrong).float().expand_as(shares).clone()
    ).tensors()
    save_weights(path, tensors | model.unet.state_dict(), torch.float32)
    with pytest.raises(RefusedError, match="no covariance"):
        load_model(path, card)


def test_guidance_goes_away_from_the_linear_estimate() -> None:
    """What the networks add to the linear estimate is taken farther, in sampling alone."""
    model = cascade()
    exact = without_coarse()  # its network answers 0: the linear estimate
    card, known = model.card, model.statistics
    assert known is not None
    farther = replace(card, sampling=replace(card.sampling or SamplingConfig(), guidance=0.1))
    guided = Model(farther, list(model.networks), known).eval()
    u = torch.rand(4, *card.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for level in (1, 5, 8):
            plain, worse = model(u, level), exact(u, level)
            wanted = worse + 1.1 * (plain - worse)
            assert float((plain - worse).abs().max()) > 1e-3
            assert torch.allclose(guided(u, level), wanted, atol=1e-5)
            assert torch.equal(guided.sharp(u, level), model.sharp(u, level))
            assert torch.equal(guided.train()(u, level), plain)
            guided.eval()
    data = images().numpy()
    shares = [residual_shares(each, data) for each in (model, guided)]
    assert torch.equal(*shares)
    wrong: list[Any] = [-0.6, 1.5, (0.1, 1.5), (), "0.1"]
    for each in wrong:
        with pytest.raises(ConfigError, match="guidance"):
            replace(farther, sampling=SamplingConfig(guidance=each))
