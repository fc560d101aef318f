"""Figures as jobs of a model; a job renders each frame when it is requested.

Jobs hold the states of one level at a time, so memory does not grow with the number of levels. The
network evaluates a few samples at a time, so memory hardly grows with their number either.
"""

from collections.abc import Mapping
from contextlib import ExitStack

from sitegen.cluster.client import Cluster, connect
from sitegen.cluster.local import end, start
from sitegen.cluster.place import ClusterModels
from sitegen.core.progress import Reporter
from sitegen.figures.base import Figure
from sitegen.figures.registry import figure_kinds
from sitegen.media.jobs import RenderJob
from sitegen.models.registry import ModelSource
from sitegen.sampling.provider import ModelProvider


class FigureRenderer(ModelProvider):
    """Renders figures on one device; loads each model once."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure; its frames are rendered when they are requested.

        Raises RefusedError for weights or priors that are missing, damaged or incompatible.
        """
        return _job(self, figure)


class ClusterRenderer(ClusterModels):
    """Renders figures with samples from a cluster."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure. Raises as `FigureRenderer.render_job` does, and errors of the
        cluster.
        """
        return _job(self, figure)


def _job(models: ModelProvider, figure: Figure) -> RenderJob:
    return figure_kinds()[figure.kind].sample(models, figure)


def cluster_renderer(
    sources: Mapping[str, ModelSource],
    address: str,
    report: Reporter,
    asked: tuple[str, str],
    jobs: int = 1,
) -> ClusterRenderer:
    """Return a renderer for the cluster at an address; "local" starts one of `jobs` workers here.

    asked: device and precision from the command line
    Raises PlatformError if nothing answers there or dask is missing, RefusedError if no worker is
    compatible.
    """
    with ExitStack() as undo:
        own = start(jobs, asked[0]) if address == "local" else None
        if own:
            undo.callback(end, own)
        client = connect(own.scheduler_address if own else address)
        undo.callback(client.close, timeout=2)
        cluster = Cluster(client, address, report, *asked)
        undo.pop_all()
    if own:
        cluster.ending.callback(end, own)
    return ClusterRenderer(sources, cluster)
