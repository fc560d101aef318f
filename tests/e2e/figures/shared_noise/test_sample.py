"""The same noises from other initial states: which states, which noises, and what is measured."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sitegen.figures.shared_noise.sample import measured, spread
from sitegen.media.look.colours import DARK, LIGHT

from sitegen.core.errors import ConfigError
from sitegen.generative.data.prior import Prior
from sitegen.generative.process.noise import independent
from sitegen.media.frames import to_uint8
from sitegen.sampling.models import Sampler, load_sampler
from tests.support.builders import CPU
from tests.support.tinyfigures import SIDE, Sources, job
from tests.support.tinymodel import LEVELS


def bank(colours: list[tuple[float, ...]]) -> Prior:
    """Flat states of these colours."""
    means = torch.tensor(colours, dtype=torch.float32)
    return Prior(means[:, :, None, None] * SIDE, SIDE, 20.0)


def test_states_are_the_noises_are_shared(sources: Sources, sampler: Sampler) -> None:
    """Row r has the noise of sample r, column c the c-th state, as the manifest tells."""
    made = job(sources, "shared_noise", count=3, rows=2, seed=4)
    *before, last = made.clips[""].frames
    states = sampler.prior.states(spread(sampler.prior, 3, "brightness"))
    assert states.mean((1, 2, 3)).diff().min() > 0
    for row in range(2):
        noise = independent(4, [row], sampler.card.shape)
        for column in range(3):
            *_, step = sampler.run(states[column : column + 1], noise).steps
            spot = last[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
            assert np.abs(spot.astype(int) - to_uint8(step.mean.numpy())[0]).max() <= 1
    assert made.parameters["vary"] == "brightness"
    place = {"count": 6, "columns": 3, "rows": 2, "width": SIDE, "height": SIDE}
    assert made.parameters["cells"] == place
    assert len(before) + 1 == len(made.levels) == LEVELS + 1
    for told in (made.parameters, made.results()):
        assert json.loads(json.dumps(told)) == told


def test_other_initial_states_are_those_of_samples(sources: Sources) -> None:
    """For a DDPM, column c has the initial state of sample c, and row r the noise of sample r."""
    made = job(sources, "shared_noise", "noise", count=2, rows=2, seed=4)
    *_, last = made.clips[""].frames
    noisy = load_sampler(sources["noise"], CPU)
    for row, column in ((0, 1), (1, 0), (1, 1)):
        noise = independent(4, [row], noisy.card.shape)
        *_, step = noisy.run(noisy.start(4, [column]), noise).steps
        spot = last[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        wanted = to_uint8(step.mean.numpy())[0]
        assert np.abs(spot.astype(int) - wanted).max() <= 1
    results = made.results()
    assert results["summary"].startswith("Two images with the same noise correlate by")
    (table,) = results["tables"]
    assert [row[0].rpartition(" same ")[2] for row in table["rows"]] == ["noise", "initial state"]


def test_strip(sources: Sources, sampler: Sampler, tmp_path: Path) -> None:
    """Above the initial states, below them the finished images, beside names in ink on paper."""
    made = job(sources, "shared_noise", count=3)
    *_, last = made.clips[""].frames
    assert list(made.stills) == ["strip", "strip-dark"]
    for (name, draw), (paper, ink) in zip(made.stills.items(), (LIGHT, DARK), strict=True):
        file = draw(tmp_path)
        assert file.path == f"{name}.webp"
        sheet = np.asarray(Image.open(tmp_path / file.path).convert("RGB")).astype(int)
        assert sheet.shape == (file.height, file.width, 3)
        factor = 920 // 3 // SIDE
        size = factor * SIDE
        states = to_uint8(sampler.prior.states(spread(sampler.prior, 3, "brightness")).numpy())
        rows = sheet[:size, -size:], sheet[size + 4 :, -size:]
        for seen, wanted in zip(rows, (states[2], last[:, -SIDE:]), strict=True):
            assert np.abs(seen[::factor, ::factor] - wanted).max() <= 8
        names = sheet[:, : file.width - 3 * (size + 4)]
        assert np.abs(names[0, 0] - paper).max() <= 2
        assert np.abs(names - np.array(ink)).sum(-1).min() <= 12


def test_brightness_is_spread_over_the_prior() -> None:
    """The states are the middles of equal shares of the bank, from dark to bright, none twice."""
    values = np.random.default_rng(0).permutation(100) / 100
    prior = bank([(value,) for value in values.tolist()])
    chosen = [values[at] for at in spread(prior, 5, "brightness")]
    assert chosen == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert len(set(spread(prior, 100, "brightness"))) == 100
    words = "count = 101: the prior of the model has only 100 states"
    with pytest.raises(ConfigError, match=words):
        spread(prior, 101, "brightness")


def test_colours_are_spread_along_their_own_axis() -> None:
    """Brightness is kept as usual as it can be, however much more it varies in the bank."""
    generator = np.random.default_rng(1)
    warmth, grey = generator.uniform(-0.1, 0.1, 400), generator.uniform(0.2, 0.8, 400)
    colours = np.stack([grey + warmth, grey, grey - warmth], 1)
    chosen = spread(bank([tuple(each) for each in colours.tolist()]), 5, "colour")
    assert np.abs(warmth[chosen] - [-0.08, -0.04, 0, 0.04, 0.08]).max() < 0.025
    assert np.abs(grey[chosen] - np.median(grey)).max() < 0.05


def test_hues_go_around_the_circle() -> None:
    """They are colours of the bank at even angles around its mean, as bright and far as usual."""
    generator = np.random.default_rng(3)
    angle, away = generator.uniform(0, 2 * np.pi, 3000), generator.uniform(0.05, 0.15, 3000)
    red, across = np.array([2, -1, -1]) / 6**0.5, np.array([0, 1, -1]) / 2**0.5
    hues = away[:, None] * (np.cos(angle)[:, None] * red + np.sin(angle)[:, None] * across)
    colours = hues + np.array([0.55, 0.5, 0.46]) + generator.uniform(-0.2, 0.2, (3000, 1))
    prior = bank([tuple(each) for each in colours.tolist()])
    chosen = spread(prior, 12, "hue")
    assert len(set(chosen)) == 12
    turned = (angle[chosen] - np.arange(12) * np.pi / 6 + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(turned).max() < 0.3
    assert np.abs(away[chosen] - 0.1).max() < 0.03
    assert np.ptp(colours[chosen].mean(1)) < 0.06
    few = [tuple(each) for each in generator.uniform(0.3, 0.7, (12, 3)).tolist()]
    assert sorted(spread(bank(few), 12, "hue")) == list(range(12))


def test_colours_of_hues_are_told() -> None:
    """The table has all three channels of the states and of what became of them."""
    u_K = np.broadcast_to(
        np.array([[0.8, 0.4, 0.2], [0.1, 0.5, 0.9]], np.float32)[:, :, None, None], (2, 3, 8, 8)
    )
    found = measured(u_K, np.concatenate([u_K - 0.1, u_K + 0.2]), "hue")
    _, table = found["tables"]
    assert found["summary"].startswith("The mean colour of a finished image follows that of its")
    assert table["columns"][3:] == [f"Finished images, {c}" for c in ("red", "green", "blue")]
    assert table["rows"][0] == pytest.approx([0.8, 0.4, 0.2, 0.85, 0.45, 0.25], abs=1e-4)


def test_what_is_measured() -> None:
    """The slope of the means and both likenesses are those of images made to have them."""
    generator = np.random.default_rng(2)
    levels = np.array([0.1, 0.3, 0.6], np.float32)
    u_K = np.broadcast_to(levels[:, None, None, None], (3, 1, 8, 8)).astype(np.float32)
    shapes = generator.standard_normal((2, 1, 1, 8, 8))
    shapes -= shapes.mean((3, 4), keepdims=True)
    u_0 = (0.9 * u_K + shapes).reshape(6, 1, 8, 8).astype(np.float32)
    found = measured(u_K, u_0, "brightness")
    across = np.corrcoef(shapes[0].ravel(), shapes[1].ravel())[0, 1]
    assert found["summary"] == (
        "The mean brightness of a finished image follows that of its initial state with a slope of "
        "0.90. Two images with the same noise correlate by 1.00 on average, two with the same "
        f"initial state by {across:.2f}."
    )
    short, table = found["tables"]
    assert short["rows"] == [
        ["Slope of the mean brightness over that of the initial state", "0.90"],
        ["Correlation of two images with the same noise", "1.00"],
        ["Correlation of two images with the same initial state", f"{across:.2f}"],
    ]
    assert table["rows"] == [[0.1, 0.09], [0.3, 0.27], [0.6, 0.54]]
    alone = measured(u_K, u_0[:3], "colour")
    assert alone["summary"].endswith("correlate by 1.00 on average.")
    assert len(alone["tables"][0]["rows"]) == 2
