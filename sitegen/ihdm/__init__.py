"""The public API of the model library.

    from sitegen.ihdm import load_model, reverse_process

Each name is imported when it is first used, so importing this package is cheap where no model is
run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sitegen.generative.card.card import BlurSchedule as BlurSchedule
    from sitegen.generative.card.card import ModelCard as ModelCard
    from sitegen.generative.data.prior import read_prior as read_prior
    from sitegen.generative.maths.heat import dissipate as dissipate
    from sitegen.generative.maths.noise import independent as independent
    from sitegen.generative.maths.noise import interpolate_noise as interpolate_noise
    from sitegen.generative.process.protocol import reverse_process as reverse_process
    from sitegen.sampling.hosted import load_model as load_model

_MODULES = {
    **dict.fromkeys(("BlurSchedule", "ModelCard"), "generative.card.card"),
    **dict.fromkeys(("independent", "interpolate_noise"), "generative.maths.noise"),
    "reverse_process": "generative.process.protocol",
    "dissipate": "generative.maths.heat",
    "load_model": "sampling.hosted",
    "read_prior": "generative.data.prior",
}
__all__ = [
    "BlurSchedule",
    "ModelCard",
    "dissipate",
    "independent",
    "interpolate_noise",
    "load_model",
    "read_prior",
    "reverse_process",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"sitegen.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
