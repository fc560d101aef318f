"""Inverse heat dissipation: generate images by running the heat equation backwards.

    from sitegen.ihdm import load_model, reverse_process

Names are imported when they are first used, so that this package, and the model cards in it,
cost nothing where no model is run. Of sitegen it knows `core` alone: no site, figure or page.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sitegen.ihdm.card.card import BlurSchedule as BlurSchedule
    from sitegen.ihdm.card.card import ModelCard as ModelCard
    from sitegen.ihdm.checkpoints.loading import load_model as load_model
    from sitegen.ihdm.data.prior import read_prior as read_prior
    from sitegen.ihdm.process.heat import dissipate as dissipate
    from sitegen.ihdm.process.noise import independent as independent
    from sitegen.ihdm.process.noise import interpolate_noise as interpolate_noise
    from sitegen.ihdm.process.reverse import ddim_process as ddim_process
    from sitegen.ihdm.process.reverse import ddpm_process as ddpm_process
    from sitegen.ihdm.process.reverse import reverse_process as reverse_process

_HOMES = {
    **dict.fromkeys(("BlurSchedule", "ModelCard"), "card.card"),
    **dict.fromkeys(("independent", "interpolate_noise"), "process.noise"),
    **dict.fromkeys(("ddim_process", "ddpm_process", "reverse_process"), "process.reverse"),
    "dissipate": "process.heat",
    "load_model": "checkpoints.loading",
    "read_prior": "data.prior",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
