"""The kind `spectra`: power over frequency along the generation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitegen.figures.base import Figure, FigureKind
from sitegen.figures.spectra.spec import Spectra
from sitegen.figures.view_parts import still_view

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
    from sitegen.sampling.models import ModelProvider


def _sample(models: ModelProvider, figure: Figure) -> RenderJob:
    from sitegen.figures.spectra.sample import spectra

    return spectra(models, figure)


KIND = FigureKind("spectra", Spectra, _sample, still_view)
