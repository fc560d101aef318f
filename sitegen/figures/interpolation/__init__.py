"""The kind `interpolation`: from one sample to another and back, beside DDPM and DDIM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitegen.figures.base import Figure, FigureKind
from sitegen.figures.interpolation.spec import Interpolation
from sitegen.figures.interpolation.view import path_view

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
    from sitegen.sampling.models import ModelProvider


def _sample(models: ModelProvider, figure: Figure) -> RenderJob:
    from sitegen.figures.interpolation.sample import interpolation

    return interpolation(models, figure)


KIND = FigureKind("interpolation", Interpolation, _sample, path_view)
