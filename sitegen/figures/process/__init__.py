"""The kind `process`: heat melts an image above, a model makes a new one below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitegen.figures.base import Figure, FigureKind
from sitegen.figures.process.spec import Process
from sitegen.figures.view_parts import still_view

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
    from sitegen.sampling.models import ModelProvider


def _sample(models: ModelProvider, figure: Figure) -> RenderJob:
    from sitegen.figures.process.sample import process

    return process(models, figure)


KIND = FigureKind("process", Process, _sample, still_view)
