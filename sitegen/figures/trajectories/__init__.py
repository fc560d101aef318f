"""The kind `trajectories`: independent samples in a grid, from flat to sharp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitegen.figures.base import Figure, FigureKind
from sitegen.figures.trajectories.spec import Trajectories
from sitegen.figures.view_parts import clip_view

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
    from sitegen.sampling.models import ModelProvider


def _sample(models: ModelProvider, figure: Figure) -> RenderJob:
    from sitegen.figures.trajectories.sample import trajectories

    return trajectories(models, figure)


KIND = FigureKind("trajectories", Trajectories, _sample, clip_view)
