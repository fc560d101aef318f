"""Whole networks and models in the page's sampler against torch, and its pictures against ours."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sitegen.ihdm.card.card import FileRef, ModelCard, read_card
from sitegen.ihdm.checkpoints.browser import BrowserModel, Precision, export_for_browser
from sitegen.ihdm.checkpoints.loading import load_model
from sitegen.ihdm.checkpoints.weights import COARSE, save_weights
from sitegen.ihdm.data.prior import PRIOR_NAME, make_prior, read_prior
from sitegen.ihdm.process.heat import Statistics, dct2, idct2
from sitegen.ihdm.process.model import Model, linear_estimate
from sitegen.ihdm.process.noise import independent
from sitegen.ihdm.process.reverse import reverse_process
from sitegen.ihdm.training.loss import image_statistics
from tests.support import lessons
from tests.support.engine import decibels, difference, run_sampler
from tests.support.making import random_unet, small_card
from tests.support.paths import ROOT
from tests.support.tinymodel import WEIGHTS_NAME, card_of, pictures, write_model

SHIPPED = ["mnist", "fashion-mnist"]
CLOSE = 1e-3
ARCHITECTURES: list[dict[str, Any]] = [
    {"channels": 3, "image_size": 32, "channel_mult": (1, 2), "num_heads": 2},
    {"channel_mult": (2, 1, 1), "num_res_blocks": 2, "conv_resample": False},
    {"channel_mult": (1, 1), "attention_levels": (0, 1), "use_new_attention_order": False},
    {"channel_mult": (1, 1), "attention_levels": (0,), "num_heads": 2, "image_size": 12},
    {"num_heads": 4, "channels": 3, "use_new_attention_order": False, "attention_levels": (0,)},
    {"channel_mult": (1, 3), "num_head_channels": 16, "num_res_blocks": 3, "image_size": 28},
]
PREDICT = """
const own = sampler();
for (const level of values.levels) {
  const { mean, sharp } = own.predict(input("u"), level, level - 1);
  output(`mean ${level}`, mean);
  if (sharp) output(`sharp ${level}`, sharp);
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
output("final", steps.at(-1).mean);
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
            assert difference(found[f"mean {level}"], model(u, level)) < CLOSE


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


@pytest.mark.parametrize("channels", [1, 3])
def test_bands(channels: int, tmp_path: Path) -> None:
    """A preconditioned model with an MLP for its coarse levels: each level by its own network."""
    model = lessons.model(channels)
    write(model, tmp_path)
    check_means(model, exported(tmp_path), [1, 4, 5, 8], tmp_path)


def test_initial_states_in_colour(tmp_path: Path) -> None:
    """u_K of some samples from a bank of colour images."""
    model = lessons.model(3)
    write(model, tmp_path)
    program = """
    const own = sampler();
    for (const sample of [0, 1, 2]) output(`${sample}`, own.initialState(4, sample));
    """
    found = run_sampler(tmp_path, exported(tmp_path), program)
    wanted = read_prior(tmp_path / PRIOR_NAME, model.card).initial_states(4, [0, 1, 2])
    for sample in range(3):
        assert difference(found[str(sample)], wanted[sample]) < CLOSE / 100


def write(model: Model, folder: Path) -> None:
    """Write a model of both networks, with a prior."""
    assert model.coarse is not None
    assert model.statistics is not None
    tensors = dict(model.unet.state_dict()) | model.statistics.tensors()
    tensors |= {COARSE + name: tensor for name, tensor in model.coarse.state_dict().items()}
    card = model.card
    sha256 = save_weights(folder / WEIGHTS_NAME, tensors, torch.float32, card.coarse)
    make_prior(pictures(9, card.image_size, card.channels), card, 9).write(folder / PRIOR_NAME)
    card = replace(card, weights=FileRef(WEIGHTS_NAME, sha256))
    (folder / "model.toml").write_text(card.to_toml())


def test_a_band_of_fewer_pixels(tmp_path: Path) -> None:
    """A U-Net that sees the lowest cosines as a small image; a jump lands where it should."""
    card = replace(small_card(image_size=16, channels=3), parameterization="preconditioned")
    statistics = image_statistics(lessons.images(channels=3, size=16))
    unet, side, level, below = random_unet(card), 8, 6, 2
    tensors = dict(unet.state_dict()) | statistics.tensors()
    save_weights(tmp_path / WEIGHTS_NAME, tensors, torch.float32)
    make_prior(pictures(9, 16, 3), card, 9).write(tmp_path / PRIOR_NAME)
    (tmp_path / "model.toml").write_text(card.to_toml())
    own = exported(tmp_path)
    (band,) = own.description["bands"]
    own.description["bands"][0] = band | {"side": side, "pixel_mean": 0.4, "pixel_std": 0.3}
    program = """
    const own = sampler();
    const { mean, sharp } = own.predict(input("u"), values.level, values.below);
    output("mean", mean);
    output("sharp", sharp);
    """
    u = state(card)
    found = run_sampler(tmp_path, own, program, {"level": level, "below": below}, u=u)
    wanted = half_resolution(card, unet, statistics, u, side, level)
    left = Model(card, unet, statistics).attenuation(torch.tensor([below]))
    assert difference(found["sharp"], idct2(wanted)) < CLOSE
    assert difference(found["mean"], idct2(left * wanted)) < CLOSE


def half_resolution(
    card: ModelCard, unet: Any, statistics: Statistics, u: Tensor, side: int, level: int
) -> Tensor:
    """The cosines of û_0 by a U-Net that sees images of `side` pixels, of mean 0.4 and std 0.3."""
    here = Model(card, unet, statistics).attenuation(torch.tensor([level]))
    gain, unknown = linear_estimate(statistics, here, card.training_noise_std)
    estimate = statistics.mean + gain * (dct2(u) - here * statistics.mean)
    image = idct2(estimate[..., :side, :side]) * side / card.image_size
    estimate[..., :side, :side] += (
        unknown.sqrt()[..., :side, :side]
        * dct2(unet((image - 0.4) / 0.3, torch.tensor([level]))).detach()
    )
    return estimate


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models(name: str, tmp_path: Path) -> None:
    """Every band of the models that we ship, with the weights as they are."""
    model = load_model(ROOT / "models" / name)
    assert isinstance(model, Model)
    check_means(model, exported(ROOT / "models" / name), [1, 20, 55, 56, 100], tmp_path)


@pytest.mark.parametrize("name", SHIPPED)
def test_pictures_are_those_of_sitegen_sample(name: str, tmp_path: Path) -> None:
    """Sample 5 of seed 3 of a shipped model in float16: the same from the start to the picture."""
    folder = ROOT / "models" / name
    model = load_model(folder)
    assert isinstance(model, Model)
    card = model.card
    own = exported(folder, "float16")
    found = run_sampler(tmp_path, own, DESCEND, {"seed": 3, "sample": 5})
    u_K = read_prior(folder / PRIOR_NAME, card).initial_states(3, [5])
    steps = list(reverse_process(model, u_K, independent(3, [5], card.shape)))
    assert difference(found["u_K"], u_K) < 1e-5
    assert found["levels"].tolist() == [step.level for step in steps]
    states = found["states"].reshape(len(steps), -1)
    assert min(decibels(state, step.state) for state, step in zip(states, steps, strict=True)) > 35
    assert decibels(found["final"], steps[-1].mean) > 60


def test_from_any_level_with_any_noise(tmp_path: Path) -> None:
    """A branch: from a state of one's own, with noise of one's own, and stopped when one likes."""
    folder = write_model(tmp_path / "model", levels=6)
    model, card = load_model(folder), card_of(folder)
    program = """
    const own = sampler();
    const noise = (level) => input("noise").map((value) => value * level);
    const steps = own.descend(input("u"), noise, { from: 4, noiseStd: 0.5 });
    output("first", steps.next().value.state);
    output("second", steps.next().value.state);
    """
    u, noise = state(card), np.random.default_rng(1).normal(size=card.shape)
    found = run_sampler(tmp_path, exported(folder), program, u=u, noise=noise)
    fresh = torch.from_numpy(noise).float()
    with torch.inference_mode():
        first = model(u, 4) + 0.5 * 4 * fresh
        second = model(first, 3) + 0.5 * 3 * fresh
    assert difference(found["first"], first) < CLOSE
    assert difference(found["second"], second) < CLOSE
