"""Calls of `hierarchy`: what may be asked for, and how it is told."""

from __future__ import annotations

import pytest

from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.figures.base import Figure, default_alt
from sitegen.figures.hierarchy.spec import Hierarchy
from sitegen.figures.registry import make_figure

PLACE = SourceLocation("pages/index.md", 7)


def call(**arguments: object) -> Figure:
    """Call `hierarchy` as a page does."""
    return make_figure("hierarchy", ("mnist",), arguments, PLACE, {"mnist"})


def test_defaults() -> None:
    """A model is enough: eight leaves, for light pages and dark ones."""
    spec = call().spec
    assert spec == Hierarchy("mnist", leaves=8, background="both")
    assert spec.models == ("mnist",)


def test_one_tree_written_in_two_ways() -> None:
    """The splits say how many leaves there are, as a list or not."""
    assert call(splits=[100, 50, 25]).spec == call(splits=(100, 50, 25), leaves=8).spec
    assert call(splits=[60]).spec == Hierarchy("mnist", splits=(60,), leaves=2)


@pytest.mark.parametrize(
    ("argument", "value", "told"),
    [
        ("splits", [50, 100], "should be 1 to 4 levels that fall, each at least 1"),
        ("splits", [50, 50], "should be 1 to 4 levels that fall, each at least 1"),
        ("splits", [50, 0], "should be 1 to 4 levels that fall, each at least 1"),
        ("splits", [], "should be 1 to 4 levels that fall, each at least 1"),
        ("splits", [5, 4, 3, 2, 1], "should be 1 to 4 levels that fall, each at least 1"),
        ("splits", 50, "should be a list"),
        ("splits", [50.5], "should be a valid integer"),
        ("leaves", 6, "should be 2, 4, 8 or 16"),
        ("leaves", 1, "should be 2, 4, 8 or 16"),
        ("background", "drak", 'did you mean "dark"?'),
        ("show", "states", 'did you mean "state"?'),
        ("seed", -1, "should be a whole number from 0 to"),
        ("fps", 61, "should be a number from 1 to 60"),
    ],
)
def test_bad_values(argument: str, value: object, told: str) -> None:
    """Each is refused by name and place, with the rule."""
    with pytest.raises(ConfigError) as caught:
        call(**{argument: value})
    assert str(caught.value).startswith(f"pages/index.md:7: hierarchy(…): {argument} = ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_leaves_must_be_those_of_the_splits() -> None:
    """Two levels make four leaves, and no others."""
    assert call(splits=[9, 5], leaves=4).spec == call(splits=[9, 5]).spec
    with pytest.raises(ConfigError, match="leaves = 8: should be 4, which the splits make"):
        call(splits=[9, 5], leaves=8)


def test_descriptions() -> None:
    """The text alternative tells the tree's generations."""
    told = default_alt(call(), 100)
    assert told.startswith("A tree that grows from left to right over 100 steps: one flat square ")
    assert "splits into 2, 4 and then 8 pictures" in told
    assert "splits into 2 pictures" in default_alt(call(leaves=2), 100)
