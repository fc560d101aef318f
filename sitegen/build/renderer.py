"""The bridge to the model: a figure becomes a job, whose frames are made as they are taken.

States stream through it a level at a time, so memory does not grow with the number of levels; the
network sees a few samples at a time, so it hardly grows with the number of samples either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from sitegen.core.compute import ComputeTarget
from sitegen.figures.base import Figure
from sitegen.figures.registry import figure_kinds
from sitegen.ihdm.process.device import require_device
from sitegen.media.jobs import RenderJob
from sitegen.models.registry import ModelSource
from sitegen.sampling.memory import keep_freed_memory
from sitegen.sampling.models import (
    DdpmSampler,
    HeatSampler,
    load_ddpm_sampler,
    load_heat_sampler,
    seconds_an_image,
)

T = TypeVar("T")


class FigureRenderer:
    """Renders figures of the models `sources`, each loaded once, on one device.

    Raises PlatformError when the device is not there.
    """

    def __init__(self, sources: Mapping[str, ModelSource], compute_target: ComputeTarget) -> None:
        require_device(compute_target.device)
        keep_freed_memory()
        self._sources = sources
        self._compute_target = compute_target
        self._heat_samplers: dict[str, HeatSampler] = {}
        self._ddpm_samplers: dict[str, DdpmSampler] = {}
        self._loading = threading.Lock()

    def render_job(self, figure: Figure) -> RenderJob:
        """Prepare a figure; its frames are made as they are taken.

        Raises RefusedError for weights or priors that are missing, damaged or do not fit.
        """
        return figure_kinds()[figure.kind].sample(self, figure)

    def pace(self, model: str) -> float:
        """Seconds that a model takes for one image at one level, measured now.

        Raises as `render_job` does.
        """
        load = self.ddpm_sampler if self._sources[model].card.kind == "ddpm" else self.heat_sampler
        return seconds_an_image(load(model).model)

    def heat_sampler(self, name: str) -> HeatSampler:
        """The model of that name, loaded now or before."""
        return self._once(self._heat_samplers, name, load_heat_sampler)

    def ddpm_sampler(self, name: str) -> DdpmSampler:
        """The DDPM of that name, likewise."""
        return self._once(self._ddpm_samplers, name, load_ddpm_sampler)

    def _once(
        self, known: dict[str, T], name: str, load: Callable[[ModelSource, ComputeTarget], T]
    ) -> T:
        with self._loading:
            if name not in known:
                known[name] = load(self._sources[name], self._compute_target)
            return known[name]

    def source(self, name: str) -> ModelSource:
        """The files of the model of that name."""
        return self._sources[name]
