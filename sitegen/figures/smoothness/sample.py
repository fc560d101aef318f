"""Smoothness: how even the interpolations of a model are, compared with DDPM and DDIM."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from sitegen.figures.base import Figure
from sitegen.figures.clips import made_with, noise_std_of
from sitegen.figures.paths import walk, ways_down
from sitegen.figures.smoothness import Smoothness
from sitegen.figures.smoothness.drawing import smoothness_drawing, smoothness_results
from sitegen.figures.smoothness.measure import Evenness, evenness
from sitegen.figures.svg import Drawing, Sheet, stills
from sitegen.media.jobs import RenderJob
from sitegen.sampling.provider import ModelProvider
from sitegen.sampling.trajectory import Paths


def sample(models: ModelProvider, figure: Figure) -> RenderJob:
    """Paths between pairs of samples, samples 0 and 1, 2 and 3, …; measured when all are there."""
    spec = cast(Smoothness, figure.spec)
    paths = Paths(spec.seed, pairs_of(spec.pairs), spec.points)
    card = models.sampler(spec.model).card
    ways = ways_down(models, spec, paths, spec.ddim_steps)
    found: dict[str, Evenness] = {}

    def ended(name: str, images: NDArray[np.float32]) -> None:
        found[name] = evenness(images.reshape(spec.pairs, spec.points, -1))

    def draw(sheet: Sheet) -> Drawing:
        return smoothness_drawing(found, sheet)

    return RenderJob(
        levels=(),
        parameters=made_with(figure, noise_std_of(spec, card)),
        steps=sum(steps for _, steps in ways.values()),
        work=walk(ways, ended),
        stills=stills(draw, typeface=figure.typeface),
        results=lambda: smoothness_results(found),
    )


def pairs_of(count: int) -> tuple[tuple[int, int], ...]:
    """`count` pairs of samples, none of which is in two of them, so that they are independent."""
    return tuple((2 * pair, 2 * pair + 1) for pair in range(count))
