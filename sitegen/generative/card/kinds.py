"""The kinds of processes: a module and a class for each, imported when a card of it is read."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from sitegen.core.diagnostics import known_words
from sitegen.core.errors import ConfigError

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


def kind_class(kind: Any) -> type[Any]:
    """Return the class of the cards of a kind.

    Raises ConfigError for an unknown kind, and for a plug-in that is no card.
    """
    # Entry points are only looked at for kinds of others: finding them takes some milliseconds.
    if isinstance(kind, str) and kind in KINDS:
        module, _, name = KINDS[kind].partition(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    plugins = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in plugins:
        hint = known_words(str(kind), {**KINDS, **plugins})
        raise ConfigError(f'kind = "{kind}": unknown kind{hint}')
    plugin: type[Any] = plugins[kind].load()
    if not hasattr(plugin, "from_toml"):
        raise ConfigError(f'kind = "{kind}": is a sampler, not a kind of card')
    return plugin
