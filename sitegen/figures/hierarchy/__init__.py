"""The kind `hierarchy`: a tree that grows out of one flat state, and where it splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitegen.figures.base import Figure, FigureKind
from sitegen.figures.hierarchy.spec import Hierarchy
from sitegen.figures.hierarchy.view import tree_view

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
    from sitegen.sampling.models import ModelProvider


def _sample(models: ModelProvider, figure: Figure) -> RenderJob:
    from sitegen.figures.hierarchy.sample import hierarchy

    return hierarchy(models, figure)


KIND = FigureKind("hierarchy", Hierarchy, _sample, tree_view)
