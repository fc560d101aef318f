"""The bridge to the model: a figure becomes a job, whose frames are made as they are taken.

States stream through it a level at a time, so memory does not grow with the number of levels; the
network sees a few samples at a time, so it hardly grows with the number of samples either.
"""

from sitegen.figures.base import Figure
from sitegen.figures.registry import figure_kinds
from sitegen.media.jobs import RenderJob
from sitegen.sampling.models import ModelProvider


class FigureRenderer(ModelProvider):
    """Renders figures of the models that it is given, each loaded once, on one device."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure; its frames are made as they are taken.

        Raises RefusedError for weights or priors that are missing, damaged or do not fit.
        """
        return figure_kinds()[figure.kind].sample(self, figure)
