"""What the samplers of several kinds share: what is seen of a level, and how a clip is encoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sitegen.figures.base import Figure, Grid, spec_json
from sitegen.media.encoder import ClipSpec, crf_for
from sitegen.media.frames import Colour, grid, scale_factor, to_uint8
from sitegen.media.jobs import ClipSource, RenderJob
from sitegen.sampling.models import HeatSampler, Trajectory

BACKGROUND: Colour = (32, 36, 48)
INK: Colour = (228, 231, 241)
"""What stands behind pictures, and the words on it, on pages of any colour."""
LIGHT: tuple[Colour, Colour] = (255, 255, 255), (29, 33, 48)
DARK: tuple[Colour, Colour] = (18, 21, 31), INK
"""Paper and ink of the theme (static/style.css), for light pages and for dark ones."""


class _Sampled(Protocol):
    """A figure that may have a δ of its own."""

    @property
    def sampling_noise_std(self) -> float | None: ...


def noise_std_of(spec: _Sampled, sampler: HeatSampler) -> float:
    """δ: the figure's own, or the card's."""
    own = spec.sampling_noise_std
    return sampler.model.card.sampling_noise_std if own is None else own


def displayed(trajectory: Trajectory, show: str) -> Iterator[NDArray[np.float32]]:
    """What is seen of each level K … 0 (N, C, H, W): states or means, and last always the mean."""
    yield trajectory.u_K.cpu().numpy()
    for step in trajectory.steps:
        seen = step.mean if show == "mean" or step.level == 0 else step.state
        yield seen.cpu().numpy()


def even_levels(levels: int, count: int) -> tuple[int, ...]:
    """`count` levels from 0 to K, evenly spaced and rounded."""
    return tuple(round(at * levels / (count - 1)) for at in range(count))


def default_fps(levels: int) -> float:
    """Frames a second: a clip lasts about five seconds, where 24 to 60 of them allow it."""
    return min(60.0, max(24.0, float(round(levels / 5))))


def clip_spec(width: int, height: int, image_size: int, fps: float) -> ClipSpec:
    """How a clip of that native size, in pixels, is encoded (quality by the size of its images)."""
    crf = crf_for(image_size)
    return ClipSpec(fps, crf, scale_factor(width, height), BACKGROUND)


def cells(count: int, columns: int, width: int, height: int) -> dict[str, Any]:
    """Where the samples of a grid stand, for the manifest; `width` and `height` are of one."""
    rows = -(-count // columns)
    return {"count": count, "columns": columns, "rows": rows, "width": width, "height": height}


def grid_job(
    figure: Figure, sampler: HeatSampler, noise_std: float, trajectory: Trajectory
) -> RenderJob:
    """The clip of a grid of samples on their way down."""
    spec, size = cast(Grid, figure.spec), sampler.model.card.image_size
    columns = cast(int, spec.columns)
    fps = spec.fps or default_fps(trajectory.levels)
    place = cells(spec.count, columns, size, size)
    clip = clip_spec(columns * size, place["rows"] * size, size, fps)
    known = {"sampling_noise_std": noise_std, "fps": fps, "cells": place}
    return RenderJob(
        levels=tuple(range(trajectory.levels, -1, -1)),
        parameters={**spec_json(figure), **known},
        clips={
            "": ClipSource(
                clip,
                (grid(to_uint8(u), columns, BACKGROUND) for u in displayed(trajectory, spec.show)),
            )
        },
    )
