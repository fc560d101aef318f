"""The job of an atlas: its prepared maps, and a zoom from the plane of starts to one image.

A tile of n digits is in a column and a row of 2^n for each start; a digit is its quadrant. The zoom
goes through windows of `columns` × `columns` tiles, one of each depth, each inside the one before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sitegen.core.files import platform_errors
from sitegen.figures.base import Figure
from sitegen.figures.clips import made_with
from sitegen.figures.live import exported_model, model_files
from sitegen.generative.card.card import ModelCard
from sitegen.generative.maths.address import Address
from sitegen.media.encoder import write_still
from sitegen.media.frames import INK, PAPER, Frame, to_uint8
from sitegen.media.manifest import Cells, ClipSource, MediaFile, RenderJob
from sitegen.models.browser import BrowserModel
from sitegen.sampling.provider import ModelProvider
from sitegen.sampling.tiles import Tile, Tiles, tiles_of

FPS, SIDE, FADE, ENDING = 24, 320, 0.35, 1.5
"""Frames of an octave of the zoom, its side in pixels, the part of an octave in which tiles appear
over their parents, and seconds for which it rests at the end."""
PANEL, GAP = 256, 12
"""Pixels of a crop, and between two of them."""
MOST_BYTES, QUALITIES = 120_000, (90, 80, 70, 60, 50, 40, 30, 20)
"""Bytes of the prepared maps of a model, and qualities of WebP, of which the first that fits."""
_BLURRED, _SHARP = 2, 8
"""Pixels of a prepared start, which double at each split: of blurred states, and of others."""


class View(NamedTuple):
    """What a frame of the zoom shows: tiles of a depth over their parents, and where, in starts."""

    depth: int
    opacity: float
    left: float
    top: float
    width: float


def atlas_job(models: ModelProvider, figure: Figure) -> RenderJob:
    """Return the job: "tiles" of each model, and if it is live "model" and "weights"; a zoom to an
    image, and four crops on the way.

    Raises RefusedError for a model that a browser's sampler does not have, or that is too heavy.
    """
    spec: Any = figure.spec  # an Atlas, whose module imports this one
    maps = list[Map]()
    for name in spec.models:
        card, sampler = models.source(name).card, models.sampler(name)
        if not maps:
            sampler = sampler.conditioned(spec.condition(card))
        maps.append(
            Map(
                card,
                exported_model(models, name)[1] if spec.live else None,
                tiles_of(sampler, spec.seed, spec.splits_of(card)),
                spec.columns,
                spec.prepared(card),
                None if maps else spec.target_of(card),
            )
        )
    first, smooth = maps[0], not spec.pixelated
    views = first.zoom()
    stills: dict[str, Any] = {
        # Written after the clip, whose own posters these replace.
        "poster": partial(first.write_panels, views, smooth, "clip.avif"),
        "poster-webp": partial(first.write_panels, views, smooth, "clip.webp"),
    }
    for name, drawn, ending in zip(spec.models, maps, ("", "-2"), strict=False):
        stills[f"tiles{ending}"] = partial(drawn.write_maps, f"tiles{ending}.webp")
        if drawn.exported:
            stills |= model_files(name, drawn.card, drawn.exported, ending)
    target, choices = str(first.target), [drawn.facts for drawn in maps]
    return RenderJob(
        parameters=made_with(figure, first.card.noise_std, target=target, choices=choices),
        clip=ClipSource(
            Cells(1, SIDE, SIDE, 1, 0).enlarged(2),
            2,
            FPS,
            (*range(len(views)), *[len(views) - 1] * round(ENDING * FPS)),
            (first.frame(view, SIDE, smooth)[None] for view in views),
        ),
        levels=tuple(first.tiles.ends[view.depth] for view in views),
        steps=sum(drawn.turns for drawn in maps),
        work=chain.from_iterable(drawn.work() for drawn in maps),
        stills=stills,
    )


@dataclass(frozen=True)
class Map:
    """The map of a model; only one with a target has windows."""

    card: ModelCard
    exported: BrowserModel | None
    tiles: Tiles
    columns: int
    prepared: int
    target: Address | None

    @cached_property
    def rows(self) -> list[list[int]]:
        """The numbers of the starts in their places."""
        states = self.tiles.sampler.start(self.tiles.seed, range(self.columns**2))
        pictures = self.tiles.sampler.process.pixels(states, self.tiles.splits[0])
        return starts_in_place(pictures.mean(dim=(2, 3)).cpu().numpy(), self.columns)

    @cached_property
    def corners(self) -> list[tuple[int, ...]]:
        """Column and row of the first tile of each window, which has the target in its middle."""
        if not self.target:
            return []
        goal, last, columns = place(self.target, self.rows), len(self.target.digits), self.columns
        middles = ([n >> (last - depth) for n in goal] for depth in range(last + 1))
        return [
            tuple(min(max(0, n - columns // 2), columns * (2**depth - 1)) for n in middle)
            for depth, middle in enumerate(middles)
        ]

    @cached_property
    def windows(self) -> list[Frame]:
        """The pictures of the windows, in which each tile has a border of a pixel."""
        side = self.columns * self.pitch
        return [np.full((side, side, 3), PAPER, np.uint8) for _ in self.corners]

    @property
    def pitch(self) -> int:
        """Pixels from one tile of a window to the next."""
        return self.card.image_size + 2

    @cached_property
    def sizes(self) -> list[int]:
        """Pixels of a tile in the prepared map of each depth."""
        least = _BLURRED if "blur" in self.card.abilities else _SHARP
        # WebP has one colour for 2 × 2 pixels, and two tiles must not share one.
        sizes = (max(4, least * 2**depth) for depth in range(self.prepared + 1))
        return [min(self.card.image_size, size) for size in sizes]

    @cached_property
    def sheets(self) -> list[Frame]:
        """The prepared maps, a picture of each depth."""
        sides = (self.columns * 2**depth * size for depth, size in enumerate(self.sizes))
        return [np.zeros((side, side, 3), np.uint8) for side in sides]

    @property
    def facts(self) -> dict[str, Any]:
        """What a page needs to draw the map."""
        ends, axis = self.tiles.ends, self.card.axis
        process = self.tiles.sampler.process
        spans = [(begin, end if process.random else 0) for begin, end in pairwise(ends)]
        costs = [self.exported.gflop_between(*span) for span in spans] if self.exported else []
        return {
            "starts": self.rows,
            "splits": list(self.tiles.splits),
            "sizes": self.sizes,
            "values": [axis.values[level] for level in ends],
            "symbol": axis.symbol,
            "unit": axis.unit,
            "blur": "blur" in self.card.abilities,
            "renoised": not process.random,
            "gflop": [float(f"{cost:.3g}") for cost in costs],
            "width": self.card.image_size,
            "channels": self.card.channels,
            "label": process.condition.labels[0] if process.condition else None,
            "guidance": process.condition.guidance if process.condition else 0.0,
        }

    @property
    def turns(self) -> int:
        """Number of turns of `work`."""
        return self.columns * self.prepared + len(self.corners[self.prepared + 1 :])

    def work(self) -> Iterator[None]:
        """Draw all prepared tiles, row by row of starts, then those of deeper windows."""
        parents = list[Tile]()
        for starts in self.rows:
            tiles = self.tiles.starts(starts)
            self._draw(tiles)
            for _ in range(self.prepared):
                above = [tile for tile in tiles for _ in range(4)]
                tiles = self.tiles.children(above, [*range(4)] * len(tiles))
                self._draw(tiles)
                yield
            parents += [tile for tile in tiles if self._cell(tile.address)]
        for _ in self.corners[self.prepared + 1 :]:
            children = [(tile, digit) for tile in parents for digit in range(4)]
            seen = [(tile, n) for tile, n in children if self._cell(tile.address.child(n))]
            parents = self.tiles.children(*map(list, zip(*seen, strict=True)))
            self._draw(parents)
            yield

    def _cell(self, address: Address) -> tuple[int, int] | None:
        """Return column and row of a tile in the window of its depth, if it is inside."""
        if len(address.digits) >= len(self.corners):
            return None
        (x, y), (left, top) = place(address, self.rows), self.corners[len(address.digits)]
        inside = 0 <= x - left < self.columns and 0 <= y - top < self.columns
        return (x - left, y - top) if inside else None

    def _draw(self, tiles: Sequence[Tile]) -> None:
        """Draw tiles of one depth into its prepared map and its window."""
        depth = len(tiles[0].address.digits)
        for tile, frame in zip(tiles, to_uint8(np.stack([t.picture for t in tiles])), strict=True):
            if depth <= self.prepared:
                size = self.sizes[depth]
                x, y = (n * size for n in place(tile.address, self.rows))
                small = Image.fromarray(frame).resize((size, size), Image.Resampling.BOX)
                paste(self.sheets[depth], x, y, np.asarray(small))
            if cell := self._cell(tile.address):
                x, y = (n * self.pitch + 1 for n in cell)
                paste(self.windows[depth], x, y, frame)

    def zoom(self) -> list[View]:
        """Return views of one window after the other, and at last of the target alone."""
        assert self.target
        boxes = [
            (x / 2**depth, y / 2**depth, self.columns / 2**depth)
            for depth, (x, y) in enumerate(self.corners)
        ]
        scale, border = 2 ** len(self.target.digits), 1 / (self.card.image_size + 2)
        x, y = (cell + border for cell in place(self.target, self.rows))
        boxes.append((x / scale, y / scale, (1 - 2 * border) / scale))
        views = []
        for depth, (begin, end) in enumerate(pairwise(boxes)):
            frames = math.ceil(FPS * math.log2(begin[2] / end[2]))
            for frame in range(frames + (depth == len(boxes) - 2)):
                width = begin[2] * (end[2] / begin[2]) ** (frame / frames)
                share = (begin[2] - width) / (begin[2] - end[2])
                left, top = (a + share * (b - a) for a, b in zip(begin[:2], end[:2], strict=True))
                shown = min(1.0, frame / FPS / FADE) if depth else 1.0
                views.append(View(depth, shown, left, top, width))
        return views

    def frame(self, view: View, side: int, smooth: bool) -> Frame:
        """Draw a view, (side, side, 3)."""
        pictures = []
        for depth in sorted({view.depth - (view.opacity < 1), view.depth}):
            scale, window = 2**depth * self.pitch, self.windows[depth]
            corner = zip((view.left, view.top), self.corners[depth], strict=True)
            edges = [edge * scale - first * self.pitch for edge, first in corner]
            ends = [edge + view.width * scale for edge in edges]
            x, y, right, bottom = (round(n, 6) for n in (*edges, *ends))
            # Pillow mixes pixels outside of the box, as the border of the target, into its edges.
            left, top = math.floor(x), math.floor(y)
            part = Image.fromarray(window[top : math.ceil(bottom), left : math.ceil(right)])
            resampling = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
            box = x - left, y - top, right - left, bottom - top
            pictures.append(part.resize((side, side), resampling, box))
        return np.asarray(Image.blend(pictures[0], pictures[-1], view.opacity))

    def write_panels(
        self, views: Sequence[View], smooth: bool, name: str, folder: Path
    ) -> MediaFile:
        """Write four windows side by side, each with an outline around the next."""
        depths = (round((len(self.corners) - 1) * part / 3) for part in range(4))
        crops = [views[FPS * depth]._replace(opacity=1.0) for depth in depths]
        image = Image.new("RGB", (4 * PANEL + 3 * GAP, PANEL), PAPER)
        draw = ImageDraw.Draw(image)
        for number, (crop, inner) in enumerate(zip(crops, (*crops[1:], None), strict=True)):
            corner, scale = number * (PANEL + GAP), PANEL / crop.width
            image.paste(Image.fromarray(self.frame(crop, PANEL, smooth)), (corner, 0))
            if inner:
                x, y = (inner.left - crop.left) * scale + corner, (inner.top - crop.top) * scale
                for grown, width, colour in ((2, 6, PAPER), (0, 2, INK)):
                    box = x - grown, y - grown, *(n + inner.width * scale + grown for n in (x, y))
                    draw.rectangle(box, outline=colour, width=width)
        with platform_errors(folder / name):
            return write_still(np.asarray(image), folder / name)

    def write_maps(self, name: str, folder: Path) -> MediaFile:
        """Write the prepared maps below each other, in at most `MOST_BYTES` if a quality does."""
        width = len(self.sheets[-1])
        padded = [np.pad(s, ((0, 0), (0, width - len(s)), (0, 0))) for s in self.sheets]
        for quality in QUALITIES:
            file = write_still(np.concatenate(padded), folder / name, quality)
            if file.bytes <= MOST_BYTES:
                break
        return file


def place(address: Address, rows: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return column and row of a tile; `rows` are the numbers of the starts."""
    y = next(y for y, starts in enumerate(rows) if address.start in starts)
    x = rows[y].index(address.start)
    for digit in address.digits:
        x, y = 2 * x + digit % 2, 2 * y + digit // 2
    return x, y


def paste(picture: Frame, x: int, y: int, part: Frame) -> None:
    """Replace a part of a picture."""
    picture[y : y + len(part), x : x + len(part)] = part


def starts_in_place(means: NDArray[np.float32], columns: int) -> list[list[int]]:
    """Return the numbers of starts in rows of a square: hue goes around, lightness outwards.

    means: of each start in its channels, (columns², 1 or 3)
    """
    # The hue of the hexagon, as an angle; 0 for grey.
    red, green, blue = np.broadcast_to(means.astype(np.float64), (len(means), 3)).T
    hues = np.arctan2(math.sqrt(3) / 2 * (green - blue), red - (green + blue) / 2)
    y, x = np.indices((columns, columns)) - (columns - 1) / 2
    rings = np.maximum(abs(y), abs(x)).ravel()
    by_lightness = np.argsort(means.mean(axis=1), kind="stable")
    ring_of_start = np.sort(rings)[np.argsort(by_lightness)]
    numbers = np.empty(columns**2, int)
    # Ring after ring: its cells by their angle have its starts by their hue.
    numbers[np.lexsort((np.arctan2(y, x).ravel(), rings))] = np.lexsort((hues, ring_of_start))
    return numbers.reshape(columns, columns).tolist()
