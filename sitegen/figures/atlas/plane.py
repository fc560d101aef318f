"""The plane of an atlas: where its tiles are, what a view of it sees, and how that is drawn.

Lengths are in starts: the plane has `columns` × `columns` of them, and a tile of n digits is 2^-n
wide. A digit is the quadrant of a tile: its column plus twice its row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sitegen.generative.maths.address import Address
from sitegen.media.frames import INK, PAPER, Frame

GUTTER = 2
"""Pixels of a view between two tiles."""
_FADE = 0.35
"""Share of an octave in which tiles appear over their parent."""
_CENTRED = 2.0
"""Octaves of a zoom after which its goal is in the middle."""


class Point(NamedTuple):
    """A tile by its place: column and row among all tiles with as many digits, `depth`."""

    depth: int
    x: int
    y: int

    @property
    def parent(self) -> Point:
        """The tile above."""
        return Point(self.depth - 1, self.x >> 1, self.y >> 1)

    @property
    def digit(self) -> int:
        """Its quadrant of the tile above."""
        return (self.x & 1) + 2 * (self.y & 1)

    def line(self) -> Iterator[Point]:
        """Yield the tile and all those above it."""
        yield self
        if self.depth:
            yield from self.parent.line()


@dataclass(frozen=True)
class View:
    """A square window of the plane.

    depth: digits of the tiles that it shows
    left, top, width: its place
    opacity: of these tiles, over their parents
    """

    depth: int
    left: float
    top: float
    width: float
    opacity: float = 1.0

    def points(self, depth: int) -> Iterator[Point]:
        """Yield the tiles of a depth that it sees."""
        scale, last = 2**depth, 1e-9
        columns, rows = (
            range(math.floor(edge * scale), math.ceil((edge + self.width) * scale - last))
            for edge in (self.left, self.top)
        )
        yield from (Point(depth, x, y) for y in rows for x in columns)


def zoom(goal: Point, columns: int, frames_per_octave: int) -> list[View]:
    """Return views from the whole plane down to the tile `goal`, which fills the last."""
    octaves = goal.depth + math.log2(columns)
    views = []
    for frame in range(math.ceil(octaves * frames_per_octave) + 1):
        octave = min(octaves, frame / frames_per_octave)
        depth = min(goal.depth, math.floor(octave))
        shown = min(1.0, (octave - depth) / _FADE) if depth else 1.0
        eased = min(1.0, octave / _CENTRED)
        eased = eased**2 * (3 - 2 * eased)
        views.append(_view(goal, depth, columns, columns * 2**-octave, eased, shown))
    return views


def panels(goal: Point, columns: int) -> list[View]:
    """Return four nested views around a tile: the plane, two on the way, and finished pictures."""
    depths = [round(goal.depth * part / 3) for part in range(3)]
    views = [_view(goal, depth, columns, columns * 2**-depth) for depth in depths]
    return [*views, _view(goal, goal.depth, columns, 2 * 2**-goal.depth)]


def _view(
    goal: Point, depth: int, columns: int, width: float, centred: float = 1.0, opacity: float = 1.0
) -> View:
    """Return a view in which the goal has its place of the plane, or is more or less centred."""
    edges = []
    for cell in (goal.x, goal.y):
        middle = (cell + 0.5) / 2**goal.depth
        share = (1 - centred) * middle / columns + centred / 2
        edges.append(min(max(0.0, middle - share * width), columns - width))
    left, top = edges
    return View(depth, left, top, width, opacity)


def starts_in_place(means: NDArray[np.float32], columns: int) -> list[list[int]]:
    """Return the numbers of starts in rows of a square: hue goes around, lightness outwards.

    means: of each start in its channels, (columns², 1 or 3)
    """
    middle = (columns - 1) / 2
    cells = [(y - middle, x - middle) for y in range(columns) for x in range(columns)]
    rings = [round(2 * max(abs(y), abs(x))) for y, x in cells]
    # The hue of the hexagon, as an angle; 0 for grey.
    red, green, blue = np.broadcast_to(means.astype(np.float64), (len(means), 3)).T
    hues = np.arctan2(math.sqrt(3) / 2 * (green - blue), red - (green + blue) / 2)
    by_lightness = np.argsort(means.mean(axis=1), kind="stable").tolist()
    placed = [0] * len(cells)
    for ring in sorted(set(rings)):
        inside = [cell for cell, of_ring in enumerate(rings) if of_ring == ring]
        starts, by_lightness = by_lightness[: len(inside)], by_lightness[len(inside) :]
        starts.sort(key=lambda start: hues[start])
        inside.sort(key=lambda cell: math.atan2(*cells[cell]))
        for cell, start in zip(inside, starts, strict=True):
            placed[cell] = start
    return [placed[row : row + columns] for row in range(0, len(placed), columns)]


@dataclass(frozen=True)
class Plane:
    """The tiles of a map; `rows` are the numbers of the starts, `pictures` what has been drawn."""

    rows: Sequence[Sequence[int]]
    pictures: dict[Point, Frame] = field(default_factory=dict)

    def point(self, address: Address) -> Point:
        """Return the place of an address."""
        (x, y), depth = self._places[address.start], len(address.digits)
        for digit in address.digits:
            x, y = 2 * x + digit % 2, 2 * y + digit // 2
        return Point(depth, x, y)

    @property
    def _places(self) -> dict[int, tuple[int, int]]:
        return {
            start: (x, y) for y, starts in enumerate(self.rows) for x, start in enumerate(starts)
        }

    def frame(self, view: View, side: int, *, smooth: bool) -> Frame:
        """Draw a view, (side, side, 3)."""
        tiles = self._layer(view, view.depth, side, smooth)
        if view.opacity == 1:
            return tiles
        parents = self._layer(view, view.depth - 1, side, smooth)
        blended = Image.blend(Image.fromarray(parents), Image.fromarray(tiles), view.opacity)
        return np.asarray(blended)

    def _layer(self, view: View, depth: int, side: int, smooth: bool) -> Frame:
        points = list(view.points(depth))
        size = len(self.pictures[points[0]])
        first, last = points[0], points[-1]
        shape = (last.y - first.y + 1) * size, (last.x - first.x + 1) * size, 3
        mosaic = np.empty(shape, np.uint8)
        for point in points:
            y, x = (point.y - first.y) * size, (point.x - first.x) * size
            mosaic[y : y + size, x : x + size] = self.pictures[point]
        scale = 2**depth
        x, y = (view.left * scale - first.x) * size, (view.top * scale - first.y) * size
        box = x, y, x + view.width * scale * size, y + view.width * scale * size
        box = (*box[:2], min(box[2], shape[1]), min(box[3], shape[0]))
        resampling = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
        picture = np.array(Image.fromarray(mosaic).resize((side, side), resampling, box))
        for edge, axis in ((view.left, 1), (view.top, 0)):
            for tile in range(math.ceil(edge * scale), math.ceil((edge + view.width) * scale)):
                at = round((tile / scale - edge) / view.width * side)
                if at > GUTTER:
                    lines = slice(at - GUTTER // 2, at + GUTTER // 2)
                    picture[(slice(None), lines) if axis else lines] = PAPER
        return picture


def nested(pictures: Sequence[Frame], views: Sequence[View], gap: int) -> Frame:
    """Return pictures of nested views side by side, each with an outline around the next."""
    side = len(pictures[0])
    image = Image.new("RGB", ((side + gap) * len(pictures) - gap, side), PAPER)
    draw = ImageDraw.Draw(image)
    for number, picture in enumerate(pictures):
        corner = number * (side + gap)
        image.paste(Image.fromarray(picture), (corner, 0))
        if number + 1 < len(views):
            view, inner = views[number : number + 2]
            scale = side / view.width
            x, y = (inner.left - view.left) * scale + corner, (inner.top - view.top) * scale
            for grown, width, colour in ((2, 6, PAPER), (0, 2, INK)):
                box = x - grown, y - grown, *(n + inner.width * scale + grown for n in (x, y))
                draw.rectangle(box, outline=colour, width=width)
    return np.asarray(image)
