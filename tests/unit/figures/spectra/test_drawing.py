"""The chart of spectra shows every curve inside its axes, and its words tell what is known."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from sitegen.figures.spectra.drawing import Curves, Spectrum, spectra_drawing, spectra_table

FREQUENCIES = [ring / 2 for ring in range(12)]
DATA = [9.0, *(1 / ring**2 for ring in range(1, 12))]
CURVES = Curves(
    FREQUENCIES,
    [Spectrum(4, [9.0, 0.1, *[0.0] * 10]), Spectrum(0, [10 * power for power in DATA])],
    [Spectrum(3, [20.0] * 12), Spectrum(0, DATA)],
    DATA,
    floor=1e-4,
)


def texts(curves: Curves) -> list[str]:
    """The words in the drawing."""
    root = ElementTree.fromstring(spectra_drawing(curves, "Words").text())
    return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]


def test_summary_and_table() -> None:
    """A factor of ten everywhere is one decade; the table has a row a curve."""
    results = spectra_table(CURVES, 7)
    assert "IHDM 1.00, DDPM 0.00" in results["summary"]
    (table,) = results["tables"]
    assert [row[:2] for row in table["rows"]] == [
        ["IHDM", 4], ["IHDM", 0], ["DDPM", 3], ["DDPM", 0], ["data", None]
    ]  # fmt: skip
    assert table["columns"] == ["Of", "Level", "0.5", "1", "2", "4", "5.5"]
    assert table["rows"][-1][2:] == [1, 0.25, 0.0625, 0.0156, float(f"{DATA[-1]:.3g}")]
    assert "mean of 7 samples" in table["caption"]


def test_legend() -> None:
    """It names what there is, and nothing that there is not."""
    words = texts(CURVES)
    assert {"IHDM, levels 4 (faint) to 0", "data", "sampling noise δ²"} <= set(words)
    assert "DDPM (dashed), levels 3 (faint) to 0" in words
    fewer = texts(replace(CURVES, noise=[], data=None, floor=0.0))
    assert not [word for word in fewer if "DDPM" in word or word in ("data", "sampling noise δ²")]


@pytest.mark.parametrize("data", [DATA, None])
def test_no_words_among_the_curves(data: list[float] | None) -> None:
    """Inside the axes, where a curve could cross them, there are no words; none lie on others."""
    root = ElementTree.fromstring(spectra_drawing(replace(CURVES, data=data), "Words").text())
    names = "{http://www.w3.org/2000/svg}"
    (frame,) = (e for e in root.iter(f"{names}rect") if e.get("class") == "frame")
    left, top, width, height = (float(frame.get(n, 0)) for n in ("x", "y", "width", "height"))
    places = [(float(e.get("x", 0)), float(e.get("y", 0))) for e in root.iter(f"{names}text")]
    assert not [(x, y) for x, y in places if left < x < left + width and top < y < top + height]
    assert len(set(places)) == len(places)


def test_dashes() -> None:
    """Red and blue are told apart by more than their colour."""
    root = ElementTree.fromstring(spectra_drawing(CURVES, "Words").text())
    long = [e for e in root.iter() if "clip-path" in e.attrib]
    dashes = {e.get("class"): e.get("stroke-dasharray") for e in long}
    assert dashes["heat-0"] is None
    assert dashes["noise-0"] == "6 3"
    assert dashes["data"] is None


@pytest.mark.parametrize("floor", [0.0, 1e-4])
def test_no_power_at_all(floor: float) -> None:
    """A model that makes flat images is drawn, too, with finite numbers."""
    flat = Spectrum(0, [1.0, *[0.0] * 11])
    drawing = spectra_drawing(Curves(FREQUENCIES, [flat, flat], [], None, floor), "Words")
    root = ElementTree.fromstring(drawing.text())
    assert not [e for e in root.iter() if "nan" in (e.get("d") or "") + (e.get("y") or "")]
    assert math.isfinite(drawing.height)
