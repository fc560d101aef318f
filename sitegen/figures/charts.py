"""Charts: axes, linear or logarithmic, with their grid, and curves in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sitegen.figures.svg import element, group, label, path, written

_CLIP = "panel"
_FAR = 20.0
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
TITLE_SIZE, TICK_SIZE = 14.0, 13.0
"""Sizes of texts, in a chart that is 480 units wide."""


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high` with its ticks: values and labels, "" for a line alone."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value stands, 0 at `low` and 1 at `high`; outside of these, but not far off."""
        if not self.logarithmic:
            share = (value - self.low) / (self.high - self.low)
        elif value > 0:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = -_FAR
        return min(max(share, -_FAR), _FAR)


def decades(title: str, low: float, high: float) -> Axis:
    """A logarithmic axis of whole decades around `low` … `high`, with at most six labels."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    every = -(-(last - first) // 6)
    ticks = tuple(
        (10.0**n, power_of_ten(n) if (n - first) % every == 0 else "")
        for n in range(first, last + 1)
    )
    return Axis(title, 10.0**first, 10.0**last, ticks, logarithmic=True)


def power_of_ten(exponent: int) -> str:
    """Write 10 to that power."""
    return f"10{str(exponent).translate(_RAISED)}" if exponent not in (0, 1) else str(10**exponent)


def even_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """About five round numbers from `low` to `high`."""
    raw = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= raw)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple((n * step, f"{n * step:.6g}") for n in range(first, last + 1))


@dataclass(frozen=True)
class Panel:
    """A rectangle in a drawing with an axis along its lower and one along its left side."""

    left: float
    top: float
    width: float
    height: float
    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of two values in the drawing."""
        return (
            self.left + self.width * self.x.share(x),
            self.top + self.height * (1 - self.y.share(y)),
        )

    def curve(self, xs: Sequence[float], ys: Sequence[float], **attributes: object) -> Markup:
        """A line through the points; what is outside of the panel is not seen."""
        points = (self.at(x, y) for x, y in zip(xs, ys, strict=True))
        line = "M" + "L".join(f"{written(x)} {written(y)}" for x, y in points)
        return path(line, fill="none", clip_path=f"url(#{_CLIP})", **attributes)

    def axes(self) -> Markup:
        """Grid, frame, ticks and titles."""
        bottom = self.top + self.height
        parts: list[object] = []
        for value, words in self.x.ticks:
            x = self.left + self.width * self.x.share(value)
            parts.append(
                path(f"M{written(x)} {written(self.top)}V{written(bottom)}", class_="grid")
            )
            parts.append(
                label(x, bottom + 18, words, size=TICK_SIZE, class_="soft") if words else ""
            )
        for value, words in self.y.ticks:
            y = self.top + self.height * (1 - self.y.share(value))
            end = written(self.left + self.width)
            parts.append(path(f"M{written(self.left)} {written(y)}H{end}", class_="grid"))
            place = (self.left - 7, y + 4.5)
            parts.append(
                label(*place, words, size=TICK_SIZE, anchor="end", class_="soft") if words else ""
            )
        sides = {"x": self.left, "y": self.top, "width": self.width, "height": self.height}
        clip = element("clipPath", element("rect", **sides), id=_CLIP)
        return group(*parts, element("rect", **sides, class_="frame"), self._titles(), clip)

    def _titles(self) -> Markup:
        middle, bottom = self.left + self.width / 2, self.top + self.height
        turn, height = self.left - 44, self.top + self.height / 2
        turned = f"rotate(-90 {written(turn)} {written(height)})"
        return group(
            label(middle, bottom + 40, self.x.title, size=TITLE_SIZE),
            label(turn, height, self.y.title, size=TITLE_SIZE, transform=turned)
            if self.y.title
            else "",
        )
