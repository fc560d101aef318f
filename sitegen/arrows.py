"""Arrows: smooth curves with a head, drawn as ink from 0 to 255 and laid over a picture.

Points are (n, 2) arrays of x, y in pixels, x to the right and y down; whole numbers are corners of
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sitegen.frames import Colour, Frame

Points = NDArray[np.float64]
Ink = NDArray[np.uint8]

_SUPERSAMPLE = 4
_POINTS = 48
_HEAD, _HALF_HEAD = 4.4, 1.8  # length, and half the breadth, in strokes


def overhang(stroke: float) -> int:
    """How many pixels an arrow may reach beyond the line that it is drawn along."""
    return int(np.ceil(_HALF_HEAD * stroke)) + 1


def swing(start: tuple[float, float], bend: float, end: tuple[float, float]) -> Points:
    """An S from `start`, level at both ends and done at x = `bend`, then straight on to `end`.

    Needs start x < bend and start x < end x; the S takes all of the way if `bend` is beyond.
    """
    bend = min(bend, end[0])
    t = np.linspace(0, 1, _POINTS)
    x = start[0] + (bend - start[0]) * (1.5 * t * (1 - t) + t**3)
    y = start[1] + (end[1] - start[1]) * t * t * (3 - 2 * t)
    points = np.stack([x, y], axis=1)
    return points if end[0] == bend else np.vstack([points, end])


def draw_arrows(
    curves: Sequence[Points], size: tuple[int, int], stroke: float, progress: float = 1.0
) -> Ink:
    """Draw an arrow along each curve: smooth ink of `size` (h, w), 0 to 255.

    stroke: how thick the line is, in pixels
    progress: how far the arrows have come, from 0, nothing, to 1; the head goes in front, and they
        grow side by side, so that the longest is the last to arrive
    """
    height, width = size
    image = Image.new("L", (width * _SUPERSAMPLE, height * _SUPERSAMPLE))
    draw = ImageDraw.Draw(image)
    reach = progress * max((float(_lengths(curve)[-1]) for curve in curves), default=0.0)
    for curve in curves:
        _draw_arrow(draw, curve, reach, stroke)
    return np.asarray(image.reduce(_SUPERSAMPLE))


def mix(below: Colour | Frame, above: Colour | Frame, alpha: int | Ink) -> Frame:
    """`above` over `below` in 256 steps: exactly the one at alpha 0, exactly the other at 255.

    All three broadcast: colours, (H, W, 3) frames, a number or (H, W, 1) of ink.
    """
    weight = np.asarray(alpha, np.uint32)
    over, under = np.asarray(above, np.uint32), np.asarray(below, np.uint32)
    return ((under * (255 - weight) + over * weight + 127) // 255).astype(np.uint8)


def _draw_arrow(draw: ImageDraw.ImageDraw, curve: Points, reach: float, stroke: float) -> None:
    """Draw an arrow, up to `reach` pixels of it, with a small head while it is short."""
    lengths = _lengths(curve)
    reach = min(reach, float(lengths[-1]))
    head = min(_HEAD * stroke, reach)
    if head <= 0:
        return
    tip, base = _along(curve, lengths, np.array([reach, reach - head]))
    ahead = (tip - base) / max(float(np.hypot(*(tip - base))), 1e-9)
    aside = np.array([-ahead[1], ahead[0]]) * head * _HALF_HEAD / _HEAD
    line = _along(curve, lengths, np.linspace(0, reach - 0.8 * head, 2 * _POINTS))
    width = round(stroke * _SUPERSAMPLE)
    draw.line(_corners(line), fill=255, width=width, joint="curve")
    draw.polygon(_corners(np.stack([tip, base + aside, base - aside])), fill=255)


def _lengths(curve: Points) -> NDArray[np.float64]:
    """How far each point of a curve is from its start, along it."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])


def _along(curve: Points, lengths: NDArray[np.float64], at: NDArray[np.float64]) -> Points:
    """The points of a curve at some distances from its start."""
    return np.stack([np.interp(at, lengths, axis) for axis in curve.T], axis=1)


def _corners(points: Points) -> list[tuple[float, float]]:
    """Corners in the coordinates of Pillow, whose whole numbers are middles of pixels."""
    return [(x, y) for x, y in (points * _SUPERSAMPLE - 0.5).tolist()]
