"""The kind `smoothness`: how even interpolations are, measured and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitegen.figures.base import Figure, FigureKind
from sitegen.figures.smoothness.spec import Smoothness
from sitegen.figures.view_parts import still_view

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
    from sitegen.sampling.models import ModelProvider


def _sample(models: ModelProvider, figure: Figure) -> RenderJob:
    from sitegen.figures.smoothness.sample import smoothness

    return smoothness(models, figure)


KIND = FigureKind("smoothness", Smoothness, _sample, still_view)
