"""The growing tree of a hierarchy: pictures that split in two, joined by curved arrows.

Level by level, from the flattest to the sharpest, each node shows the picture of its branch as it
forms. Before the branch splits, two arrows grow out of it. Its children appear at the ends of the
arrows, and the node keeps its last picture. Every level is therefore visible on the path to each
leaf. Pictures are enlarged by a whole number.

Nodes are counted by depth and index: the root is (0, 0), and node (d, i) splits into the nodes (d +
1, 2i) and (d + 1, 2i + 1), in the order of the branches of `ihdm.process.noise.branching`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import sitegen.figures.hierarchy.look as look
import sitegen.media.look.narrow as phone
from sitegen.media.frames import Colour, Frame, enlarge


@dataclass(frozen=True)
class Layout:
    """The layout of the tree: a column for each generation, and two for the leaves if it is wide.

    steps: number of steps of the tree, K if every level is visited; the number of steps left is
        called the level here
    splits: levels, falling, each from K to 1, at which every branch splits in two; 1 to 4 of them
    side: height and width in pixels of the square images
    background, ink: colours of the canvas and of the arrows, 0 to 255 each
    width: of the canvas in pixels; it becomes wider if the images need it, and even
    smooth: whether pictures are enlarged smoothly
    narrow: whether it is for the column of a phone, and no wider than its pictures need
    """

    steps: int
    splits: tuple[int, ...]
    side: int
    background: Colour
    ink: Colour
    width: int = 1280
    smooth: bool = False
    narrow: bool = False

    @property
    def depth(self) -> int:
        """Number of splits between the root and a leaf."""
        return len(self.splits)

    @property
    def leaves(self) -> int:
        """Number of leaves: 2^depth."""
        return int(2**self.depth)

    def generation(self, level: int) -> int:
        """The depth of the branches that are alive at `level`: the splits above it."""
        return sum(split > level for split in self.splits)

    def alive(self, level: int) -> int:
        """Return the number of distinct pictures at `level`: 1 down to the first split."""
        return int(2 ** self.generation(level))

    @cached_property
    def factor(self) -> int:
        """The whole number that pictures are enlarged by: as large as the width allows."""
        fits = (self.width - 2 * look.MARGIN) / (self._pictures_wide * self.side)
        return max(1, round(fits) if self.narrow else int(fits))

    @property
    def picture(self) -> int:
        """Height and width in pixels of a picture on the canvas."""
        return self.factor * self.side

    @property
    def framed(self) -> int:
        """Height and width in pixels of a picture with its outline."""
        return self.picture + 2 * look.OUTLINE

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels, both even."""
        height = 2 * look.MARGIN + (self.leaves - 1) * self._pitch + self.picture
        wanted = 2 * look.MARGIN + ceil(self._pictures_wide * self.picture)
        return _even(height), _even(wanted if self.narrow else max(self.width, wanted))

    def place(self, depth: int, index: int) -> tuple[int, int]:
        """Return the top and left edge of a node's picture in pixels, both even.

        A parent is halfway between its children. If the children are leaves, the odd ones form the
        second column, unless the tree is narrow.
        """
        span = 2 ** (self.depth - depth)  # leaves below the node
        top = look.MARGIN + (2 * index * span + span - 1) * self._pitch // 2
        aside = self._stagger if depth == self.depth and index % 2 else 0
        return top, self._left + depth * self._step + aside

    @property
    def stroke(self) -> float:
        """Width of arrows in pixels."""
        return max(2.0, self.picture / 44)

    @property
    def outline(self) -> Colour:
        """Colour of the thin line that separates dark pictures from a dark page."""
        red, green, blue = mix(self.background, self.ink, 48).tolist()
        return red, green, blue

    def grown(self, level: float) -> float:
        """Return the visible fraction at `level` of the arrows out of the living branches, 0 to 1.

        Arrows grow during the last levels of a branch, and are complete at the very last one. The
        children are therefore at the ends of the arrows from their first level on. A fractional
        level belongs to the integer level below it, on the way to that level.
        """
        generation = self.generation(floor(level))
        if generation == self.depth:
            return 0.0
        begin = (self.steps, *(split - 1 for split in self.splits))[generation]
        end = self.splits[generation]
        span = max(1, round(look.GROWTH * (begin - end)))
        t = min(1.0, max(0.0, (end + span - level) / span))
        return t * t * (3 - 2 * t)  # slow at both ends

    @property
    def _pictures_wide(self) -> float:
        """The least width without margins, in pictures."""
        if self.narrow:
            room = (phone.COLUMN / phone.TREE_PICTURE - 1.1) / self.depth - 1
            return self.depth * (1 + min(room, phone.GUTTER)) + 1
        return self.depth * (1 + look.GUTTER) + 2 + look.STAGGER

    @cached_property
    def _pitch(self) -> int:
        """Vertical distance of adjacent leaves; an arrow fits between two leaves of a column."""
        if self.narrow:
            return 4 * ceil((1 + phone.LEAF_GAP) * self.picture / 4)
        return 4 * ceil((self.picture + max(12, 0.22 * self.picture)) / 8)

    @property
    def _stagger(self) -> int:
        return 0 if self.narrow else _even(ceil((1 + look.STAGGER) * self.picture))

    @cached_property
    def _step(self) -> int:
        """Horizontal distance of adjacent generations, computed from the width."""
        room = self.size[1] - 2 * look.MARGIN - self._stagger - self.picture
        return room // self.depth // 2 * 2

    @cached_property
    def _left(self) -> int:
        tree = self.depth * self._step + self._stagger + self.picture
        return (self.size[1] - tree) // 4 * 2


def tree_frames(
    layout: Layout, states: Iterable[tuple[int, Frame]], frames_a_level: int = 1, held: int = 0
) -> Iterator[Frame]:
    """Draw the tree as it grows: frames (H, W, 3) of `layout.size` for each of the levels K … 0.

    A level has `frames_a_level` frames, and the first one `held` more, in which arrows grow on.

    `states` gives (level, pictures) for these levels in turn, with the distinct pictures alive
    there, uint8 (layout.alive(level), side, side, 3), as Branching and `reverse_process` order
    them. Frames are new arrays; pictures are kept only on the canvas.
    """
    canvas = np.full((*layout.size, 3), layout.background, np.uint8)
    drawn = (0, 0.0)
    for level, pictures in states:
        generation = layout.generation(level)
        count = frames_a_level + (held if level == layout.steps else 0)
        for left in range(count - 1, -1, -1):
            arrows = layout.grown(level + left / count)
            if arrows and drawn != (generation, arrows):
                _draw_forks(canvas, layout, generation, arrows)
                drawn = (generation, arrows)
            for index, picture in enumerate(pictures):
                _draw_node(canvas, layout, layout.place(generation, index), picture)
            yield canvas.copy()


def _draw_node(canvas: Frame, layout: Layout, place: tuple[int, int], picture: Frame) -> None:
    top, left = (edge - look.OUTLINE for edge in place)
    framed = canvas[top : top + layout.framed, left : left + layout.framed]
    framed[:] = layout.outline
    inside = slice(look.OUTLINE, -look.OUTLINE)
    framed[inside, inside] = enlarge(picture, layout.factor, smooth=layout.smooth)


def _draw_forks(canvas: Frame, layout: Layout, depth: int, progress: float) -> None:
    """Draw afresh the arrows out of all nodes of one depth, as far as `progress` from 0 to 1.

    All have the same shape.
    """
    ink, above = _fork(layout, depth, progress)
    patch = mix(layout.background, layout.ink, ink[..., None])
    height, width = ink.shape
    for index in range(2**depth):
        top, left = layout.place(depth, index)
        y, x = top + layout.picture // 2 - above, left + layout.picture + look.OUTLINE
        canvas[y : y + height, x : x + width] = patch


def _fork(layout: Layout, depth: int, progress: float) -> tuple[Ink, int]:
    """Return the ink (h, w) of the two arrows from a node of that depth to its children.

    The second value is the number of pixels by which it extends above the row of the node's middle.
    """
    top, left = layout.place(depth, 0)
    start = left + layout.picture + look.OUTLINE
    children = [layout.place(depth + 1, index) for index in (0, 1)]
    columns = [child_left - start - look.OUTLINE for _, child_left in children]
    above = top - children[0][0] + overhang(layout.stroke)
    middle = above + layout.picture % 2 / 2
    curves = [
        swing((0.0, middle), min(columns), (x - layout.stroke, middle + child_top - top))
        for x, (child_top, _) in zip(columns, children, strict=True)
    ]
    return draw_arrows(curves, (2 * above + 1, max(columns)), layout.stroke, progress), above


def _even(value: int) -> int:
    return value + value % 2


Points = NDArray[np.float64]
Ink = NDArray[np.uint8]


def overhang(stroke: float) -> int:
    """Return the maximum number of pixels by which an arrow extends beyond its line."""
    return int(np.ceil(look.HALF_HEAD * stroke)) + 1


def swing(start: tuple[float, float], bend: float, end: tuple[float, float]) -> Points:
    """An S from `start`, level at both ends and done at x = `bend`, then straight on to `end`.

    Needs start x < bend and start x < end x; the S takes all of the way if `bend` is beyond.
    """
    bend = min(bend, end[0])
    t = np.linspace(0, 1, look.POINTS)
    x = start[0] + (bend - start[0]) * (1.5 * t * (1 - t) + t**3)
    y = start[1] + (end[1] - start[1]) * t * t * (3 - 2 * t)
    points = np.stack([x, y], axis=1)
    return points if end[0] == bend else np.vstack([points, end])


def draw_arrows(
    curves: Sequence[Points], size: tuple[int, int], stroke: float, progress: float = 1.0
) -> Ink:
    """Draw an arrow along each curve: smooth ink of `size` (h, w), 0 to 255.

    stroke: width of the line in pixels
    progress: drawn fraction of the arrows, from 0 to 1, each with its head at the end; they grow at
        equal speed, so that the longest is complete last
    """
    height, width = size
    image = Image.new("L", (width * look.SUPERSAMPLE, height * look.SUPERSAMPLE))
    draw = ImageDraw.Draw(image)
    reach = progress * max((float(_lengths(curve)[-1]) for curve in curves), default=0.0)
    for curve in curves:
        _draw_arrow(draw, curve, reach, stroke)
    return np.asarray(image.reduce(look.SUPERSAMPLE))


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
    head = min(look.HEAD * stroke, reach)
    if head <= 0:
        return
    tip, base = _along(curve, lengths, np.array([reach, reach - head]))
    ahead = (tip - base) / max(float(np.hypot(*(tip - base))), 1e-9)
    aside = np.array([-ahead[1], ahead[0]]) * head * look.HALF_HEAD / look.HEAD
    line = _along(curve, lengths, np.linspace(0, reach - 0.8 * head, 2 * look.POINTS))
    width = round(stroke * look.SUPERSAMPLE)
    draw.line(_corners(line), fill=255, width=width, joint="curve")
    draw.polygon(_corners(np.stack([tip, base + aside, base - aside])), fill=255)


def _lengths(curve: Points) -> NDArray[np.float64]:
    """Return the distance of each point of a curve from its start, along the curve."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(curve, axis=0).T))])


def _along(curve: Points, lengths: NDArray[np.float64], at: NDArray[np.float64]) -> Points:
    return np.stack([np.interp(at, lengths, axis) for axis in curve.T], axis=1)


def _corners(points: Points) -> list[tuple[float, float]]:
    """Corners in the coordinates of Pillow, whose whole numbers are middles of pixels."""
    return [(x, y) for x, y in (points * look.SUPERSAMPLE - 0.5).tolist()]
