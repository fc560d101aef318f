"""Inverse heat dissipation: generate images by running the heat equation backwards.

    from sitegen.ihdm import load_model, reverse_process

Names are imported when they are first used, so that this package, and the model cards in it,
cost nothing where no model is run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sitegen.ihdm.card.card import ModelCard
    from sitegen.ihdm.card.schedule import BlurSchedule
    from sitegen.ihdm.checkpoints.loading import load_model
    from sitegen.ihdm.data.prior import read_prior
    from sitegen.ihdm.process.heat import dissipate
    from sitegen.ihdm.process.noise import independent, interpolate_noise
    from sitegen.ihdm.process.reverse import ddim_process, ddpm_process, reverse_process

__all__ = [
    "BlurSchedule",
    "ModelCard",
    "ddim_process",
    "ddpm_process",
    "dissipate",
    "independent",
    "interpolate_noise",
    "load_model",
    "read_prior",
    "reverse_process",
]

_HOMES = {
    "BlurSchedule": "card.schedule",
    "ModelCard": "card.card",
    "ddim_process": "process.reverse",
    "ddpm_process": "process.reverse",
    "dissipate": "process.heat",
    "independent": "process.noise",
    "interpolate_noise": "process.noise",
    "load_model": "checkpoints.loading",
    "read_prior": "data.prior",
    "reverse_process": "process.reverse",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
