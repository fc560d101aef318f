"""Whole networks and models in the page's sampler against torch, and its pictures against ours."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from recipes.cascade import matrices
from sitegen.generative.card.card import BlurRange, FileRef, ModelCard, read_card
from sitegen.generative.card.networks import Band, CosineConfig, UNetConfig
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.checkpoints.weights import RESIDUAL, prefixes, save_weights
from sitegen.generative.data.prior import PRIOR_NAME, make_prior, read_prior
from sitegen.generative.maths.heat import retained, rings
from sitegen.generative.maths.noise import independent
from sitegen.generative.networks.construct import new_network
from sitegen.generative.process.model import Model
from sitegen.generative.process.protocol import reverse_process
from sitegen.generative.training.loss import image_statistics
from sitegen.models.browser import BrowserModel, Precision, export_for_browser
from tests.support import lessons
from tests.support.engine import decibels, difference, run_sampler
from tests.support.paths import ROOT
from tests.support.tinymodel import WEIGHTS_NAME, card_of, pictures, write_model

SHIPPED = ["faces", "mnist", "fashion-mnist"]
CLOSE = 1e-3
ARCHITECTURES: list[dict[str, Any]] = [
    {"channels": 3, "image_size": 32, "channel_mult": (1, 2), "num_heads": 2},
    {"channel_mult": (2, 1, 1), "num_res_blocks": 2, "conv_resample": False},
    {"channel_mult": (1, 1), "attention_levels": (0, 1), "use_new_attention_order": False},
    {"channel_mult": (1, 1), "attention_levels": (0,), "num_heads": 2, "image_size": 12},
    {"num_heads": 4, "channels": 3, "use_new_attention_order": False, "attention_levels": (0,)},
    {"model_channels": 24, "channel_mult": (1, 2), "norm_groups": 8, "image_size": 12},
    {"channels": 3, "channel_mult": (1, 2), "patch_size": 2, "image_size": 24},
    {"channel_mult": (1, 3), "num_head_channels": 16, "num_res_blocks": 3, "image_size": 28},
]
PREDICT = """
const own = sampler();
const none = () => new Float32Array(input("u").length);
for (const level of values.levels) {
  const [{ state }] = own.descend(input("u"), none, { visited: [level, level - 1] });
  output(`mean ${level}`, state);
}
"""
DESCEND = """
const own = sampler();
const { seed, sample } = values;
const u_K = own.initialState(seed, sample);
const steps = [...own.descend(u_K, own.noise(seed, sample))];
output("u_K", u_K);
output("levels", Float32Array.from(steps, ({ level }) => level));
output("states", Float32Array.from(steps.flatMap(({ state }) => [...state])));
"""


def exported(folder: Path, precision: Precision = "float32") -> BrowserModel:
    """The model of a folder, for the browser."""
    card = read_card(folder)
    return export_for_browser(card, folder / WEIGHTS_NAME, folder / PRIOR_NAME, precision)


def state(card: ModelCard) -> Tensor:
    """A state that is as noisy as they are."""
    return torch.rand(1, *card.shape, generator=torch.Generator().manual_seed(5))


def check_means(model: Model, own: BrowserModel, levels: list[int], folder: Path) -> None:
    """The means of one step from some levels are torch's."""
    u = state(model.card)
    found = run_sampler(folder, own, PREDICT, {"levels": levels}, u=u)
    with torch.inference_mode():
        for level in levels:
            assert difference(found[f"mean {level}"], mean_below(model, u, level)) < CLOSE


def mean_below(model: Model, u: Tensor, level: int) -> Any:
    """The mean of the next state: what stays of the noise of this one is part of it."""
    card = model.card
    if not card.keeps_noise or level == 1:
        return model(u, level)
    stays = retained(card.schedule[level], card.schedule[level - 1], card.image_size).numpy()
    here, left = (lessons.kept(card, each) for each in (level, level - 1))
    sharp, noisy = (lessons.dct(x.double().numpy()) for x in (model(u, level, 0), u))
    return lessons.idct(left * sharp + stays * (noisy - here * sharp))


@pytest.mark.parametrize("options", ARCHITECTURES, ids=str)
def test_networks_are_those_of_torch(options: dict[str, Any], tmp_path: Path) -> None:
    """f(u, k) of random U-Nets of every kind that is supported, at the first and the last level."""
    folder = write_model(tmp_path / "model", **options)
    model = load_model(folder)
    assert isinstance(model, Model)
    u = state(model.card)
    found = run_sampler(tmp_path, exported(folder), PREDICT, {"levels": [1, 4]}, u=u)
    with torch.inference_mode():
        for level in (1, 4):
            change = model.network(u, torch.tensor([level]))
            own = found[f"mean {level}"] - u.flatten().numpy()
            assert difference(own, change) < CLOSE / 10


def cascade(folder: Path, small: bool = False, forward: Literal["markov"] | None = None) -> Model:
    """A model in colour of three networks that skips levels, with random weights.

    Those of large matrices are bytes if `small`; then it is guided.
    """
    bands = (
        Band(1, unet=UNetConfig(32, (1, 2), 1)),
        Band(12, side=16, unet=UNetConfig(32, (1, 1), 1, use_new_attention_order=False)),
        Band(20, side=6, cosines=CosineConfig(32, 2, 8, 4)),
    )
    levels = (30, 27, 20, 19, 12, 11, 5, 1)
    sampling = SamplingConfig(levels, "estimated", forward, 0.1 if small else None)
    card = ModelCard(
        image_size=32, channels=3, levels=30, unet=None, blur=BlurRange(0.5, 20), bands=bands,
        parameterization="preconditioned", sampling=sampling,
    )  # fmt: skip
    tensors = image_statistics(lessons.images(channels=3, size=32)).tensors()
    factor = torch.rand((30, rings(32), 3, 3), generator=torch.Generator().manual_seed(2))
    tensors[RESIDUAL] = factor @ factor.mT  # any covariance
    networks = []
    for prefix, band in zip(prefixes(card), card.networks, strict=True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            network = new_network(band, 3, 32).requires_grad_(False)
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape))
        tensors |= {prefix + name: tensor for name, tensor in network.state_dict().items()}
        networks.append(network)
    chosen = matrices(card, networks) if small else ()
    sha256 = save_weights(folder / WEIGHTS_NAME, tensors, torch.float32, card, chosen)
    prior = make_prior(pictures(9, 32, 3), card, 9).write(folder / PRIOR_NAME)
    weights, bank = FileRef(WEIGHTS_NAME, sha256), FileRef(PRIOR_NAME, prior)
    (folder / "model.toml").write_text(replace(card, weights=weights, prior=bank).to_toml())
    model = load_model(folder)
    assert isinstance(model, Model)
    return model


@pytest.mark.parametrize("small", [False, True])
def test_bands_of_a_cascade(small: bool, tmp_path: Path) -> None:
    """Each level by its own network, of fewer pixels and of cosines too, and of bytes."""
    model = cascade(tmp_path, small)
    check_means(model, exported(tmp_path), [1, 11, 12, 19, 20, 30], tmp_path)


@pytest.mark.parametrize(
    ("small", "forward"), [(False, None), (True, None), (False, "markov"), (True, "markov")]
)
def test_pictures_of_a_cascade(
    small: bool, forward: Literal["markov"] | None, tmp_path: Path
) -> None:
    """From the bank of colour images over the levels that are visited to the picture.

    Its noise has the covariance of channels that the weights tell of, and some of it stays where
    the forward process is a Markov chain.
    """
    model = cascade(tmp_path, small, forward)
    check_descent(model, tmp_path, tmp_path)


@pytest.mark.parametrize("name", SHIPPED)
def test_pictures_are_those_of_sitegen_sample(name: str, tmp_path: Path) -> None:
    """Sample 5 of seed 3 of a shipped model in float16: the same from the start to the picture."""
    folder = ROOT / "models" / name
    model = load_model(folder)
    assert isinstance(model, Model)
    check_descent(model, folder, tmp_path)


def check_descent(model: Model, folder: Path, scratch: Path) -> None:
    """Sample 5 of seed 3 of a model's folder, in float16: its start, levels, states and picture."""
    card = model.card
    own = exported(folder, "float16")
    found = run_sampler(scratch, own, DESCEND, {"seed": 3, "sample": 5})
    u_K = read_prior(folder / PRIOR_NAME, card).initial_states(3, [5])
    steps = list(reverse_process(model, u_K, independent(3, [5], card.shape)))
    assert difference(found["u_K"], u_K) < 1e-5
    assert found["levels"].tolist() == [step.level for step in steps]
    *states, final = found["states"].reshape(len(steps), -1)
    assert min(decibels(*pair) for pair in zip(states, (s.state for s in steps), strict=False)) > 35
    assert decibels(final, steps[-1].mean) > 60


def test_from_any_level_with_any_noise(tmp_path: Path) -> None:
    """A branch: from a state of one's own, with noise of one's own, and stopped when one likes."""
    folder = write_model(tmp_path / "model", levels=6)
    model, card = load_model(folder), card_of(folder)
    program = """
    const own = sampler();
    const noise = (level) => input("noise").map((value) => value * level);
    const steps = own.descend(input("u"), noise, { from: 4 });
    output("first", steps.next().value.state);
    output("second", steps.next().value.state);
    """
    u, noise = state(card), np.random.default_rng(1).normal(size=card.shape)
    found = run_sampler(tmp_path, exported(folder), program, u=u, noise=noise)
    fresh = card.sampling_noise_std * torch.from_numpy(noise).float()
    with torch.inference_mode():
        first = model(u, 4) + 4 * fresh
        second = model(first, 3) + 3 * fresh
    assert difference(found["first"], first) < CLOSE
    assert difference(found["second"], second) < CLOSE
