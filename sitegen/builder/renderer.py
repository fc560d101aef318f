"""The bridge to the model: a figure becomes a job, whose frames are made as they are taken.

States stream through it a level at a time, so memory does not grow with the number of levels; the
network sees a few samples at a time, so it hardly grows with the number of samples either.
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
    """Renders figures of the models that it is given, each loaded once, on one device."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure; its frames are made as they are taken.

        Raises RefusedError for weights or priors that are missing, damaged or do not fit.
        """
        return _job(self, figure)


class ClusterRenderer(ClusterModels):
    """Renders figures whose samples are computed in a cluster."""

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure. Raises as the other does, and what the cluster is refused for."""
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
    """A renderer with the cluster at an address; "local" starts one of `jobs` workers here.

    asked: the device and the precision as the command line has them
    Raises PlatformError where nobody answers or dask is missing, RefusedError where no worker fits.
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
