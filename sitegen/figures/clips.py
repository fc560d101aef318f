"""Shared functions of the samplers of several kinds: displayed images and their clips."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sitegen.figures.base import Figure, FigureKind, spec_json
from sitegen.generative.card.card import ModelCard
from sitegen.media.frames import (
    TEXT_LINE,
    Frame,
    reduce,
    reduction,
    scale_factor,
    to_uint8,
    wrapped,
)
from sitegen.media.manifest import Cells, ClipSource, RenderJob
from sitegen.sampling.trajectory import LevelStream, Shown

SECONDS, SLOWEST, FASTEST = 5, 24, 60
"""Seconds that a clip lasts if a rate between the next two, in frames per second, allows it."""
SHORTEST = 2
"""Seconds that a clip of few levels lasts, at a rate below the slowest."""
GAP = 4
"""Pixels between the columns of methods, of the model's images."""
MOST_LINES = 3
"""Lines of the text under a cell."""
COLUMN = 576
"""Width in CSS pixels at which a page shows a clip, or more."""
OPENING, ENDING = 1.0, 2.0
"""Seconds for which a clip shows the finished pictures before it begins, and holds them."""


def noise_std_of(kind: FigureKind, card: ModelCard) -> float | None:
    """Return δ: the figure's, or the card's; None for a process that has none."""
    noise_std: float | None = getattr(kind, "sampling_noise_std", None)
    return card.noise_std if noise_std is None else noise_std


def made_with(figure: Figure, noise_std: float | None, **more: Any) -> dict[str, Any]:
    """Return the settings of a figure for the manifest: its call, δ, and any others."""
    values = {**spec_json(figure), "sampling_noise_std": noise_std, **more}
    if values.get("ddpm", "") is None:  # which alone is sampled by DDIM
        values.pop("ddim_steps", None)
    # Lists, so that a record equals itself after a round trip through JSON.
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}


def displayed(trajectory: LevelStream, show: Shown) -> Iterator[NDArray[np.float32]]:
    """Yield the displayed images (N, C, H, W) of each level K … 0; the last are always means."""
    return (images for _, images in trajectory.seen(show))


def even_levels(visited: Sequence[int], count: int) -> tuple[int, ...]:
    """Return `count` of the levels K … 0 that are `visited`, about evenly spaced, from 0 up.

    Each is the nearest to its ideal level, of those that leave enough for the others. Raises
    ValueError if fewer are visited.
    """
    rising, chosen, first = sorted(visited), list[int](), 0
    for number in range(count):
        ideal, end = number * rising[-1] / (count - 1), len(rising) - (count - 1 - number)
        first = min(range(first, end), key=lambda n: (abs(rising[n] - ideal), rising[n] % 2))
        chosen.append(rising[first])
        first += 1
    return tuple(chosen)


def default_fps(steps: int) -> float:
    """Return the frames a second at which a clip lasts about `SECONDS`, within its limits.

    A clip of few levels is slower, and lasts about `SHORTEST` seconds.
    """
    slowest = min(SLOWEST, max(1, round(steps / SHORTEST)))
    return float(min(FASTEST, max(slowest, round(steps / SECONDS))))


def grid_job(
    figure: Figure,
    card: ModelCard,
    columns: int,
    images: Iterable[NDArray[np.float32]],
    **more: Any,
) -> RenderJob:
    """Return the job of a clip of samples in a grid during generation.

    columns: number in a row
    images: displayed images of each visited level, from K to 0, (N, C, H, W)
    more: fields of `Cells`, such as `samples`, or of the job; `count`, if samples have no numbers
    """
    layout = {name: more.pop(name) for name in ("samples", "plain", "together") if name in more}
    count = more.pop("count", None) or len(layout["samples"])
    _, height, width = card.shape
    factor = reduction(count, width, height, columns)
    width, height = -(-width // factor), -(-height // factor)
    pictures = (reduce(to_uint8(states), factor) for states in images)
    # A gap, 2 pixels of the clip at least: without one, states of equal colour merge into stripes.
    cells = Cells(count, width, height, columns, 1, **layout)
    cells = captioned(cells, figure.spec.cell_texts(card))
    return clip_job(figure, card, cells, pictures, **more)


def captioned(cells: Cells, texts: Sequence[str]) -> Cells:
    """Return the cells of a grid, before enlargement, with texts under their pictures."""
    if not any(texts):
        return cells
    strip, lines = text_room(cells, texts)
    height = cells.height + strip
    return replace(cells, height=height, strip=strip, lines=lines, texts=tuple(texts))


def text_room(cells: Cells, texts: Sequence[str]) -> tuple[int, int]:
    """Return the height of texts under pictures in cells, before enlargement, and their lines."""
    shown = COLUMN / cells.size[0]
    width = round(cells.width * shown)
    lines = max(len(wrapped(text, TEXT_LINE * 3 // 4, width)) for text in texts)
    lines = min(lines, MOST_LINES)
    # A page enlarges small clips further; their texts stay legible in the file as well.
    return math.ceil(TEXT_LINE * lines / min(1.4 * scale_factor(*cells.size), shown)), lines


def clip_job(
    figure: Figure,
    card: ModelCard,
    cells: Cells,
    states: Iterable[Frame],
    fps: float | None = None,
    order: Sequence[int] | None = None,
    opening: float | None = None,
    **more: Any,
) -> RenderJob:
    """Return the job of a clip with a frame for each visited level, from K to 0.

    It opens on the finished pictures, and holds them at the end, unless `order` says which state
    each frame shows.

    cells: arrangement of the pictures, in pixels of the model's images
    states: the pictures of each visited level, uint8 (N, H, W, 3)
    opening: seconds for which it shows the finished pictures before it begins, by default OPENING
    more: fields of the job, and `parameters`, further ones for the manifest
    """
    fps = getattr(figure.spec, "fps", None) or fps or default_fps(card.steps)
    factor, noise_std = scale_factor(*cells.size), noise_std_of(figure.spec, card)
    last = card.steps
    # A clip that opens on flat states looks like grey squares until it is played.
    before = round((OPENING if opening is None else opening) * fps)
    opened = (*[last] * before, *range(last + 1), *[last] * round(ENDING * fps))
    return RenderJob(
        parameters=made_with(figure, noise_std, fps=fps, **more.pop("parameters", {})),
        clip=ClipSource(
            cells.enlarged(factor), factor, fps, tuple(order or opened), states,
            smooth=not figure.spec.pixelated,
        ),
        **{"levels": card.visited_levels, **more},
    )  # fmt: skip


FRAMES = 60
"""Frames of a clip between first states and finished images, where cells differ in steps."""


def stretched(stream: LevelStream, steps: int) -> Iterator[dict[int, Frame] | None]:
    """Yield None for each step but the last, then the pictures of the frames 0 … FRAMES."""
    shown = {frame: round(frame * steps / FRAMES) for frame in range(FRAMES + 1)}
    by_step = {}
    for step, (_, images) in enumerate(stream.seen("mean")):
        if step in shown.values():
            by_step[step] = to_uint8(images)
        if 0 < step < steps:
            yield None
    yield {frame: by_step[step] for frame, step in shown.items()}


def stretched_job(
    figure: Figure, card: ModelCard, cells: Cells, pictures: Iterable[Frame], **more: Any
) -> RenderJob:
    """Return the job of a clip of the frames 0 … FRAMES; it opens on its end, and holds that."""
    fps = getattr(figure.spec, "fps", None) or float(SLOWEST)
    ends = [FRAMES] * round(OPENING * fps)
    order = (*ends, *range(FRAMES + 1), *ends, *ends)
    return clip_job(figure, card, cells, pictures, fps=fps, order=order, levels=(), **more)
