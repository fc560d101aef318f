"""Samples that an author chose: which calls are right, what is keyed, and what the page says."""

from typing import Any

import numpy as np
import pytest
import torch

from sitegen.core.diagnostics import fields_of
from sitegen.figures.base import ChosenKind, spec_json
from sitegen.figures.hierarchy import Hierarchy
from sitegen.figures.registry import figure_kinds
from sitegen.figures.shared_noise import SharedNoise
from sitegen.figures.trajectories import Trajectories
from sitegen.generative.maths.noise import Branching, independent
from tests.unit.figures.test_calls import call, faults

CHOOSING = ("trajectories", "shared_initial_state", "hierarchy", "shared_noise", "process")


def test_choosing_counts() -> None:
    """Chosen samples say how many there are, in every kind; without them all is as it was."""
    spec = call("mnist", samples=(3, 17, 40)).spec
    assert isinstance(spec, Trajectories)
    assert (spec.count, spec.columns, spec.numbers) == (3, 2, (3, 17, 40))
    assert spec == call("mnist", samples=[3, 17, 40], count=3).spec
    assert call("mnist", samples=(5, 4), kind="shared_noise").spec == SharedNoise(
        "mnist", rows=2, samples=(5, 4)
    )
    assert call("mnist", samples=(5, 4, 8, 9), kind="hierarchy").spec == Hierarchy(
        "mnist", leaves=4, samples=(5, 4, 8, 9)
    )
    for kind in (*CHOOSING, "sampler"):
        plain = call("mnist", kind=kind)
        assert isinstance(plain.spec, ChosenKind)
        assert spec_json(plain)["samples"] is None
        assert plain.choice == ""
    assert "chosen_from" not in spec_json(call("mnist", kind="interpolation"))


FAULTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"samples": (3, 3)}, "samples = [3, 3]: 3 is there twice"),
    ({"samples": (1, -2)}, "samples = [1, -2]: -2 is no number of a sample; they are from 0"),
    ({"samples": ()}, "samples = []: should be 1 to 10000 numbers of samples, as in [3, 17, 40]"),
    ({"samples": 7}, "samples = 7: Input should be a valid tuple"),
    ({"samples": (1, "x")}, 'samples = "x": Input should be a valid integer'),
    ({"samples": (1, 2), "count": 3}, "count = 3: should be 2, as many as the samples; leave it"),
    ({"sample": (1, 2)}, 'sample: unknown key, did you mean "samples"?'),
    ({"chosen_from": 9}, "chosen_from = 9: says from how many samples were chosen; say which"),
    ({"samples": (1, 9), "chosen_from": 9}, "chosen_from = 9: sample 9 is not among the first 9"),
    ({"samples": (1, 9), "chosen_from": 0}, "chosen_from = 0: Input should be greater"),
    ({"kind": "process", "samples": (1, 2)}, "samples = [1, 2]: should be one number"),
    ({"kind": "hierarchy", "samples": (1, 2, 3)}, "3 samples: should be one for each leaf, 2, 4"),
    ({"kind": "hierarchy", "splits": (9,), "samples": (1, 2, 3, 4)}, "should be 2, which the spl"),
    ({"kind": "interpolation", "samples": (1, 9), "chosen_from": 5}, "sample 9 is not among the"),
    ({"kind": "shared_noise", "samples": (1, 9), "rows": 3}, "rows = 3: should be 2, as many"),
)


@pytest.mark.parametrize(("arguments", "told"), FAULTS)
def test_faults_of_a_choice(arguments: dict[str, Any], told: str) -> None:
    """What no choice can be is told with the page's line, once, with what would be right."""
    (fault,) = faults("mnist", **arguments)
    assert told in fault


def test_words() -> None:
    """A reader learns that samples were chosen, and from how many where that is known."""
    told = call("mnist", samples=(3, 17), chosen_from=200).choice
    assert told == "Chosen from 200 samples."
    assert call("mnist", samples=(3, 17)).choice == "The samples were chosen by hand."
    one = call("mnist", samples=(3,), kind="process").choice
    assert one == "The sample was chosen by hand."
    assert call("mnist", samples=(1, 0), chosen_from=2).choice == ""
    assert call("mnist", kind="interpolation").choice == ""
    chosen = call("mnist", kind="interpolation", samples=(4, 7), chosen_from=50).choice
    assert chosen == "Chosen from 50 samples."


def test_every_kind_that_draws_samples_lets_choose() -> None:
    """Only spectra, which measure, and an atlas, which has them all, take them as they come."""
    choosing = {name for name, kind in figure_kinds().items() if "samples" in fields_of(kind)}
    assert set(figure_kinds()) - choosing == {"spectra", "atlas"}


def test_noise_of_chosen_leaves() -> None:
    """The first leaf of a tree is its sample all the way; each other one from its last split on."""
    shape, splits, samples = (1, 4, 4), (9, 5), (7, 2, 11, 0)
    noise = Branching(3, splits, shape, samples=samples)
    for level, wanted in ((10, (7,)), (9, (7, 11)), (6, (7, 11)), (5, samples), (1, samples)):
        found, own = noise(level), independent(3, wanted, shape)(level)
        torch.testing.assert_close(found, own, rtol=0, atol=0)
    assert not np.array_equal(noise(9).numpy(), Branching(3, splits, shape)(9).numpy())
