"""Interpolations: forth, hold, back, hold; a panel for each way to sample, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

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
from sitegen.figures.paths import walk, ways_down
from sitegen.media.frames import Colour, Frame, to_uint8
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.media.labels import Panels, strip
from sitegen.media.look.colours import DARK, LIGHT
from sitegen.sampling.provider import ModelProvider
from sitegen.sampling.trajectory import Paths


def sample(models: ModelProvider, figure: Figure) -> RenderJob:
    """Compute all points of all panels first, then the frames that show them in turn."""
    spec = cast(Interpolation, figure.spec)
    card = models.sampler(spec.model).card
    ways = ways_down(models, spec, Paths(spec.seed, spec.pairs, spec.points), spec.ddim_steps)
    labels, smooth = tuple(ways), not spec.pixelated
    panels = Panels(labels, len(spec.pairs), card.image_size, *LIGHT, smooth=smooth)
    fps = spec.fps or 30.0
    found: dict[str, Frame] = {}

    def ended(name: str, images: NDArray[np.float32]) -> None:
        found[name] = to_uint8(images)

    shown = turns(spec.points, spec.hold)
    told = {"fps": fps, "panels": labels, "factor": panels.factor}

    def frames(drawn: Panels) -> Iterator[Frame]:
        return (drawn.draw([way[at :: spec.points] for way in found.values()]) for at in shown)

    def clip(paper: Colour, ink: Colour) -> ClipSource:
        drawn = replace(panels, background=paper, ink=ink)
        encoded = clip_spec(card.image_size, fps, 1, paper, opening=0, ending=0)
        return ClipSource(encoded, frames(drawn), sampled=False)

    return RenderJob(
        levels=(0,) * len(shown),
        parameters=made_with(figure, noise_std_of(spec, card), **told),
        clips={"": clip(*LIGHT), "dark": clip(*DARK)},
        steps=sum(steps for _, steps in ways.values()),
        work=walk(ways, ended),
        stills=strips(lambda *colours: _strip(found, spec, *colours)),
    )


def turns(points: int, hold: int) -> list[int]:
    """The point that each frame shows: forth, hold, back, hold."""
    forth = list(range(points))
    return [*forth, *forth[-1:] * hold, *forth[::-1], *forth[:1] * hold]


def _strip(found: Mapping[str, Frame], spec: Interpolation, paper: Colour, ink: Colour) -> Frame:
    """Return evenly spaced points of every path, a row for each sampling method."""
    chosen = even_levels(range(spec.points - 1, -1, -1), min(look.IN_A_STRIP, spec.points))
    rows = [
        (name, [images[start + point] for point in chosen])
        for start in range(0, len(spec.pairs) * spec.points, spec.points)
        for name, images in found.items()
    ]
    return strip(rows, paper, ink, smooth=not spec.pixelated)
