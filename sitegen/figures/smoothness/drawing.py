"""The chart of smoothness: every pair a dot, and for each model the median with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from sitegen.core.diagnostics import listed
from sitegen.figures.smoothness import look
from sitegen.figures.smoothness.measure import Evenness, Floats, Interval, median_interval
from sitegen.figures.svg import (
    CHART,
    Axis,
    Drawing,
    Sheet,
    element,
    even_ticks,
    group,
    label,
    path,
    written,
)
from sitegen.media.typeface import BOLD


def smoothness_drawing(found: Mapping[str, Evenness], sheet: Sheet = CHART) -> Drawing:
    """Two panels, one above the other: the peaks, and the tortuosities."""
    height = look.HEAD + look.ROW * len(found) + look.FOOT + (look.LINE if sheet.narrow else 0)
    peaks = {name: each.peak for name, each in found.items()}
    ways = {name: each.tortuosity for name, each in found.items()}
    body = group(_panel(look.PEAK, peaks, sheet), _panel(look.TORTUOSITY, ways, sheet, height))
    title = "How even interpolations are"
    return Drawing(sheet.width, 2 * height, sheet.shown, title, body, look.STYLE, look.DARK)


def smoothness_results(found: Mapping[str, Evenness]) -> dict[str, Any]:
    """Return the measurements as a sentence and two tables, whichever method they favour."""
    return {"summary": summary(found), "tables": [_medians(found), _shapes(found)]}


def summary(found: Mapping[str, Evenness]) -> str:
    """Return both measures with their intervals, and conclusions from paired differences."""
    pairs, steps = found[_own(found)].steps.shape
    sentences = [
        f"In these {pairs} pairs, of {steps + 1} images each, the largest step over the mean step "
        f"is {_medians_of(found, 'peak')} (medians with 95 % bootstrap intervals).",
        *_verdict(found, "peak", ("more even", "less even")),
        "The length of the way over the distance of its ends is "
        f"{_medians_of(found, 'tortuosity')}.",
        *_verdict(found, "tortuosity", ("straighter", "less straight")),
    ]
    return " ".join(sentences)


def _medians_of(found: Mapping[str, Evenness], measure: str) -> str:
    medians = {name: median_interval(getattr(each, measure)) for name, each in found.items()}
    return listed([f"{median} for {name}" for name, median in medians.items()], "and")


def _verdict(found: Mapping[str, Evenness], measure: str, words: tuple[str, str]) -> Iterator[str]:
    """Yield one sentence on the differences of the model and the others, if there are any.

    `words` are for smaller and for larger values.
    """
    smaller, larger = words
    parts: dict[str, list[str]] = {}
    for name, difference in _differences(found, measure).items():
        said = f"not shown to be {smaller} or {larger}"
        said = smaller if difference.high < 0 else larger if difference.low > 0 else said
        parts.setdefault(said, []).append(name)
    if parts:
        told = [f"{said} than {listed(names, 'and')}" for said, names in parts.items()]
        yield f"Pair by pair, {_own(found)} is {listed(told, 'and')}."


def _differences(found: Mapping[str, Evenness], measure: str) -> dict[str, Interval]:
    """The median of the model less another, taken in each pair, by the other's name."""
    own = _own(found)
    first = getattr(found[own], measure)
    others = {name: getattr(each, measure) for name, each in found.items() if name != own}
    return {name: median_interval(first - values) for name, values in others.items()}


def _own(found: Mapping[str, Evenness]) -> str:
    """The name of the model that is compared with the others: it comes first."""
    return next(iter(found))


def _medians(found: Mapping[str, Evenness]) -> dict[str, Any]:
    rows = [
        [name, str(median_interval(each.peak)), str(median_interval(each.tortuosity))]
        for name, each in found.items()
    ]
    peaks, ways = _differences(found, "peak"), _differences(found, "tortuosity")
    rows += [[f"{_own(found)} − {name}", str(peaks[name]), str(ways[name])] for name in peaks]
    return {
        "caption": "Medians over the pairs, with 95 % bootstrap intervals",
        "columns": ["Of", look.PEAK, look.TORTUOSITY],
        "rows": rows,
    }


def _shapes(found: Mapping[str, Evenness]) -> dict[str, Any]:
    count = len(found[_own(found)].shape)
    rows = [[name, *(round(float(v), 3) for v in each.shape)] for name, each in found.items()]
    return {
        "caption": "Each step over the mean step of its path, from one end to the other: medians",
        "columns": ["Of", *(str(step) for step in range(1, count + 1))],
        "rows": rows,
    }


def _panel(title: str, values: Mapping[str, Floats], sheet: Sheet, top: float = 0.0) -> Markup:
    high = max(float(each.max()) for each in values.values())
    axis = Axis(title, 0.95, max(1.05 * high, 1.5), even_ticks(1.0, max(1.05 * high, 1.5)))
    first, last = top + look.HEAD, top + look.HEAD + look.ROW * len(values)
    left = max(look.LEFT, 16 + 8.2 * max(map(len, values)))  # room for the names
    ends = left, sheet.width - look.RIGHT
    start, size = (8.0, 13.5) if sheet.narrow else (look.LEFT, 15.0)
    parts = [label(start, top + 22, title, size=size, anchor="start", font_weight=BOLD)]
    for value, words in axis.ticks:
        x = _across(axis, value, ends)
        parts.append(path(f"M{written(x)} {written(first)}V{written(last)}", class_="grid"))
        parts.append(label(x, last + 18, words, size=13, class_="soft"))
    for number, (name, each) in enumerate(values.items()):
        parts.append(_row(axis, name, each, ends, first + look.ROW * (number + 0.5), number))
    lines = [look.BEST[title], look.KEY] if sheet.narrow else [f"{look.BEST[title]}; {look.KEY}"]
    for line, words in enumerate(lines):
        place = start, last + 36 + look.LINE * line
        parts.append(label(*place, words, size=13, anchor="start", class_="soft"))
    return group(*parts)


def _across(axis: Axis, value: float, ends: tuple[float, float]) -> float:
    left, right = ends
    return left + (right - left) * axis.share(value)


def _row(
    axis: Axis, name: str, values: Floats, ends: tuple[float, float], y: float, number: int
) -> Markup:
    """A dot for each pair, and over them the interval as a bar with the median as a diamond."""
    own = f"model-{number}"
    interval = median_interval(values)
    lanes = np.argsort(np.argsort(values, kind="stable"), kind="stable") % 5 - 2
    dots = []
    for value, lane in zip(values, lanes, strict=True):
        centre = {"cx": _across(axis, float(value), ends), "cy": y - 6 + 3.0 * float(lane)}
        dots.append(element("circle", **centre, r=2.6, class_=f"{own} dot"))
    low, middle, high = (
        _across(axis, v, ends) for v in (interval.low, interval.median, interval.high)
    )
    bar = f"M{written(low)} {written(y + 6)}v10v-5H{written(high)}v-5v10"
    diamond = f"M{written(middle)} {written(y + 4)}l7 7l-7 7l-7 -7z"
    return group(
        label(ends[0] - 10, y + 5, name, size=15, anchor="end"),
        *dots,
        path(bar, class_=f"{own} bar", stroke_width=2),
        path(diamond, class_=own),
    )
