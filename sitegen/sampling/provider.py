"""The provider of models for figures. Torch is imported when a network is first needed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from sitegen.core.compute import ComputeTarget
from sitegen.models.registry import ModelSource

if TYPE_CHECKING:
    from sitegen.sampling.models import Sampler


class ModelProvider:
    """The models of `sources`, each loaded once, on one device."""

    def __init__(self, sources: Mapping[str, ModelSource], compute_target: ComputeTarget) -> None:
        self._sources, self.compute_target = sources, compute_target
        self._samplers: dict[str, Sampler] = {}
        self._loading = threading.Lock()

    def sampler(self, name: str) -> Sampler:
        """Return the model of that name, loaded now or before.

        Raises as `load_sampler` does; for a recording, as `load_recorded` does.
        """
        with self._loading:
            if name not in self._samplers:
                self._samplers[name] = self._load(self._sources[name])
            return self._samplers[name]

    heat_sampler = sampler  # the name of 0.1, for figures of other packages

    def source(self, name: str) -> ModelSource:
        """Return the files of the model of that name."""
        return self._sources[name]

    def pace(self, name: str) -> float:
        """Return the seconds that a model takes for one image at one level, measured now."""
        return self.sampler(name).pace()

    def close(self) -> None:
        """End the processes of authors' samplers; no more models will be requested."""
        for sampler in self._samplers.values():
            if sampler.card.sampler is not None:
                sampler.model.host.close()

    def _load(self, source: ModelSource) -> Sampler:
        if "network" in source.card.abilities:
            return self._load_network(source)
        if source.sampler is not None:
            from sitegen.sampling.models import load_hosted

            return load_hosted(source)
        from sitegen.sampling.recorded import load_recorded

        return cast("Sampler", load_recorded(source))

    def _load_network(self, source: ModelSource) -> Sampler:
        from dataclasses import replace

        from sitegen.sampling.models import keep_freed_memory, load_sampler
        from sitegen.sampling.sharing import Sharing

        keep_freed_memory()
        known = next((each.sharing for each in self._networks()), None)
        loaded = load_sampler(source, self.compute_target)
        return replace(loaded, sharing=known or Sharing())

    def _networks(self) -> list[Sampler]:
        """The samplers that have a network."""
        return [each for each in self._samplers.values() if "network" in each.card.abilities]
