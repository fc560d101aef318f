"""Arrows: where they begin and end, how they grow, and that laying over is exact at both ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitegen.figures.hierarchy.drawing import draw_arrows, mix, overhang, swing
from sitegen.media.frames import Colour

calm = settings(deadline=None, derandomize=True)
colours = st.tuples(*[st.integers(0, 255)] * 3)
START, END = (5.0, 20.0), (90.0, 60.0)


@calm
@given(colours, colours)
def test_mix_is_exact_at_both_ends(below: Colour, above: Colour) -> None:
    """Alpha 0 leaves what is below, 255 gives what is above, and all between lies between."""
    mixed = mix(below, above, np.arange(256, dtype=np.uint8)[:, None])
    assert mixed.dtype == np.uint8
    assert tuple(mixed[0]) == below
    assert tuple(mixed[255]) == above
    exact = np.linspace(below, above, 256)
    assert np.abs(mixed - exact).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("bend", [50.0, 90.0, 200.0])
def test_swing(bend: float) -> None:
    """From start to end, always to the right, level at both ends, and straight after the bend."""
    curve = swing(START, bend, END)
    assert tuple(curve[0]) == START
    assert tuple(curve[-1]) == END
    steps = np.diff(curve, axis=0)
    assert (steps[:, 0] > 0).all()
    assert (steps[:, 1] >= 0).all()
    assert abs(steps[0, 1]) < 0.1 * steps[0, 0]
    assert abs(steps[-1, 1]) < 0.1 * steps[-1, 0]
    assert (curve[curve[:, 0] >= bend, 1] == END[1]).all()


def test_an_arrow_fills_its_line_and_little_more() -> None:
    """Ink reaches both ends, stays within the overhang, and is smooth, with a broad head."""
    stroke = 3.0
    ink = draw_arrows([swing(START, 70, END)], (80, 100), stroke)
    rows, columns = np.nonzero(ink)
    assert columns.min() in (4, 5)
    assert columns.max() == 89
    assert rows.min() >= START[1] - overhang(stroke)
    assert rows.max() < END[1] + overhang(stroke)
    assert len(np.unique(ink)) > 10
    assert ink[:, 50].astype(int).sum() / 255 == pytest.approx(stroke * 1.3, rel=0.2)  # it slants
    assert (ink[:, 75] > 0).sum() in (3, 4)
    assert (ink[:, 79] > 0).sum() > 8


def test_arrows_grow() -> None:
    """Nothing at 0; then more and more, side by side, the longest arriving last."""
    short, long = swing((0, 10), 40, (40, 5)), swing((0, 30), 80, (80, 35))
    frames = [draw_arrows([short, long], (40, 100), 2, share) for share in (0, 0.2, 0.5, 0.8, 1)]
    assert not frames[0].any()
    tips = [
        [np.flatnonzero(half.any(axis=0)).max() for half in (frame[:20], frame[20:])]
        for frame in frames[1:]
    ]
    assert abs(tips[0][0] - tips[0][1]) <= 1
    assert [upper for upper, _ in tips][1:] == [39] * 3
    assert [lower for _, lower in tips] == sorted({lower for _, lower in tips})
    assert tips[-1][1] == 79
