"""The job of an atlas: its prepared maps, and a zoom from the plane of starts to one image.

The zoom goes through stages: all starts, then the four continuations of each tile on its way.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sitegen.figures.base import Figure
from sitegen.figures.clips import made_with
from sitegen.figures.live import exported_model, model_files
from sitegen.generative.maths.address import Address
from sitegen.media.encoder import write_still
from sitegen.media.frames import INK, PAPER, Frame, sheet, to_uint8
from sitegen.media.manifest import Cells, ClipSource, MediaFile, RenderJob
from sitegen.sampling.provider import ModelProvider
from sitegen.sampling.tiles import Tile, Tiles, tiles_of

FPS, FRAMES, FADE, ENDING = 24, 32, 0.25, 1.5
"""Frames of the zoom in a second and in a stage, of which the first has twice as many; the part of
a stage in which tiles appear over their parent; and seconds for which it rests at the end."""
SIDE, GAP = 320, 12
"""Pixels of the zoom and of a crop on the way, and between two crops."""
MOST_BYTES, QUALITIES = 120_000, (90, 80, 70, 60, 50, 40, 30, 20)
"""Bytes of the prepared maps of a model, and qualities of WebP, of which the first that fits."""
BLURRED, SHARP = 2, 8
"""Pixels of a prepared start, which double at each split: of blurred states, and of others."""


class Stage(NamedTuple):
    """Tiles side by side, and the corner and side in pixels of the one that the zoom goes into."""

    picture: Frame
    left: int
    top: int
    side: int


def atlas_job(models: ModelProvider, figure: Figure) -> RenderJob:
    """Return the job: "tiles" of each model, and if it is live "model" and "weights"; a zoom to an
    image of the first model, and four crops on the way.

    Raises RefusedError for a model that a browser's sampler does not have, or that is too heavy.
    """
    spec: Any = figure.spec  # an Atlas, whose module imports this one
    first, smooth = models.source(spec.model).card, not spec.pixelated
    target, stages = spec.target_of(first), list[Stage]()
    # Stills are written after the clip, whose own posters these replace.
    stills: dict[str, Any] = {
        "poster": partial(write_panels, stages, smooth, "clip.avif"),
        "poster-webp": partial(write_panels, stages, smooth, "clip.webp"),
    }
    work, steps, choices = list[Iterator[None]](), 0, list[dict[str, Any]]()
    for name, ending in zip(spec.models, ("", "-2"), strict=False):
        card, sampler = models.source(name).card, models.sampler(name)
        if not ending:
            sampler = sampler.conditioned(spec.condition(card))
        tiles = tiles_of(sampler, spec.seed, spec.splits_of(card))
        process, ends, axis = tiles.sampler.process, tiles.ends, card.axis
        states = tiles.sampler.start(spec.seed, range(spec.columns**2))
        means = process.pixels(states, ends[0]).mean(dim=(2, 3)).cpu().numpy()
        rows = starts_in_place(means, spec.columns)
        # WebP has one colour for 2 × 2 pixels, and two tiles must not share one.
        least = BLURRED if "blur" in card.abilities else SHARP
        depths = range(spec.prepared(card) + 1)
        sizes = [min(card.image_size, max(4, least * 2**depth)) for depth in depths]
        sides = [spec.columns * 2**depth * size for depth, size in enumerate(sizes)]
        maps = [np.zeros((side, side, 3), np.uint8) for side in sides]
        work.append(prepare(tiles, rows, maps, None if ending else target, stages))
        steps += spec.columns * len(maps) + (0 if ending else len(ends))
        stills[f"tiles{ending}"] = partial(write_maps, maps, f"tiles{ending}.webp")
        gflop = list[float]()
        if spec.live:
            _, exported = exported_model(models, name)
            stills |= model_files(name, card, exported, ending)
            spans = ((begin, end if process.random else 0) for begin, end in pairwise(ends))
            gflop = [float(f"{exported.gflop_between(*span):.3g}") for span in spans]
        choices.append({
            "starts": rows,
            "splits": list(tiles.splits),
            "sizes": sizes,
            "values": [axis.values[level] for level in ends],
            "symbol": axis.symbol,
            "unit": axis.unit,
            "blur": "blur" in card.abilities,
            "renoised": not process.random,
            "gflop": gflop,
            "width": card.image_size,
            "channels": card.channels,
            "label": process.condition.labels[0] if process.condition else None,
            "guidance": process.condition.guidance if process.condition else 0.0,
        })  # fmt: skip
    views = [
        (stage, number / count)
        for stage, count in enumerate((2 * FRAMES, *[FRAMES] * len(target.digits)))
        for number in range(1, count + 1)
    ]
    return RenderJob(
        parameters=made_with(figure, first.noise_std, target=str(target), choices=choices),
        clip=ClipSource(
            Cells(1, SIDE, SIDE, 1, 0).enlarged(2),
            2,
            FPS,
            (*range(len(views)), *[len(views) - 1] * round(ENDING * FPS)),
            (frame(stages, *view, smooth)[None] for view in views),
        ),
        levels=tuple((*spec.splits_of(first), 0)[stage] for stage, _ in views),
        steps=steps,
        work=chain.from_iterable(work),
        stills=stills,
    )


def prepare(
    tiles: Tiles,
    rows: Sequence[Sequence[int]],
    maps: Sequence[Frame],
    target: Address | None,
    stages: list[Stage],
) -> Iterator[None]:
    """Draw the prepared maps of all depths, row by row of starts; then the stages to the target."""
    plane = list[Tile]()
    for starts in rows:
        drawn = tiles.starts(starts)
        plane += drawn
        for depth, picture in enumerate(maps):
            if depth:
                drawn = tiles.children(
                    [t for t in drawn for _ in range(4)], [*range(4)] * len(drawn)
                )
            size = len(picture) // (len(rows) << depth)
            for tile, whole in zip(drawn, pictures(drawn), strict=True):
                x, y = (n * size for n in place(tile.address, rows))
                small = Image.fromarray(whole).resize((size, size), Image.Resampling.BOX)
                picture[y : y + size, x : x + size] = np.asarray(small)
            yield
    if target is None:
        return
    group, side = plane, tiles.sampler.card.image_size
    for depth in range(len(target.digits) + 1):
        address = Address(target.start, target.digits[:depth])
        number = [tile.address for tile in group].index(address)
        cells = Cells(len(group), side, side, 2 if depth else len(rows))
        stages.append(Stage(sheet(pictures(group), cells), *cells.corners[number], side))
        yield
        if address != target:
            group = tiles.children([group[number]] * 4, range(4))


def pictures(tiles: Sequence[Tile]) -> Frame:
    """Return the pictures of tiles as frames, (N, H, W, 3)."""
    return to_uint8(np.stack([tile.picture for tile in tiles]))


def frame(stages: Sequence[Stage], number: int, share: float, smooth: bool) -> Frame:
    """Draw a frame of the zoom, (SIDE, SIDE, 3): a share of the way through a stage.

    Tiles appear over their parent before the zoom goes on into one of them.
    """
    picture, x, y, side = stages[number]
    width = len(picture) * (side / len(picture)) ** max(0, (share - FADE) / (1 - FADE))
    moved = (len(picture) - width) / (len(picture) - side)
    drawn = cut(picture, x * moved, y * moved, width, smooth)
    if number and share < FADE:
        parent = Image.fromarray(frame(stages, number - 1, 1, smooth))
        drawn = Image.blend(parent, drawn, share / FADE)
    return np.asarray(drawn)


def cut(picture: Frame, left: float, top: float, width: float, smooth: bool) -> Image.Image:
    """Enlarge a square of a picture to the side of the zoom."""
    x, y, right, bottom = (round(n, 6) for n in (left, top, left + width, top + width))
    # Pillow mixes pixels outside of the box, as the paper around the target, into its edges.
    edges = math.floor(x), math.floor(y), math.ceil(right), math.ceil(bottom)
    box = x - edges[0], y - edges[1], right - edges[0], bottom - edges[1]
    resampling = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return Image.fromarray(picture).crop(edges).resize((SIDE, SIDE), resampling, box)


def write_panels(stages: Sequence[Stage], smooth: bool, name: str, folder: Path) -> MediaFile:
    """Write four stages side by side, with outlines around the tiles that hold the next ones."""
    panels = list[Frame]()
    for stage in (stages[round((len(stages) - 1) * part / 3)] for part in range(4)):
        image = cut(stage.picture, 0, 0, len(stage.picture), smooth)
        x, y, side = (n * SIDE / len(stage.picture) for n in stage[1:])
        for margin, width, colour in ((2, 6, PAPER), (0, 2, INK)) if len(panels) < 3 else ():
            box = x - margin, y - margin, x + side + margin, y + side + margin
            ImageDraw.Draw(image).rectangle(box, outline=colour, width=width)
        panels.append(np.asarray(image))
    return write_still(sheet(np.stack(panels), Cells(4, SIDE, SIDE, 4, GAP)), folder / name)


def write_maps(maps: Sequence[Frame], name: str, folder: Path) -> MediaFile:
    """Write the prepared maps below each other, in at most `MOST_BYTES` if a quality does."""
    padded = [np.pad(m, ((0, 0), (0, len(maps[-1]) - len(m)), (0, 0))) for m in maps]
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
