"""The priors that travel with presets are those that `bench.priors` draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench import priors
from bench.priors import COLOURS, natural_pictures, natural_prior
from sitegen.ihdm.card.card import preset
from sitegen.ihdm.data.prior import read_prior
from sitegen.ihdm.process.heat import dct2
from sitegen.models.registry import preset_prior


@pytest.mark.parametrize("name", ["cifar10", "afhq-64"])
def test_they_can_be_drawn_again(name: str) -> None:
    """On another machine as well, to the last bits of a float."""
    shipped, drawn = read_prior(preset_prior(name), preset(name)), natural_prior(name)
    assert (shipped.data, shipped.sigma) == (drawn.data, drawn.sigma)
    difference = shipped.coefficients - drawn.coefficients
    assert float(difference.abs().max()) < 2 / 255  # a pixel may round the other way


def test_pictures_have_the_statistics_told() -> None:
    """Mean, deviation and likeness of the channels, and power that falls as 1/f²."""
    card, colours = preset("afhq-64"), COLOURS["afhq-64"]
    images = natural_pictures(card, colours, 64)
    assert images.shape == (64, 3, 64, 64)
    pixels = images / 255
    assert pixels.mean((0, 2, 3)) == pytest.approx(colours.mean, abs=0.05)
    assert pixels.std((0, 2, 3)) == pytest.approx(colours.std, abs=0.03)
    between = pixels.mean((2, 3)).var(0) / pixels.var((0, 2, 3))
    assert between == pytest.approx([priors.BETWEEN] * 3, abs=0.1)
    flat = pixels.transpose(1, 0, 2, 3).reshape(3, -1)
    assert np.asarray(np.corrcoef(flat))[0, 1] == pytest.approx(priors.ALIKE, abs=0.04)
    power = (dct2(torch.from_numpy(pixels)) ** 2).mean((0, 1)).numpy()
    radii = np.hypot(*np.meshgrid(np.arange(64), np.arange(64)))
    bands = [power[(radii >= low) & (radii < 2 * low)].mean() for low in (2, 4, 8, 16)]
    assert np.diff(np.log2(bands)) == pytest.approx([-2, -2, -2], abs=0.35)
