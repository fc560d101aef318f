"""The growing tree of a hierarchy: pictures that split in two, joined by curved arrows.

One frame a level, from the flattest to the sharpest. Each node shows the picture of its branch as
it forms, and keeps it when the branch splits; then two arrows grow out of it, and its children
appear where they end. Pictures are enlarged by a whole number, and never resampled.

Nodes are counted by depth and index: the root is (0, 0), and node (d, i) splits into the nodes
(d + 1, 2i) and (d + 1, 2i + 1), in the order of the branches of `ihdm.process.noise.branching`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sitegen.figures.hierarchy.spec import GROWTH
from sitegen.media.frames import Colour, Frame, upscale

_DEEPEST = 4
_GUTTER = 0.8  # least room between two generations, in pictures
_STAGGER = 0.3  # room between the two columns of leaves, in pictures
_OUTLINE = 1  # pixels
_ARROW, _PICTURE = 0.7, 0.55  # when in that time the arrow is whole, and the picture sets in


def default_splits(levels: int, leaves: int = 8) -> tuple[int, ...]:
    """The levels, flattest first, at which a tree splits to end in `leaves`: K, 2K/3, 4K/9, …

    At K nothing is decided: the root is the flat state itself. Blur is spaced evenly in logarithms,
    so on MNIST (0.5 to 20 pixels) the next ones are at 6 and 2.5 pixels. At 2K/3 the children are
    patches of light that lean one way or the other, and can still become different digits; at 4K/9
    strokes begin to show, and the leaves differ in what is left. Splits at K/2 and K/4 come late:
    shapes are settled by then, and the leaves of a branch hardly differ.

    Raises ValueError unless `leaves` is 2, 4, 8 or 16 and there is a level for each split.
    """
    count = leaves.bit_length() - 1
    if not 1 <= count <= _DEEPEST or leaves != 2**count:
        raise ValueError(f"leaves {leaves}: a tree has 2, 4, 8 or 16")
    if levels < count:
        raise ValueError(f"levels {levels}: too few for the {count} splits of {leaves} leaves")
    splits = [levels]
    for done in range(1, count):
        wanted = round(levels * (2 / 3) ** done)
        splits.append(min(splits[-1] - 1, wanted))
    return tuple(splits)


@dataclass(frozen=True)
class Layout:
    """Where everything stands: a column for each generation, and two for the leaves.

    levels: K, the flattest level, where the tree begins
    splits: levels, falling, each from K to 1, at which every branch splits in two; 1 to 4 of them
    side: height and width in pixels of the square images
    background, ink: colours of the canvas and of the arrows, 0 to 255 each
    width: of the canvas in pixels; it becomes wider if the images need it, and even

    Raises ValueError where a field is out of its range.
    """

    levels: int
    splits: tuple[int, ...]
    side: int
    background: Colour
    ink: Colour
    width: int = 1280

    def __post_init__(self) -> None:
        falling = all(above > below for above, below in pairwise(self.splits))
        if not 1 <= len(self.splits) <= _DEEPEST or not falling:
            raise ValueError(f"splits {self.splits}: must be 1 to {_DEEPEST} levels that fall")
        if self.splits[0] > self.levels or self.splits[-1] < 1:
            raise ValueError(f"splits {self.splits}: must be levels from {self.levels} to 1")
        if self.side < 1 or self.width < 1:
            raise ValueError(f"side {self.side} and width {self.width} must be above 0")
        if not all(0 <= value <= 255 for value in (*self.background, *self.ink)):
            raise ValueError(f"background {self.background}, ink {self.ink}: must be 0 to 255 each")

    @property
    def depth(self) -> int:
        """How many splits lie between the root and a leaf."""
        return len(self.splits)

    @property
    def leaves(self) -> int:
        """How many leaves there are: 2^depth."""
        return int(2**self.depth)

    def generation(self, level: int) -> int:
        """The depth of the branches that are alive at `level`: the splits above it."""
        return sum(split > level for split in self.splits)

    def alive(self, level: int) -> int:
        """How many distinct pictures there are at `level`: 1 down to the first split."""
        return int(2 ** self.generation(level))

    @cached_property
    def factor(self) -> int:
        """The whole number that pictures are enlarged by: as large as the width allows."""
        return max(1, int((self.width - 2 * self._margin) / (self._pictures_wide * self.side)))

    @property
    def picture(self) -> int:
        """Height and width in pixels of a picture on the canvas."""
        return self.factor * self.side

    @property
    def framed(self) -> int:
        """Height and width in pixels of a picture with its outline."""
        return self.picture + 2 * _OUTLINE

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels, both even."""
        height = 2 * self._margin + (self.leaves - 1) * self._pitch + self.picture
        wanted = 2 * self._margin + ceil(self._pictures_wide * self.picture)
        return _even(height), _even(max(self.width, wanted))

    def place(self, depth: int, index: int) -> tuple[int, int]:
        """Top and left edge of a node's picture in pixels, both even.

        A parent stands halfway between its children, whose odd ones are the second column if they
        are leaves. Raises ValueError for a node that the tree has not.
        """
        if not 0 <= depth <= self.depth or not 0 <= index < 2**depth:
            raise ValueError(f"no node {index} at depth {depth} in a tree of depth {self.depth}")
        span = 2 ** (self.depth - depth)  # leaves below the node
        top = self._margin + (2 * index * span + span - 1) * self._pitch // 2
        second = depth == self.depth and index % 2
        return top, self._left + depth * self._step + (self._stagger if second else 0)

    @property
    def stroke(self) -> float:
        """How thick arrows are, in pixels."""
        return max(2.0, self.picture / 44)

    @property
    def outline(self) -> Colour:
        """The colour of the thin line around a picture, which tells dark ones from a dark page."""
        red, green, blue = mix(self.background, self.ink, 48).tolist()
        return red, green, blue

    def reveal(self, level: float) -> tuple[float, float]:
        """How much there is at `level` of the arrows to the youngest nodes, and of their pictures.

        Both go from 0 to 1 while a branch goes down its first levels, and are 1 at its last one.
        A level between two whole ones belongs to the lower, on the way to it.
        """
        generation = self.generation(floor(level))
        if generation == 0:
            return 1.0, 1.0
        begin, end = (*self.splits, 0)[generation - 1 : generation + 1]
        time = (begin - level) / max(1, round(GROWTH * (begin - end)))
        return _ease(time / _ARROW), _ease((time - _PICTURE) / (1 - _PICTURE))

    @property
    def _pictures_wide(self) -> float:
        """The least width without margins, in pictures."""
        return self.depth * (1 + _GUTTER) + 2 + _STAGGER

    @property
    def _margin(self) -> int:
        return _even(max(16, self.width // 40))

    @cached_property
    def _pitch(self) -> int:
        """From one leaf down to the next: between two of a column an arrow passes."""
        return 4 * ceil((self.picture + max(12, 0.22 * self.picture)) / 8)

    @property
    def _stagger(self) -> int:
        """From the first column of leaves to the second."""
        return _even(ceil((1 + _STAGGER) * self.picture))

    @cached_property
    def _step(self) -> int:
        """From one generation to the next: what the width leaves for it."""
        room = self.size[1] - 2 * self._margin - self._stagger - self.picture
        return room // self.depth // 2 * 2

    @cached_property
    def _left(self) -> int:
        """Left edge of the root, so that the tree is in the middle."""
        tree = self.depth * self._step + self._stagger + self.picture
        return (self.size[1] - tree) // 4 * 2


def tree_frames(
    layout: Layout, states: Iterable[tuple[int, Frame]], frames_a_level: int = 1
) -> Iterator[Frame]:
    """Draw the tree as it grows: frames (H, W, 3) of `layout.size` for each of the levels K … 0.

    Of the frames of one level only the last is there in full; in those before it the tree is on
    its way there from the level above.

    `states` gives (level, pictures) for these levels in turn, with the distinct pictures alive
    there, uint8 (layout.alive(level), side, side, 3), as Branching and `reverse_process` order
    them. Frames are new arrays; no picture is kept but on the canvas.

    Raises ValueError for levels out of turn or missing, and for pictures of another number or kind.
    """
    canvas = np.full((*layout.size, 3), layout.background, np.uint8)
    drawn, expected = (0, 0.0), layout.levels
    for level, pictures in states:
        _check(layout, expected, level, pictures)
        generation = layout.generation(level)
        for left in range(frames_a_level - 1, -1, -1):
            arrows, visible = layout.reveal(level + left / frames_a_level)
            if generation and drawn != (generation, arrows):
                _draw_forks(canvas, layout, generation - 1, arrows)
                drawn = (generation, arrows)
            for index, picture in enumerate(pictures):
                _draw_node(canvas, layout, layout.place(generation, index), picture, visible)
            yield canvas.copy()
        expected -= 1
    if expected >= 0:
        raise ValueError(f"the states stop before level {expected}; a tree needs all down to 0")


def _check(layout: Layout, expected: int, level: int, pictures: Frame) -> None:
    if level != expected or expected < 0:
        wanted = f"level {expected}" if expected >= 0 else "nothing"
        raise ValueError(f"level {level} where {wanted} should follow")
    shape = (layout.alive(level), layout.side, layout.side, 3)
    if pictures.shape != shape or pictures.dtype != np.uint8:
        raise ValueError(
            f"pictures {pictures.shape} {pictures.dtype} at level {level}; with splits at "
            f"{layout.splits} there must be {shape} uint8"
        )


def _draw_node(
    canvas: Frame, layout: Layout, place: tuple[int, int], picture: Frame, visible: float
) -> None:
    """Put a picture in its place, `visible` from 0 to 1, in a thin outline."""
    alpha = round(255 * visible)
    if not alpha:
        return
    if alpha < 255:
        picture = mix(layout.background, picture, alpha)
    top, left = (edge - _OUTLINE for edge in place)
    framed = canvas[top : top + layout.framed, left : left + layout.framed]
    framed[:] = mix(layout.background, layout.outline, alpha)
    framed[_OUTLINE:-_OUTLINE, _OUTLINE:-_OUTLINE] = upscale(picture, layout.factor)


def _draw_forks(canvas: Frame, layout: Layout, depth: int, progress: float) -> None:
    """Draw afresh the arrows out of all nodes of one depth, as far as `progress` from 0 to 1.

    All have the same shape. Children are painted over, and must be drawn again.
    """
    ink, above = _fork(layout, depth, progress)
    patch = mix(layout.background, layout.ink, ink[..., None])
    height, width = ink.shape
    for index in range(2**depth):
        top, left = layout.place(depth, index)
        y, x = top + layout.picture // 2 - above, left + layout.picture + _OUTLINE
        canvas[y : y + height, x : x + width] = patch


def _fork(layout: Layout, depth: int, progress: float) -> tuple[Ink, int]:
    """The ink (h, w) of the two arrows out of a node of that depth, in the room up to its children.

    The second value says how far it reaches above the row of the node's middle.
    """
    top, left = layout.place(depth, 0)
    start = left + layout.picture + _OUTLINE
    children = [layout.place(depth + 1, index) for index in (0, 1)]
    columns = [child_left - start - _OUTLINE for _, child_left in children]
    above = top - children[0][0] + overhang(layout.stroke)
    middle = above + layout.picture % 2 / 2
    curves = [
        swing((0.0, middle), min(columns), (x - layout.stroke, middle + child_top - top))
        for x, (child_top, _) in zip(columns, children, strict=True)
    ]
    return draw_arrows(curves, (2 * above + 1, max(columns)), layout.stroke, progress), above


def _ease(time: float) -> float:
    """From 0 to 1, slow at both ends, level outside."""
    t = min(1.0, max(0.0, time))
    return t * t * (3 - 2 * t)


def _even(value: int) -> int:
    return value + value % 2


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
