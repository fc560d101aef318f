"""Interpolations: forth, hold, back, hold; a panel for each way to sample, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import ceil
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sitegen.figures.base import Figure
from sitegen.figures.clips import (
    clip_spec,
    even_levels,
    made_with,
    noise_std_of,
    strips,
)
from sitegen.figures.interpolation import Interpolation, look
from sitegen.figures.paths import Ways, walk, ways_down
from sitegen.generative.card.card import ModelCard
from sitegen.media.frames import Colour, Frame, to_uint8
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.media.labels import Panels, strip
from sitegen.media.look import narrow
from sitegen.media.look.colours import DARK, LIGHT
from sitegen.sampling.provider import ModelProvider
from sitegen.sampling.trajectory import Paths


def sample(models: ModelProvider, figure: Figure) -> RenderJob:
    """Compute all points of all panels first, then the frames that show them in turn."""
    spec = cast(Interpolation, figure.spec)
    card = models.sampler(spec.model).card
    ways = ways_down(models, spec, Paths(spec.seed, spec.pairs, spec.points), spec.ddim_steps)
    return path_job(figure, card, ways, len(spec.pairs), spec.points, spec.hold)


def path_job(
    figure: Figure, card: ModelCard, ways: Ways, paths: int, points: int, hold: int
) -> RenderJob:
    """Return the job of paths that are shown forth and back, a panel for each of the `ways`.

    Each way makes (paths · points) images; `hold` frames are shown at each end.
    """
    labels, smooth = tuple(ways), not figure.spec.pixelated
    words: dict[str, Any] = {"smooth": smooth, "typeface": figure.typeface}
    panels = Panels(labels, paths, card.image_size, *LIGHT, **words)
    fps = getattr(figure.spec, "fps", None) or 30.0
    found: dict[str, Frame] = {}

    def ended(name: str, images: NDArray[np.float32]) -> None:
        found[name] = to_uint8(images)

    shown = turns(points, hold)
    told = {"fps": fps, "panels": labels, "factor": panels.factor, "points": points, "hold": hold}

    def frames(drawn: Panels) -> Iterator[Frame]:
        return (drawn.draw([way[at::points] for way in found.values()]) for at in shown)

    def clip(paper: Colour, ink: Colour, **more: Any) -> ClipSource:
        drawn = replace(panels, background=paper, ink=ink, **more)
        held = {"opening": 0, "ending": 0, "gif": not more}
        encoded = clip_spec(card, card.image_size, fps, 1, paper, **held)
        return ClipSource(encoded, frames(drawn), sampled=False)

    clips = {"": clip(*LIGHT), "dark": clip(*DARK)}
    largest = ceil(narrow.LABEL * panels.size[1] / narrow.COLUMN)
    if largest > panels.largest:  # names that would be too small on a phone
        clips |= {"narrow": clip(*LIGHT, largest=largest)}
        clips |= {"narrow-dark": clip(*DARK, largest=largest)}

    return RenderJob(
        levels=(0,) * len(shown),
        parameters=made_with(figure, noise_std_of(figure.spec, card), **told),
        clips=clips,
        steps=sum(steps for _, steps in ways.values()),
        work=walk(ways, ended),
        stills=strips(lambda *colours: _strip(found, paths, points, *colours, **words)),
    )


def turns(points: int, hold: int) -> list[int]:
    """The point that each frame shows: forth, hold, back, hold."""
    forth = list(range(points))
    return [*forth, *forth[-1:] * hold, *forth[::-1], *forth[:1] * hold]


def _strip(
    found: Mapping[str, Frame], paths: int, points: int, paper: Colour, ink: Colour, **words: Any
) -> Frame:
    """Return evenly spaced points of every path, a row for each way; one way alone has no name."""
    chosen = even_levels(range(points - 1, -1, -1), min(look.IN_A_STRIP, points))
    rows = [
        (name if len(found) > 1 else "", [images[start + point] for point in chosen])
        for start in range(0, paths * points, points)
        for name, images in found.items()
    ]
    return strip(rows, paper, ink, **words)
