"""The priors that travel with presets are those that `bench.priors` draws."""

from __future__ import annotations

import pytest

from bench.priors import natural_prior
from sitegen.ihdm.card.card import preset
from sitegen.ihdm.data.prior import read_prior
from sitegen.models.registry import preset_prior


@pytest.mark.parametrize("name", ["cifar10", "afhq-64"])
def test_they_can_be_drawn_again(name: str) -> None:
    """On another machine as well, to the last bits of a float."""
    shipped, drawn = read_prior(preset_prior(name), preset(name)), natural_prior(name)
    assert (shipped.data, shipped.sigma) == (drawn.data, drawn.sigma)
    difference = shipped.coefficients - drawn.coefficients
    assert float(difference.abs().max()) < 2 / 255  # a pixel may round the other way
