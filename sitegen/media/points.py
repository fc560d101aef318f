"""Drawings of points in the plane: where they are, their paths so far, and their velocities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sitegen.media.frames import PAPER, Frame
from sitegen.media.typeface import font

SHARPER = 2
"""Times that a drawing is larger before it is reduced, which makes its lines smooth."""
COLOURS = ((51, 66, 121), (194, 87, 26), (35, 105, 74), (143, 36, 92), (20, 120, 150), (120, 95, 0))
"""Colours of the points of each label, the first where there are more labels or none."""
PATH, EDGE, ARROW = (200, 204, 217), (134, 140, 163), (86, 92, 112)
_MARGIN, _RADIUS, _TEXT, _HEAD = 0.06, 0.006, 0.028, 0.014
"""Shares of the side: margin, radius of a point, height of the numbers, and arrow's head."""

Plane = NDArray[np.float32]


def drawn_points(
    steps: Iterable[tuple[Plane, Plane | None]],
    side: int,
    ends: tuple[float, float],
    labels: Sequence[str] = (),
) -> Iterator[Frame]:
    """Yield a frame (side, side, 3) for each step: positions (N, 2) in [0, 1], and velocities.

    ends: the numbers at the ends of both axes
    labels: one for each point, for its colour
    """
    size = SHARPER * side
    distinct = list(dict.fromkeys(labels))
    are_many = len(distinct) > len(COLOURS)
    colours = [COLOURS[0 if are_many else distinct.index(label)] for label in labels]
    ground = Image.new("RGB", (size, size), PAPER)
    before: Plane | None = None
    inner = size * (1 - 2 * _MARGIN)
    for positions, velocities in steps:
        places = np.clip(positions, -1, 2) * (inner, -inner) + (
            size * _MARGIN,
            size * (1 - _MARGIN),
        )
        pen = ImageDraw.Draw(ground)
        if before is not None:
            for start, end in zip(before, places, strict=True):
                pen.line([*start, *end], fill=PATH, width=max(1, size // 480))
        before = places
        frame = ground.copy()
        pen = ImageDraw.Draw(frame)
        _draw_edge(pen, size, ends)
        if velocities is not None:
            # The longest arrow of a step is a tenth of the side.
            longest = float(np.hypot(*velocities.T).max()) or 1.0
            for point, arrow in zip(places, velocities * (1, -1) / longest, strict=True):
                _draw_arrow(pen, point, arrow * size / 10, size)
        radius = size * _RADIUS
        for number, (x, y) in enumerate(places):
            colour = colours[number] if colours else COLOURS[0]
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        yield np.asarray(frame.reduce(SHARPER))


def _draw_edge(pen: ImageDraw.ImageDraw, size: int, ends: tuple[float, float]) -> None:
    """Draw the square of the axes, and the numbers at their ends."""
    margin, letters = size * _MARGIN, font(round(size * _TEXT))
    pen.rectangle([margin, margin, size - margin, size - margin], outline=EDGE, width=2)
    low, high = (f"{end:g}" for end in ends)
    below = size - 0.6 * margin
    pen.text((margin, below), low, fill=ARROW, font=letters, anchor="mm")
    pen.text((size - margin, below), high, fill=ARROW, font=letters, anchor="mm")
    pen.text((0.5 * margin, margin), high, fill=ARROW, font=letters, anchor="mm")


def _draw_arrow(pen: ImageDraw.ImageDraw, point: Plane, arrow: Plane, size: int) -> None:
    """Draw an arrow from a point, with its head if it is long enough for one."""
    (x, y), (across, down) = point, arrow
    end, head = (x + across, y + down), size * _HEAD
    pen.line([x, y, *end], fill=ARROW, width=max(1, size // 480))
    if math.hypot(across, down) > head:
        angle = math.atan2(down, across)
        sides = [
            (end[0] - head * math.cos(angle + turn), end[1] - head * math.sin(angle + turn))
            for turn in (0.45, -0.45)
        ]
        pen.polygon([end, *sides], fill=ARROW)
