"""The kind `shared_initial_state`: many samples that begin from one flat state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitegen.figures.base import Figure, FigureKind
from sitegen.figures.shared_initial_state.spec import SharedInitialState
from sitegen.figures.view_parts import clip_view

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
    from sitegen.sampling.models import ModelProvider


def _sample(models: ModelProvider, figure: Figure) -> RenderJob:
    from sitegen.figures.shared_initial_state.sample import shared_initial_state

    return shared_initial_state(models, figure)


KIND = FigureKind("shared_initial_state", SharedInitialState, _sample, clip_view)
