"""The kinds of figures that a page can call: built-in ones, and those of other packages.

A package adds one by an entry point of the group `sitegen.figures` that names a subclass of
`FigureKind`; the name of the entry point is that of the function (docs/pages/extend.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from traceback import format_exception

from sitegen.core.errors import ConfigError, PlugInError, SitegenError
from sitegen.core.source import raised_at
from sitegen.figures.base import FigureKind

GROUP = "sitegen.figures"
"""The entry points by which other packages bring kinds."""

_OURS = {
    "trajectories": "Trajectories",
    "shared_initial_state": "SharedInitialState",
    "hierarchy": "Hierarchy",
    "interpolation": "Interpolation",
    "shared_noise": "SharedNoise",
    "process": "Process",
    "spectra": "Spectra",
    "ladder": "Ladder",
    "renoise": "Renoise",
    "gallery": "Gallery",
    "sampler": "PageSampler",
    "atlas": "Atlas",
}
"""The built-in kinds: the modules of this package and their classes."""


def figure_kind(name: str) -> type[FigureKind]:
    """Return the kind of that name; a built-in one is imported when a page first calls it."""
    if name not in _OURS:
        return plug_in_kinds()[name]
    kind: type[FigureKind] = getattr(import_module(f"sitegen.figures.{name}"), _OURS[name])
    return kind


def kind_names() -> tuple[str, ...]:
    """Return the names of all kinds: the built-in ones, then those of other packages by name.

    Raises ConfigError as `plug_in_kinds` does.
    """
    return (*_OURS, *plug_in_kinds())


def figure_kinds() -> Mapping[str, type[FigureKind]]:
    """Return every kind by its name, in the order of `kind_names`."""
    return {name: figure_kind(name) for name in kind_names()}


@cache
def plug_in_kinds() -> Mapping[str, type[FigureKind]]:
    """Return the kinds of other packages by name.

    Raises ConfigError, naming the package, for one that cannot be loaded or whose name is taken.
    """
    kinds: dict[str, type[FigureKind]] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in _OURS or entry.name in kinds:
            raise _broken(entry, f"there is a figure {entry.name} already")
        kinds[entry.name] = _load(entry)
    return kinds


@cache
def package_of(kind: str) -> str | None:
    """Return the name of the package that brings a kind; None for a kind of sitegen's own."""
    if kind in _OURS:
        return None
    dists = {entry.name: entry.dist for entry in entry_points(group=GROUP)}
    dist = dists.get(kind)
    return dist.name if dist else kind


@contextmanager
def plug_in_errors(kind: str, prefix: str = "") -> Iterator[None]:
    """Turn an exception of another package's kind into a PlugInError of one line."""
    try:
        yield
    except (Exception, SystemExit) as error:  # the code of another package may raise anything
        package = package_of(kind)
        if package is None or isinstance(error, SitegenError):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}{raised_at(error)}".split())
        failed = PlugInError(f"{prefix}{kind} of the package {package} failed: {reason}")
        failed.trace = "".join(format_exception(error)).rstrip()
        raise failed from error


def _load(entry: EntryPoint) -> type[FigureKind]:
    """Return the kind that an entry point names; errors are reported as the package's."""
    try:
        with plug_in_errors(entry.name):
            kind = entry.load()
    except PlugInError as error:
        cause = error.__cause__
        assert cause is not None
        raise _broken(entry, f"cannot be loaded: {type(cause).__name__}: {cause}") from cause
    if not (isinstance(kind, type) and issubclass(kind, FigureKind)):
        raise _broken(entry, "is not a subclass of FigureKind")
    return kind


def _broken(entry: EntryPoint, why: str) -> ConfigError:
    origin = f"{entry.name} of {entry.dist.name if entry.dist else 'a package'} ({entry.value})"
    return ConfigError(f"the figure {origin}: {why}; mend the package, or uninstall it")
