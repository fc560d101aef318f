"""The job of an atlas: its prepared maps, and a zoom from the plane of starts to one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sitegen.core.files import platform_errors
from sitegen.figures.atlas.plane import Plane, Point, View, nested, panels, starts_in_place, zoom
from sitegen.figures.base import Figure
from sitegen.figures.clips import made_with
from sitegen.figures.live import exported_model, model_files
from sitegen.generative.card.card import ModelCard
from sitegen.generative.maths.address import Address
from sitegen.media.encoder import write_still
from sitegen.media.frames import Frame, to_uint8
from sitegen.media.manifest import Cells, ClipSource, MediaFile, RenderJob
from sitegen.models.browser import BrowserModel
from sitegen.sampling.provider import ModelProvider
from sitegen.sampling.tiles import Tile, Tiles, tiles_of

FPS, SIDE, ENDING = 24, 320, 1.5
"""Frames a second of the zoom, its side in pixels, and seconds for which it rests at the end."""
PANEL, GAP = 256, 12
"""Pixels of a crop, and between two of them."""
MOST_BYTES, QUALITIES = 120_000, (90, 80, 70, 60, 50, 40, 30, 20)
"""Bytes of the prepared maps of a model, and qualities of WebP, of which the first that fits."""
_BLURRED, _SHARP = 2, 8
"""Pixels of a prepared start, which double at each split: of blurred states, and of others."""


@dataclass(frozen=True)
class MapPlan:
    """The map of a model: the levels at which it splits, and how many of these are prepared."""

    model: str
    splits: tuple[int, ...]
    prepared: int


def atlas_job(
    models: ModelProvider,
    figure: Figure,
    plans: Sequence[MapPlan],
    columns: int,
    seed: int,
    target: Address,
    *,
    live: bool,
) -> RenderJob:
    """Return the job: "tiles" of each model, and if it is live "model" and "weights"; a zoom to an
    image, and four crops on the way.

    plans: the maps, of which the first has the figure's labels and the zoom
    columns: starts in a row
    target: the address to which the clip zooms

    Raises RefusedError for a model that a browser's sampler does not have, or that is too heavy.
    """
    maps = list[_Map]()
    for plan in plans:
        card = models.source(plan.model).card
        exported = exported_model(models, plan.model)[1] if live else None
        sampler = models.sampler(plan.model)
        if not maps:
            sampler = sampler.conditioned(figure.spec.condition(card))
        maps.append(_Map(plan, card, exported, tiles_of(sampler, seed, plan.splits), columns))
    first, smooth = maps[0], not figure.spec.pixelated
    goal = first.plane.point(target)
    views, crops = zoom(goal, columns, FPS), panels(goal, columns)
    for view in (*views, *crops):
        for depth in range(max(0, view.depth - (view.opacity < 1)), view.depth + 1):
            first.seen.update(chain.from_iterable(point.line() for point in view.points(depth)))
    stills: dict[str, Any] = {
        # Written after the clip, whose own posters these replace.
        "poster": partial(first.write_panels, crops, smooth, "clip.avif"),
        "poster-webp": partial(first.write_panels, crops, smooth, "clip.webp"),
    }
    for drawn, ending in zip(maps, ("", "-2"), strict=False):
        stills[f"tiles{ending}"] = partial(drawn.write_maps, f"tiles{ending}.webp")
        if drawn.exported:
            stills |= model_files(drawn.plan.model, drawn.card, drawn.exported, ending)
    choices = [drawn.facts for drawn in maps]
    return RenderJob(
        parameters=made_with(figure, first.card.noise_std, target=str(target), choices=choices),
        clip=ClipSource(
            Cells(1, SIDE, SIDE, 1, 0).enlarged(2),
            2,
            FPS,
            (*range(len(views)), *[len(views) - 1] * round(ENDING * FPS)),
            (first.plane.frame(view, SIDE, smooth=smooth)[None] for view in views),
        ),
        levels=tuple(first.tiles.ends[view.depth] for view in views),
        steps=sum(drawn.turns for drawn in maps),
        work=chain.from_iterable(drawn.work() for drawn in maps),
        stills=stills,
    )


@dataclass(frozen=True)
class _Map:
    """The map of a model.

    seen: the tiles whose pictures are needed in full, and all above them
    sheets: the prepared maps, a picture of each depth
    """

    plan: MapPlan
    card: ModelCard
    exported: BrowserModel | None
    tiles: Tiles
    columns: int
    seen: set[Point] = field(default_factory=set)
    sheets: list[Frame] = field(default_factory=list)

    @cached_property
    def plane(self) -> Plane:
        """The plane, with each start in its place."""
        states = self.tiles.sampler.start(self.tiles.seed, range(self.columns**2))
        pictures = self.tiles.sampler.process.pixels(states, self.tiles.splits[0])
        means = pictures.mean(dim=(2, 3)).cpu().numpy()
        return Plane(starts_in_place(means, self.columns))

    @property
    def sizes(self) -> list[int]:
        """Pixels of a tile in the prepared map of each depth."""
        least = _BLURRED if "blur" in self.card.abilities else _SHARP
        depths = range(self.plan.prepared + 1)
        # WebP has one colour for 2 × 2 pixels, and two tiles must not share one.
        return [min(self.card.image_size, max(4, least * 2**depth)) for depth in depths]

    @property
    def facts(self) -> dict[str, Any]:
        """What a page needs to draw the map."""
        ends, axis = self.tiles.ends, self.card.axis
        process = self.tiles.sampler.process
        spans = [(begin, end if process.random else 0) for begin, end in pairwise(ends)]
        costs = [self.exported.gflop_between(*span) for span in spans] if self.exported else []
        return {
            "starts": self.plane.rows,
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
        prepared = self.plan.prepared
        return self.columns * prepared + len(self.plan.splits) - prepared

    def work(self) -> Iterator[None]:
        """Draw all prepared tiles, a row of starts after the other, then the deeper ones seen."""
        columns, kept = self.columns, dict[Point, Tile]()
        self.sheets[:] = [
            np.zeros((columns * 2**depth * size,) * 2 + (3,), np.uint8)
            for depth, size in enumerate(self.sizes)
        ]
        for starts in self.plane.rows:
            tiles = self.tiles.starts(starts)
            kept |= self._kept(tiles)
            for _ in self.sizes[1:]:
                parents = [tile for tile in tiles for _ in range(4)]
                tiles = self.tiles.children(parents, [*range(4)] * len(tiles))
                kept |= self._kept(tiles)
                yield
        for depth in range(len(self.sizes), len(self.tiles.ends)):
            points = sorted(point for point in self.seen if point.depth == depth)
            if points:
                parents = [kept[point.parent] for point in points]
                kept = self._kept(self.tiles.children(parents, [point.digit for point in points]))
            yield

    def _kept(self, tiles: Sequence[Tile]) -> dict[Point, Tile]:
        """Draw tiles of one depth; return those that are needed in full."""
        frames = to_uint8(np.stack([tile.picture for tile in tiles]))
        kept = dict[Point, Tile]()
        for tile, frame in zip(tiles, frames, strict=True):
            point = self.plane.point(tile.address)
            if point in self.seen:
                kept[point], self.plane.pictures[point] = tile, frame
            if point.depth < len(self.sizes):
                size = self.sizes[point.depth]
                small = Image.fromarray(frame).resize((size, size), Image.Resampling.BOX)
                rows, columns = (slice(n * size, (n + 1) * size) for n in (point.y, point.x))
                self.sheets[point.depth][rows, columns] = np.asarray(small)
        return kept

    def write_maps(self, name: str, folder: Path) -> MediaFile:
        """Write the prepared maps below each other, in at most `MOST_BYTES` if a quality does."""
        width = len(self.sheets[-1])
        padded = [np.pad(s, ((0, 0), (0, width - len(s)), (0, 0))) for s in self.sheets]
        for quality in QUALITIES:
            file = write_still(np.concatenate(padded), folder / name, quality)
            if file.bytes <= MOST_BYTES:
                break
        return file

    def write_panels(
        self, crops: Sequence[View], smooth: bool, name: str, folder: Path
    ) -> MediaFile:
        """Write nested views side by side, from the plane to finished pictures."""
        frames = [self.plane.frame(view, PANEL, smooth=smooth) for view in crops]
        with platform_errors(folder / name):
            return write_still(nested(frames, crops, GAP), folder / name)
