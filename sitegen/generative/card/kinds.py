"""The kinds of processes: a module and a class for each, imported when a card of it is read."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from sitegen.core.diagnostics import known_words
from sitegen.core.errors import ConfigError

if TYPE_CHECKING:
    from sitegen.generative.card.card import ModelCard

GROUP = "sitegen.processes"
"""Group of entry points by which other packages add kinds."""
_PROCESS = "sitegen.generative.process"
KINDS: dict[str, str] = {
    "ihdm": f"{_PROCESS}.dissipation:HeatDissipation",
    "ddpm": f"{_PROCESS}.ddpm:Ddpm",
    "flow": f"{_PROCESS}.flow:Flow",
    "solver": f"{_PROCESS}.solver:Solved",
    "edm": f"{_PROCESS}.edm:Edm",
    "consistency": f"{_PROCESS}.consistency:Consistency",
    "sde": f"{_PROCESS}.sde:ScoreSde",
    "cold": f"{_PROCESS}.cold:Cold",
    "blurring": f"{_PROCESS}.blurring:Blurring",
    "sampler": f"{_PROCESS}.hosted:Hosted",
    "recording": f"{_PROCESS}.recorded:Recorded",
}
"""The class of each kind of card, as an entry point names it."""


def kind_class(kind: Any) -> type[ModelCard]:
    """Return the class of the cards of a kind. Raises ConfigError for an unknown one."""
    module, _, name = KINDS.get(kind, "").partition(":") if isinstance(kind, str) else ("",) * 3
    if name:
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    others = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind in others:
        return others[kind].load()  # type: ignore[no-any-return]
    raise ConfigError(f'kind = "{kind}": unknown kind{known_words(str(kind), {**KINDS, **others})}')
