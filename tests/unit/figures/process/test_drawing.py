"""The drawing of both processes: two rows that line up by level, whatever there is to fit in."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from sitegen.figures.process.drawing import process_drawing

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("columns", [2, 6, 12])
def test_rows_line_up(columns: int) -> None:
    """Each level has its pictures one above the other and its number over both, inside the band."""
    frames = [np.full((8, 8, 3), 10 * n, np.uint8) for n in range(columns)]
    levels = [round(n * 100 / (columns - 1)) for n in range(columns)]
    drawing = process_drawing(frames, frames, levels, "Words")
    root = ElementTree.fromstring(drawing.text())
    places = [(float(e.get("x", 0)), float(e.get("y", 0))) for e in root.iter(f"{SVG}image")]
    sizes = {e.get("width") for e in root.iter(f"{SVG}image")}
    assert [x for x, _ in places[:columns]] == [x for x, _ in places[columns:]]
    assert len(sizes) == 1
    assert places[-1][0] + float(sizes.pop() or 0) <= 640 - 60
    words = [e.text or "" for e in root.iter(f"{SVG}text")]
    numbers = [int(w.removeprefix("level ")) for w in words if re.fullmatch(r"(level )?\d+", w)]
    assert numbers == levels
    assert any("Forward process" in word for word in words)
    assert any("Inverse process" in word for word in words)
    whole = {"".join(e.itertext()) for e in root.iter(f"{SVG}text")}
    assert {"∂u", "∂t", "= Δu"} <= whole  # the heat equation
