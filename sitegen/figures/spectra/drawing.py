"""The chart of spectra: IHDM fills in from low frequencies, a DDPM sinks from a floor of noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup

from sitegen.figures.svg import WIDE, Axis, Drawing, Panel, decades, group, label, path

PANEL = 324.0
"""Height."""
LINE = 20.0
"""Height of a line of the legend."""
LETTER = 7.0
"""Width of a letter of the legend, at most in the mean of a line."""
LOWEST = 1e-9
"""Least power that is drawn."""
HEAT, NOISE = ("#69abdb", "#08306b"), ("#ee8a6c", "#7f0000")
HEAT_DARK, NOISE_DARK = ("#2d6794", "#b3dcff"), ("#93402c", "#ffc3b0")
"""First and last colour of the model's and of the baseline's curves, on light and dark pages."""
STYLE = ".data { stroke: #000; }\n.floor { stroke: #565c70; }\n"
DARK_STYLE = ".data { stroke: #fff; }\n.floor { stroke: #a3aac0; }\n"
DASHES, DOTS = "6 3", "1 3"
"""Dashes of the baseline's curves, and of the floor."""
TABLED = (0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 32.0, 64.0, 128.0)
"""Frequencies of the table, in cycles an image."""
_CUTS = (4.0, 16.0)  # between bands of frequencies, in cycles an image


@dataclass(frozen=True)
class Spectrum:
    """The mean power in each ring at one level."""

    level: int
    power: Sequence[float]


@dataclass(frozen=True)
class Curves:
    """Data of the plot: powers by ring, in the order of the generation.

    frequencies: of the rings, in cycles an image; ring 0, the images' mean, is not drawn
    data: of the data, None if it is unknown
    floor: δ², the power that sampling noise adds to every ring of a state; 0 if it is not shown
    name: label of the method of `heat`
    """

    frequencies: Sequence[float]
    heat: Sequence[Spectrum]
    noise: Sequence[Spectrum]
    data: Sequence[float] | None
    floor: float = 0.0
    name: str = "IHDM"


def spectra_drawing(curves: Curves, width: int = WIDE) -> Drawing:
    """The chart, with the legend above it."""
    legend, top = _legend(curves, width)
    # Whole decades, from the least power of sharp images, or the floor, to the highest curve.
    sharp = [curves.heat[-1].power, *([curves.data] if curves.data else [])]
    low = min(min(power[1:]) for power in sharp)
    low = max(min(low, curves.floor / 3 or low), LOWEST)
    everything = [*(spectrum.power for spectrum in (*curves.heat, *curves.noise)), *sharp]
    high = max(max(max(power[1:]) for power in everything), 10 * low)
    up = decades("Power", low, high)
    panel = Panel(56, top, width - 56 - 2, PANEL, _across(curves), up)
    body = group(panel.axes(), *_lines(panel, curves), legend)
    title = "Radially averaged power spectra along the generation"
    light = _shades(curves, HEAT, NOISE)
    light += STYLE
    dark = _shades(curves, HEAT_DARK, NOISE_DARK)
    dark += DARK_STYLE
    return Drawing(width, top + PANEL + 46, title, body, light, dark)


def spectra_table(curves: Curves, count: int) -> dict[str, Any]:
    """Return the numbers as results: a sentence, distances, and the power at some frequencies."""
    last = curves.frequencies[-1]
    frequencies = [*(f for f in TABLED if f < last), last]
    rings = [curves.frequencies.index(f) for f in frequencies]
    rows = [
        [curves.name, spectrum.level, *_some(spectrum.power, rings)] for spectrum in curves.heat
    ]
    rows += [["DDPM", spectrum.level, *_some(spectrum.power, rings)] for spectrum in curves.noise]
    rows += [["data", None, *_some(curves.data, rings)]] if curves.data else []
    table = {
        "caption": "Power per cosine at some frequencies, in cycles an image; pixels are in "
        f"[0, 1], and each row of a model is the mean of {count} samples",
        "columns": ["Curve", "Level", *(f"{f:g}" for f in frequencies)],
        "rows": rows,
    }
    if curves.data is None:
        return {"summary": "The spectrum of the data is not known here.", "tables": [table]}
    distances = _distances(curves, curves.data)
    text = ", ".join(f"{name} {over_all:.2f}" for name, over_all, *_ in distances["rows"])
    return {"summary": f"{distances['caption']}: {text}.", "tables": [distances, table]}


def _distances(curves: Curves, data: Sequence[float]) -> dict[str, Any]:
    """Return the table of the distances of finished images from the data, in all and in bands."""
    frequencies, top = np.array(curves.frequencies), curves.frequencies[-1]
    cuts = [0.0, *(cut for cut in _CUTS if cut < top), top]
    bands = {"All": (0.0, top)}
    bands |= {f"{low:g} to {high:g}": (low, high) for low, high in pairwise(cuts)}
    inside = [(low < frequencies) & (frequencies <= high) for low, high in bands.values()]
    ends = [(curves.name, spectrum) for spectrum in curves.heat[-1:]]
    ends += [("DDPM", spectrum) for spectrum in curves.noise[-1:]]
    log_data = np.log10(np.maximum(data, LOWEST))
    distances = [(name, np.log10(np.maximum(end.power, LOWEST)) - log_data) for name, end in ends]
    return {
        "caption": "Root mean square distance of the finished images' spectrum from that of the "
        "data, in decades of power",
        "columns": ["Cycles an image", *bands],
        "rows": [
            [name, *(round(float(np.sqrt(np.mean(decades[rings] ** 2))), 2) for rings in inside)]
            for name, decades in distances
        ],
    }


def _some(power: Sequence[float], rings: Sequence[int]) -> list[float]:
    return [float(f"{power[ring]:.3g}") for ring in rings]


def _across(curves: Curves) -> Axis:
    """Cycles an image: all rings but the first."""
    low, high = curves.frequencies[1], curves.frequencies[-1]
    ticks = tuple(
        (n * unit, f"{n * unit:g}")
        for unit in (0.1, 1, 10, 100)
        for n in (1, 2, 5)
        if low * 0.999 <= n * unit <= high
    )
    return Axis("Frequency (cycles per image)", low * 0.92, high * 1.04, ticks, logarithmic=True)


def _lines(panel: Panel, curves: Curves) -> Iterator[Markup]:
    xs = curves.frequencies[1:]
    for kind, all_levels in (("noise", curves.noise), ("heat", curves.heat)):
        for number, spectrum in enumerate(all_levels):
            dashes = DASHES if kind == "noise" else None
            stroke = {"class_": f"{kind}-{number}", "stroke_width": 2.0, "stroke_dasharray": dashes}
            yield panel.curve(xs, spectrum.power[1:], **stroke)
    if curves.data:
        yield panel.curve(xs, curves.data[1:], class_="data", stroke_width=3.2)
    if curves.floor:
        ends = (xs[0], xs[-1])
        yield panel.curve(ends, [curves.floor] * 2, class_="floor", stroke_dasharray=DOTS)


def _legend(curves: Curves, width: int) -> tuple[Markup, float]:
    """A sample of each kind of line with its name, and what the shades mean; where it ends."""
    entries = [("heat", f"{curves.name}, levels {_span(curves.heat)}")]
    entries += [("noise", f"DDPM (dashed), levels {_span(curves.noise)}")] if curves.noise else []
    entries += [("data", "data")] if curves.data else []
    entries += [("floor", "sampling noise δ²")] if curves.floor else []
    parts, y = [], 14.0
    for kind, text in entries:
        count = len(curves.heat if kind == "heat" else curves.noise)
        start = f"{y - 4.5}"
        if kind == "data":
            parts.append(path(f"M0 {start}h52", class_="data", stroke_width=3.2))
        elif kind == "floor":
            dotted = {"stroke_dasharray": DOTS, "stroke_width": 2}
            parts.append(path(f"M0 {start}h52", class_="floor", **dotted))
        else:
            step, gap = 52 / count, 1.0 if kind == "noise" else 0.0
            shades = [f"M{n * step:.2f} {start}h{step - gap:.2f}" for n in range(count)]
            drawn = (path(d, class_=f"{kind}-{n}", stroke_width=4) for n, d in enumerate(shades))
            parts.append(group(*drawn))
        long = LETTER * len(text) > width - 60
        for line in text.replace(", ", ",\n").splitlines() if long else [text]:
            parts.append(label(60, y, line, anchor="start"))
            y += LINE
    return group(*parts), y - 4


def _span(spectra: Sequence[Spectrum]) -> str:
    return f"{spectra[0].level} (faint) to {spectra[-1].level}"


def _shades(curves: Curves, heat: tuple[str, str], noise: tuple[str, str]) -> str:
    """The style of every curve: from the first colour to the second."""
    rules = []
    for kind, spectra, ends in (("heat", curves.heat, heat), ("noise", curves.noise, noise)):
        for number in range(len(spectra)):
            share = number / max(len(spectra) - 1, 1)
            pairs = [[int(end[at : at + 2], 16) for end in ends] for at in (1, 3, 5)]
            colour = "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
            rules.append(f".{kind}-{number} {{ stroke: {colour}; }}\n")
    return "".join(rules)
