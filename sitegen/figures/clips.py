"""Shared functions of the samplers of several kinds: displayed images and encoded clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from sitegen.core.files import Place, Spool
from sitegen.figures.base import Figure, FigureSpec, Grid, GridLayout, spec_json
from sitegen.generative.card.card import ModelCard
from sitegen.media.encoder import ClipSpec, crf_for, write_still
from sitegen.media.frames import Colour, Frame, grid, reduce, scale_factor, to_uint8
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.media.look import film, recorded
from sitegen.media.look.colours import BACKGROUND, DARK, LIGHT
from sitegen.media.manifest import MediaFile
from sitegen.sampling.provider import ModelProvider
from sitegen.sampling.trajectory import LevelStream, Shown


def noise_std_of(spec: FigureSpec, card: ModelCard) -> float | None:
    """Return δ: the figure's own, or the card's; None for a process that has none."""
    own: float | None = getattr(spec, "sampling_noise_std", None)
    return card.noise_std if own is None else own


def made_with(figure: Figure, noise_std: float | None, **more: Any) -> dict[str, Any]:
    """Return the settings of a figure for the manifest: its spec, δ, and any others."""
    values = {**spec_json(figure), "sampling_noise_std": noise_std, **more}
    if values.get("ddpm", "") is None:  # which alone is sampled by DDIM
        values.pop("ddim_steps", None)
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}


def displayed(trajectory: LevelStream, show: Shown) -> Iterator[NDArray[np.float32]]:
    """Yield the displayed images (N, C, H, W) of each level K … 0; the last are always means."""
    return (images for _, images in trajectory.seen(show))


def even_levels(visited: Sequence[int], count: int) -> tuple[int, ...]:
    """Return `count` of the levels K … 0 that are `visited`, about evenly spaced, from 0 up.

    Each is the nearest to its place, of those that leave enough for the rest. Raises ValueError if
    fewer are visited.
    """
    known, chosen, first = sorted(visited), list[int](), 0
    for at in range(count):
        wanted, end = at * known[-1] / (count - 1), len(known) - (count - 1 - at)
        first = min(range(first, end), key=lambda n: (abs(known[n] - wanted), known[n] % 2))
        chosen.append(known[first])
        first += 1
    return tuple(chosen)


def default_fps(steps: int) -> float:
    """Return the frames a second at which a clip lasts about `film.SECONDS`, within its limits.

    A clip of few levels is slower, and lasts about `film.SHORTEST` seconds.
    """
    slowest = min(film.SLOWEST, max(1, round(steps / film.SHORTEST)))
    return float(min(film.FASTEST, max(slowest, round(steps / film.SECONDS))))


def clip_spec(
    card: ModelCard,
    image_size: int,
    fps: float,
    factor: int = 1,
    background: Colour = BACKGROUND,
    **more: Any,
) -> ClipSpec:
    """Return how a clip is encoded: enlarged, with a quality by the size of its images.

    It opens on the finished pictures for a second, and holds them for two in the end.
    """
    held = {"opening": round(film.OPENING * fps), "ending": round(film.ENDING * fps), **more}
    if card.recording is not None:
        held |= {"gif_filter": recorded.GIF_FILTER, "gif_share": recorded.GIF_SHARE}
        held["preset"] = recorded.PRESET
    finer = film.CRF_SMOOTH if factor > 1 and held.get("smooth") else 0
    return ClipSpec(fps, crf_for(image_size) + finer, factor, background, **held)


def strips(draw: Callable[[Colour, Colour], Frame]) -> dict[str, Callable[[Path], MediaFile]]:
    """The stills of a strip for light pages and for dark ones, drawn with their paper and ink."""

    def write(name: str, colours: tuple[Colour, Colour], folder: Path) -> MediaFile:
        return write_still(draw(*colours), folder / f"{name}.webp")

    return {
        "strip": partial(write, "strip", LIGHT),
        "strip-dark": partial(write, "strip-dark", DARK),
    }


def sample_grid(
    models: ModelProvider, figure: Figure, method: Literal["begin", "fan"]
) -> RenderJob:
    """Return the job of a `Grid` whose samples a method of the sampler draws."""
    spec = cast(Grid, figure.spec)
    sampler = models.sampler(spec.model)
    angle: float | None = getattr(spec, "around", None)
    if angle is not None:
        trajectory = sampler.around(spec.seed, spec.numbers, angle)
    else:
        draw = sampler.begin if method == "begin" else sampler.fan
        trajectory = draw(spec.seed, spec.numbers, noise_std_of(spec, sampler.card))
    place = spec.count, spec.layout.columns
    return grid_job(figure, sampler.card, place, displayed(trajectory, spec.show))


def grid_job(
    figure: Figure,
    card: ModelCard,
    place: tuple[int, int],
    frames: Iterable[NDArray[np.float32]],
    **more: Any,
) -> RenderJob:
    """Return the job of a clip of samples in a grid during generation, with its metadata.

    place: number of samples, and number in a row
    frames: displayed images of each visited level, from K to 0, (N, C, H, W)
    more: of `clip_job`; `row` is the number in a row if pictures of a row belong together
    """
    layout = GridLayout(*place, more.pop("row", 0))
    factor = layout.reduction(card.image_size)
    side = -(-card.image_size // factor)
    cells = {"count": layout.count, "columns": layout.columns, "rows": layout.rows}
    known = {"cells": {**cells, "width": side, "height": side}, **more.pop("known", {})}
    pictures: Iterable[Frame] = (reduce(to_uint8(seen), factor) for seen in frames)
    if narrow := layout.narrow:
        replay = Replay(enumerate(pictures), 2)
        pictures = (states for _, states in replay.again())
        again = (grid(states, narrow.columns, BACKGROUND) for _, states in replay.again())
        more |= {"narrow": ((narrow.columns * side, narrow.rows * side), again)}
        more["work"] = chain(more.get("work", ()), replay.kept())
        more["steps"] = more.get("steps", 0) + card.steps + 1
        known["narrow"] = {"columns": narrow.columns}
    sheets = (grid(states, layout.columns, BACKGROUND) for states in pictures)
    size = layout.columns * side, layout.rows * side
    return clip_job(figure, card, size, sheets, known=known, **more)


def clip_job(
    figure: Figure,
    card: ModelCard,
    size: tuple[int, int],
    frames: Iterator[Frame],
    known: Mapping[str, Any] | None = None,
    narrow: tuple[tuple[int, int], Iterator[Frame]] | None = None,
    **more: Any,
) -> RenderJob:
    """Return the job of a clip with a frame for each visited level, from K to 0.

    size: width and height of a frame in pixels
    frames: uint8 (H, W, 3)
    narrow: size and frames of the clip for the column of a phone, if it has one of its own
    known: further parameters for the manifest; `more` are fields of the job
    """
    fps = getattr(figure.spec, "fps", None) or default_fps(card.steps)
    smooth = not figure.spec.pixelated

    def encoded(size: tuple[int, int], **more: Any) -> ClipSpec:
        factor = scale_factor(*size)
        return clip_spec(card, card.image_size, fps, factor, smooth=smooth, **more)

    clips = {"": ClipSource(encoded(size), frames, sampled=narrow is None)}
    if narrow:
        clips["narrow"] = ClipSource(encoded(narrow[0], gif=False), narrow[1], sampled=False)
    noise_std = noise_std_of(figure.spec, card)
    return RenderJob(
        levels=card.visited_levels,
        parameters=made_with(figure, noise_std, fps=fps, **(known or {})),
        clips=clips,
        **more,
    )


class Replay:
    """A stream of (level, uint8 pictures (N, H, W, 3)), stored once and replayed `times` times.

    The stored pictures are deleted after the last replay, or with the object.
    """

    def __init__(self, source: Iterable[tuple[int, Frame]], times: int) -> None:
        self._source, self._left = source, times
        self._index: list[tuple[int, tuple[int, ...], Place]] = []
        self.spool = Spool()

    def kept(self) -> Iterator[None]:
        """Store the stream, one level per iteration. Raises PlatformError if storage runs out."""
        for level, pictures in self._source:
            place = self.spool.add(np.ascontiguousarray(pictures).data)
            self._index.append((level, pictures.shape, place))
            yield

    def again(self) -> Iterator[tuple[int, Frame]]:
        """Yield all that was stored; it is deleted after the last replay."""
        for level, shape, place in self._index:
            yield level, np.frombuffer(self.spool.read(place), np.uint8).reshape(shape)
        self._left -= 1
        if self._left == 0:
            self.spool.close()
