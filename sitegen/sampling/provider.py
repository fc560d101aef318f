"""The provider of models for figures. Torch is imported when a network is first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from sitegen.core.compute import ComputeTarget
from sitegen.models.registry import ModelSource

if TYPE_CHECKING:
    from sitegen.sampling.models import Executor, Sampler


class ModelProvider:
    """The models of `sources`, each loaded once, on one device.

    remote: returns the executor of a model whose samples are computed elsewhere; this process then
        loads the model only for its prior and statistics
    """

    def __init__(
        self,
        sources: Mapping[str, ModelSource],
        compute_target: ComputeTarget,
        remote: Callable[[ModelSource], Executor] | None = None,
    ) -> None:
        self._sources, self.compute_target, self._remote = sources, compute_target, remote
        self._samplers: dict[tuple[str, int | None, str | None], Sampler] = {}
        self._loading = threading.Lock()

    def sampler(
        self, name: str, steps: int | None = None, sampler_name: str | None = None
    ) -> Sampler:
        """Return the model of that name, loaded now or before, with other steps or sampler.

        Raises as `load_sampler` and `resampled` do; for a recording, as `load_recorded` does.
        """
        with self._loading:
            key = name, steps, sampler_name
            if key not in self._samplers:
                source = self._sources[name]
                if steps or sampler_name:
                    from sitegen.generative.checkpoints.resampling import resampled

                    source = replace(source, card=resampled(source.card, steps, sampler_name))
                if source.sampler is not None:
                    from sitegen.sampling.hosted import load_hosted

                    loaded = load_hosted(source)
                elif "network" not in source.card.abilities:
                    from sitegen.sampling.recorded import load_recorded

                    loaded = cast("Sampler", load_recorded(source))
                else:
                    from sitegen.sampling.models import load_sampler

                    if self._remote is None:
                        loaded = load_sampler(source, self.compute_target)
                    else:
                        loaded = load_sampler(
                            source, ComputeTarget("cpu", "float32"), engines=False
                        )
                        loaded = replace(loaded, executor=self._remote(source))
                self._samplers[key] = loaded
            return self._samplers[key]

    def source(self, name: str) -> ModelSource:
        """Return the files of the model of that name."""
        return self._sources[name]
