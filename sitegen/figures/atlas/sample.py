"""The job of an atlas: its prepared maps, and a zoom from the plane of starts to one image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from colorsys import rgb_to_hsv
from functools import partial
from itertools import chain, starmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sitegen.figures.base import Figure
from sitegen.figures.clips import ENDING, SLOWEST, clip_job
from sitegen.figures.live import exported_model, model_files
from sitegen.generative.maths.address import Address
from sitegen.media.encoder import write_still
from sitegen.media.frames import INK, PAPER, Frame, sheet, to_uint8
from sitegen.media.manifest import Cells, MediaFile, RenderJob
from sitegen.sampling.provider import ModelProvider
from sitegen.sampling.tiles import Tile, Tiles, tiles_of

FRAMES, FADE = 36, 0.25
"""Frames of the zoom at each depth, and the part of them in which tiles replace their parent."""
SIDE, GUTTER, GAP, START = 320, 4, 12, 128
"""Pixels of the zoom, between its tiles, between two panels, and of a start's deepest map."""
MOST_BYTES, QUALITIES = 120_000, (90, 80, 70, 60, 50, 40, 30, 20)
"""Bytes of the prepared maps of a model, and qualities of WebP, of which the first that fits."""


def atlas_job(models: ModelProvider, figure: Figure) -> RenderJob:
    """Return the job of the maps of all models, of their files if they are live, and of a zoom.

    Raises RefusedError for a model that a browser's sampler does not have, or that is too heavy.
    """
    spec: Any = figure.spec  # an Atlas, whose module imports this one
    samplers = [spec.sampler(models), *map(models.sampler, spec.models[1:])]
    stills, choices, drawings, panels = dict[str, Any](), [], [], list[Frame]()
    for name, sampler, ending in zip(spec.models, samplers, ("", "-2"), strict=False):
        card, tiles = models.source(name).card, tiles_of(sampler, spec.seed, spec.splits)
        process, states = tiles.sampler.process, sampler.start(spec.seed, range(spec.columns**2))
        means = process.pixels(states, tiles.ends[0]).mean(dim=(2, 3)).cpu().numpy()
        rows = starts_in_place(means, spec.columns)
        maps: list[list[Frame]] = [[] for _ in range(spec.prepared(card) + 1)]
        drawings.append((tiles, rows, maps, list[Tile]()))
        stills[f"tiles{ending}"] = partial(write_maps, maps, f"tiles{ending}.webp")
        exported = exported_model(models, name)[1] if spec.live else None
        stills |= model_files(name, card, exported, ending) if exported else {}
        choices.append({
            "starts": rows,
            "prepared": len(maps) - 1,
            "splits": list(tiles.splits),
            "values": [card.axis.values[level] for level in tiles.ends],
            "symbol": card.axis.symbol, "unit": card.axis.unit,
            "blur": "blur" in card.abilities, "renoised": not process.random,
            "gflop": exported and float(f"{exported.gflop:.3g}"),
            "width": card.image_size, "channels": card.channels,
            "label": process.condition.labels[0] if process.condition else None,
            "guidance": spec.guidance,
        })  # fmt: skip
    # Stills are written after the clip, whose own posters these replace.
    for still, file in (("poster", "clip.avif"), ("poster-webp", "clip.webp")):
        stills[still] = partial(write_panels, panels, file)
    tiles, _, _, plane = drawings[0]
    target = Address.parse(spec.target or "0." + ("30" * len(tiles.splits))[: len(tiles.splits)])
    levels = tuple(level for level in tiles.ends for _ in range(FRAMES))
    return clip_job(
        figure, models.source(spec.model).card, Cells(1, SIDE, SIDE, 1, 0),
        zoom(tiles, plane, target, not spec.pixelated, panels),
        fps=SLOWEST, order=(*range(len(levels)), *[len(levels) - 1] * round(ENDING * SLOWEST)),
        levels=levels, parameters={"target": str(target), "choices": choices}, stills=stills,
        steps=sum(spec.columns * len(maps) for _, _, maps, _ in drawings),
        work=chain.from_iterable(starmap(prepare, drawings)),
    )  # fmt: skip


def prepare(
    tiles: Tiles, rows: list[list[int]], maps: list[list[Frame]], plane: list[Tile]
) -> Iterator[None]:
    """Draw the plane of starts, row by row, and the tiles of the prepared maps of each depth."""
    for starts in rows:
        drawn = tiles.starts(starts)
        plane += drawn
        for depth, frames in enumerate(maps):
            drawn = tiles.children(drawn) if depth else drawn
            frames.extend(pictures(drawn, START >> len(maps) - 1))
            yield


def zoom(
    tiles: Tiles, plane: list[Tile], target: Address, smooth: bool, panels: list[Frame]
) -> Iterator[Frame]:
    """Yield the zoom from the plane of starts to the target; add a panel of each depth."""
    parent, tile = None, None
    start = [tile.address.start for tile in plane].index(target.start)
    for number in (start, *target.digits):
        group = tiles.children([tile]) if tile else plane
        tile, columns = group[number], math.isqrt(len(group))
        cells = Cells(len(group), SIDE, SIDE, columns, GUTTER)
        picture = Image.fromarray(sheet(pictures(group, SIDE, smooth), cells))
        x, y = cells.corners[number]
        whole, last = np.array([[0, 0, *picture.size], [x, y, x + SIDE, y + SIDE]])
        across = picture.width / SIDE
        for share in np.arange(1, FRAMES + 1) / FRAMES:
            # All corners move by one share, and the side of the box falls evenly by octaves.
            moved = (1 - across ** min(0, (FADE - share) / (1 - FADE))) / (1 - 1 / across)
            box = whole + (last - whole) * moved
            image = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box.tolist())
            if parent and share < FADE:
                image = Image.blend(parent, image, share / FADE)
            yield np.asarray(image)[None]
        parent = image
        for colour, part in ((PAPER, 50), (INK, 150)):
            width = picture.width // part
            ImageDraw.Draw(picture).rectangle(last.tolist(), outline=colour, width=width)
        panels.append(np.asarray(picture.resize((SIDE, SIDE))))


def pictures(tiles: Sequence[Tile], side: int, smooth: bool = False) -> Frame:
    """Return the pictures of tiles, (N, side, side, 3)."""
    resampling = Image.Resampling.BICUBIC if smooth else Image.Resampling.BOX
    images = map(Image.fromarray, to_uint8(np.stack([tile.picture for tile in tiles])))
    return np.stack([np.asarray(image.resize((side, side), resampling)) for image in images])


def write_panels(panels: Sequence[Frame], name: str, folder: Path) -> MediaFile:
    """Write four panels side by side, from the first to the last."""
    four = [panels[round((len(panels) - 1) * part / 3)] for part in range(4)]
    return write_still(sheet(np.stack(four), Cells(4, SIDE, SIDE, 4, GAP)), folder / name)


def write_maps(maps: Sequence[Sequence[Frame]], name: str, folder: Path) -> MediaFile:
    """Write the tiles of all maps in rows, in at most `MOST_BYTES` if a quality does."""
    frames, columns = np.stack([*chain(*maps)]), math.isqrt(len(maps[-1]))
    picture = sheet(frames, Cells(len(frames), len(frames[0]), len(frames[0]), columns, 0))
    for quality in QUALITIES:
        file = write_still(picture, folder / name, quality)
        if file.bytes <= MOST_BYTES:
            break
    return file


def starts_in_place(means: NDArray[np.float32], columns: int) -> list[list[int]]:
    """Return starts, by mean colours (N, 1 or 3), in rows: hue goes around, lightness outwards."""
    colours = np.broadcast_to(means.clip(0, 1), (len(means), 3))
    hues = np.array([rgb_to_hsv(*colour)[0] for colour in colours])
    y, x = (np.indices((columns, columns)) - (columns - 1) / 2).reshape(2, -1)
    rings = np.maximum(abs(y), abs(x))
    # Ring after ring: its cells by their angle have its starts by their hue.
    cells, starts = np.lexsort((np.arctan2(y, x), rings)), np.argsort(means.mean(axis=1))
    starts = starts[np.lexsort((hues[starts], rings[cells]))]
    return starts[np.argsort(cells)].reshape(columns, columns).tolist()
