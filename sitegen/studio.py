"""The bridge to the model: a figure becomes a shot, whose frames are made as they are taken.

States stream through it a level at a time, so memory does not grow with the number of levels; the
network sees a few samples at a time, so it hardly grows with the number of samples either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from sitegen.actors import (
    Actor,
    Cast,
    DiffusionActor,
    load_actor,
    load_diffusion,
    require_device,
    seconds_an_image,
)
from sitegen.figures import Figure
from sitegen.memory import keep_freed_memory
from sitegen.models import ModelSource
from sitegen.plan import Equipment, Shot
from sitegen.shots.grids import shared_initial_state, trajectories
from sitegen.shots.interpolations import interpolation
from sitegen.shots.process import process
from sitegen.shots.shared_noise import shared_noise
from sitegen.shots.smoothness import smoothness
from sitegen.shots.spectra import spectra
from sitegen.shots.trees import hierarchy

SHOTS: Mapping[str, Callable[[Cast, Figure], Shot]] = MappingProxyType(
    {
        "trajectories": trajectories,
        "shared_initial_state": shared_initial_state,
        "hierarchy": hierarchy,
        "interpolation": interpolation,
        "shared_noise": shared_noise,
        "process": process,
        "spectra": spectra,
        "smoothness": smoothness,
    }
)
"""How each kind of figure is filmed."""


class Studio:
    """Films figures of the models `sources`, each loaded once, on one device.

    Raises PlatformError when the device is not there.
    """

    def __init__(self, sources: Mapping[str, ModelSource], equipment: Equipment) -> None:
        require_device(equipment.device)
        keep_freed_memory()
        self._sources = sources
        self._equipment = equipment
        self._actors: dict[str, Actor] = {}
        self._diffusion: dict[str, DiffusionActor] = {}
        self._loading = threading.Lock()

    def shoot(self, figure: Figure) -> Shot:
        """Prepare a figure; its frames are made as they are taken.

        Raises RefusedError for weights or priors that are missing, damaged or do not fit.
        """
        shot = SHOTS[figure.kind](self, figure)
        return replace(shot, parameters={**shot.parameters, "precision": self._equipment.precision})

    def pace(self, model: str) -> float:
        """Seconds that a model takes for one image at one level, measured now.

        Raises as `shoot` does.
        """
        load = self.diffusion if self._sources[model].card.kind == "ddpm" else self.actor
        return seconds_an_image(load(model).model)

    def actor(self, name: str) -> Actor:
        """The model of that name, loaded now or before."""
        with self._loading:
            if name not in self._actors:
                self._actors[name] = load_actor(self._sources[name], self._equipment)
            return self._actors[name]

    def diffusion(self, name: str) -> DiffusionActor:
        """The DDPM of that name, likewise."""
        with self._loading:
            if name not in self._diffusion:
                self._diffusion[name] = load_diffusion(self._sources[name], self._equipment)
            return self._diffusion[name]

    def source(self, name: str) -> ModelSource:
        """The files of the model of that name."""
        return self._sources[name]
