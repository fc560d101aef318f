"""Each published configuration can be sampled without its data: a prior travels with it."""

from __future__ import annotations

import pytest

from sitegen.ihdm.card.card import preset, presets
from sitegen.ihdm.data.prior import read_prior
from sitegen.models.registry import APPROXIMATE, is_approximate, measured, preset_prior

NATURAL = sorted(set(presets()) - {"mnist", "mnist-small"})


@pytest.mark.parametrize("name", presets())
def test_prior_of_every_preset(name: str) -> None:
    """It is made for the card's size and blur, has many starts, is small and within [0, 1]."""
    card = preset(name)
    prior = read_prior(preset_prior(name), card)
    states = prior.states(range(len(prior)))
    assert states.shape == (256, *card.shape)
    assert 0 <= float(states.min()) < float(states.max()) <= 1
    assert preset_prior(name).stat().st_size < 30_000


@pytest.mark.parametrize("name", NATURAL)
def test_colours_of_the_approximate_ones(name: str) -> None:
    """Their mean is the one that the card tells; they differ, more in light than in hue."""
    card = preset(name)
    means = read_prior(preset_prior(name), card).states(range(256)).mean((2, 3))
    (fault,) = (fault for fault in card.known_faults if fault.startswith(APPROXIMATE))
    told = fault.partition("mean RGB ")[2].split(",")[:3]
    assert means.mean(0).tolist() == pytest.approx([float(value) for value in told], abs=0.02)
    assert 0.1 < float(means.std(0).mean()) < 0.15
    assert float(means.T.corrcoef().min()) > 0.85


def test_which_are_approximate() -> None:
    """All but MNIST's say so in their cards; measured priors take that away, and no other fault."""
    assert [name for name in presets() if is_approximate(preset(name))] == NATURAL
    for name in presets():
        card = measured(preset(name))
        assert not is_approximate(card)
        assert len(card.known_faults) == len(preset(name).known_faults) - (name in NATURAL)
        assert card.digest == preset(name).digest
