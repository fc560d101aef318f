"""The kind `shared_noise`: the same noises from different initial states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitegen.figures.base import Figure, FigureKind
from sitegen.figures.shared_noise.spec import SharedNoise
from sitegen.figures.view_parts import clip_view

if TYPE_CHECKING:
    from sitegen.media.jobs import RenderJob
    from sitegen.sampling.models import ModelProvider


def _sample(models: ModelProvider, figure: Figure) -> RenderJob:
    from sitegen.figures.shared_noise.sample import shared_noise

    return shared_noise(models, figure)


KIND = FigureKind("shared_noise", SharedNoise, _sample, clip_view)
