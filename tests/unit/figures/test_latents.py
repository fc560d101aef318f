"""Calls of `shared_noise` and `interpolation`: what may be asked for, and how it is told."""

from __future__ import annotations

import pytest

from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.figures.base import Figure, default_alt
from sitegen.figures.interpolation.spec import Interpolation
from sitegen.figures.registry import make_figure
from sitegen.figures.shared_noise.spec import SharedNoise

PLACE = SourceLocation("pages/index.md", 9)
MODELS = {"mnist", "mnist-ddpm"}


def call(kind: str, **arguments: object) -> Figure:
    """Call a kind as a page of a site with a model and a DDPM does."""
    return make_figure(kind, ("mnist",), arguments, PLACE, MODELS)


def test_defaults() -> None:
    """A model is enough."""
    assert call("shared_noise").spec == SharedNoise("mnist", count=5, rows=1, vary=None)
    spec = call("interpolation").spec
    assert spec == Interpolation("mnist", samples=(0, 1), points=110, hold=10, fps=30.0)
    assert spec.models == ("mnist",)


def test_a_ddpm_is_the_second_model() -> None:
    """And it must be one, as its card says."""
    spec = call("interpolation", ddpm="mnist-ddpm").spec
    assert spec.models == ("mnist", "mnist-ddpm")
    assert spec.model_kinds == ("ihdm", "ddpm")


def test_rows_are_pairs() -> None:
    """Two samples a row, as a list or not."""
    spec = call("interpolation", samples=[4, 1, 0, 7]).spec
    assert isinstance(spec, Interpolation)
    assert spec.pairs == ((4, 1), (0, 7))
    assert spec == call("interpolation", samples=(4, 1, 0, 7)).spec


@pytest.mark.parametrize(
    ("kind", "argument", "value", "told"),
    [
        ("interpolation", "samples", [1, 1], "two different samples for each row, as in [0, 1]"),
        ("interpolation", "samples", [0, 1, 2], "two different samples for each row"),
        ("interpolation", "samples", [], "two different samples for each row"),
        ("interpolation", "samples", [0, -1], "greater than or equal to 0"),
        ("interpolation", "points", 1, "a whole number from 2 to 1000"),
        ("interpolation", "points", 1001, "a whole number from 2 to 1000"),
        ("interpolation", "hold", -1, "a whole number from 0 to 600"),
        ("interpolation", "ddim_steps", 0, "a whole number from 1 to 1000"),
        ("interpolation", "ddpm", "mnist-dpm", 'did you mean "mnist-ddpm"?'),
        ("interpolation", "fps", 61, "a number from 1 to 60"),
        ("shared_noise", "count", 1, "a whole number from 2 to 100"),
        ("shared_noise", "rows", 0, "a whole number from 1 to 100"),
        ("shared_noise", "vary", "color", 'did you mean "colour"?'),
        ("shared_noise", "show", "noise", 'should be "state" or "mean"'),
    ],
)
def test_bad_values(kind: str, argument: str, value: object, told: str) -> None:
    """Each is refused by name and place, with the rule."""
    with pytest.raises(ConfigError) as caught:
        call(kind, **{argument: value})
    assert str(caught.value).startswith(f"pages/index.md:9: {kind}(…): {argument} = ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_descriptions() -> None:
    """The text alternatives say what is to be seen."""
    assert default_alt(call("shared_noise"), 100) == (
        "5 samples of the model mnist forming over 100 steps; all share their noise, and begin "
        "from flat squares of different brightness or colour. In the strip those squares, u_K, are "
        "the first row, and the samples, u_0, stand below"
    )
    rows = default_alt(call("shared_noise", rows=3, vary="colour"), 100)
    assert rows.startswith("3 rows of 5 samples of the model mnist")
    assert (
        "those of a row share their noise, and begin from flat squares of different colour." in rows
    )
    assert default_alt(call("interpolation"), 100) == (
        "With the model mnist a sample changes into another and back, in 110 images"
    )
    assert default_alt(call("interpolation", ddpm="mnist-ddpm", samples=[0, 1, 2, 3]), 100) == (
        "Three panels side by side: in each 2 samples change into others and back, with the model "
        "mnist, with the full latent of the DDPM mnist-ddpm, and with DDIM, in 110 images"
    )
