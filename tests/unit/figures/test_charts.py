"""Axes put values where they belong, with round ticks; curves keep inside their panel."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitegen.figures.charts import Axis, Panel, decades, even_ticks, power_of_ten


def test_linear_and_logarithmic() -> None:
    """0 at the low end, 1 at the high one, halfway in value or in ratio."""
    assert Axis("", 2, 6, ()).share(4) == 0.5
    log = Axis("", 0.01, 100, (), logarithmic=True)
    assert [log.share(value) for value in (0.01, 1, 100)] == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-300])
def test_far_below(value: float) -> None:
    """What has no logarithm, or a huge one, stands somewhere below, at a finite place."""
    assert Axis("", 0.01, 100, (), logarithmic=True).share(value) == -20


@given(st.floats(-12, 12), st.floats(0.01, 12))
def test_decades(start: float, span: float) -> None:
    """They enclose the values, and label few of their whole powers of ten."""
    low, high = 10.0**start, 10.0 ** (start + span)
    axis = decades("Power", low, high)
    assert axis.low <= low * (1 + 1e-9)
    assert axis.high >= high * (1 - 1e-9)
    assert 1 <= sum(bool(words) for _, words in axis.ticks) <= 7
    assert axis.share(axis.ticks[0][0]) == pytest.approx(0)
    assert axis.share(axis.ticks[-1][0]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("exponent", "words"), [(-3, "10⁻³"), (0, "1"), (1, "10"), (2, "10²"), (-12, "10⁻¹²")]
)
def test_power_of_ten(exponent: int, words: str) -> None:
    """With a raised exponent, where that is shorter."""
    assert power_of_ten(exponent) == words


@given(st.floats(-100, 100), st.floats(0.01, 1000))
def test_even_ticks(low: float, span: float) -> None:
    """A few, evenly spaced, inside the range."""
    ticks = [value for value, _ in even_ticks(low, low + span)]
    assert 2 <= len(ticks) <= 7
    assert min(ticks) >= low - 1e-6 * span
    assert max(ticks) <= low + span + 1e-6 * span


def test_round_ticks() -> None:
    """1, 2 or 5 times a power of ten apart, written short."""
    assert [words for _, words in even_ticks(1, 2.6)] == ["1", "1.5", "2", "2.5"]


def test_panel() -> None:
    """Corners of the axes are corners of the panel, and a curve is cut at its sides."""
    panel = Panel(50, 10, 200, 100, Axis("x", 0, 1, ((0, "0"),)), Axis("y", 0, 10, ((5, "5"),)))
    assert panel.at(0, 0) == (50, 110)
    assert panel.at(1, 10) == (250, 10)
    curve = ElementTree.fromstring(panel.curve([0, 1], [0, 1000], class_="a"))
    assert curve.get("d") == "M50 110L250 -1890"
    assert curve.get("clip-path") == "url(#panel)"
    axes = ElementTree.fromstring(f"<g>{panel.axes()}</g>")
    clip = next(each for each in axes if each.tag == "clipPath")
    assert clip.get("id") == "panel"
    assert [each.text for each in axes.iter("text")] == ["0", "5", "x", "y"]
