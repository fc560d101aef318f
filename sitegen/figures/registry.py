"""The kinds of figures that a page can call: built-in ones, and those of other packages.

Each built-in kind is the `KIND` of the module of its name. A package adds one by an entry point of
the group `sitegen.figures` that names a `FigureKind` (docs/pages/extend.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from traceback import format_exception

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from sitegen.core.diagnostics import SourceLocation, fields_of
from sitegen.core.errors import ConfigError, PlugInError, SitegenError
from sitegen.core.source import raised_at
from sitegen.core.validation import Caption, Slug, Text, checked_call
from sitegen.figures.base import RULES, Figure, FigureKind, ModelFreeSpec

GROUP = "sitegen.figures"
"""The entry points by which other packages bring kinds."""

_OURS = (
    *("trajectories", "shared_initial_state", "hierarchy", "interpolation"),
    *("shared_noise", "process", "spectra", "smoothness", "sampler"),
)


@cache
def figure_kinds() -> Mapping[str, FigureKind]:
    """Return every kind by its name: the built-in ones, then those of other packages by name.

    Raises ConfigError, naming the package, for one that cannot be loaded or whose name is taken.
    """
    kinds = {name: import_module(f"sitegen.figures.{name}").KIND for name in _OURS}
    for entry in _plug_ins():
        kind = _load(entry)
        if kind.name in kinds:
            raise _broken(entry, f"there is a figure {kind.name} already")
        kinds[kind.name] = kind
    return kinds


def _plug_ins() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


@cache
def package_of(kind: str) -> str | None:
    """Return the name of the package that brings a kind; None for a kind of sitegen's own."""
    if kind in _OURS:
        return None
    dists = {entry.name: entry.dist for entry in _plug_ins()}
    dist = dists.get(kind)
    return dist.name if dist else kind


@contextmanager
def plug_in_errors(kind: str, place: str = "") -> Iterator[None]:
    """Turn an exception of another package's kind into a PlugInError of one line.

    place: words before the message, such as the page and the line
    """
    try:
        yield
    except (Exception, SystemExit) as error:  # the code of another package may raise anything
        package = package_of(kind)
        if package is None or isinstance(error, SitegenError):
            raise
        words = " ".join(f"{type(error).__name__}: {error}{raised_at(error)}".split())
        failed = PlugInError(f"{place}{kind} of the package {package} failed: {words}")
        failed.trace = "".join(format_exception(error)).rstrip()
        raise failed from error


def _load(entry: EntryPoint) -> FigureKind:
    """Return the kind that an entry point names; errors are reported as the package's."""
    try:
        with plug_in_errors(entry.name):
            kind = entry.load()
    except PlugInError as error:
        cause = error.__cause__
        assert cause is not None
        raise _broken(entry, f"cannot be loaded: {type(cause).__name__}: {cause}") from cause
    if not isinstance(kind, FigureKind) or kind.name != entry.name or not kind.name.isidentifier():
        raise _broken(entry, f"is no FigureKind whose name is {entry.name}")
    if not isinstance(kind.spec, type):
        raise _broken(entry, "has a spec that is not a class")
    if "<locals>" in kind.spec.__qualname__:  # another process could not find it
        raise _broken(entry, f"has the spec {kind.spec.__qualname__}; define it outside functions")
    return kind


def _broken(entry: EntryPoint, why: str) -> ConfigError:
    place = f"{entry.name} of {entry.dist.name if entry.dist else 'a package'} ({entry.value})"
    return ConfigError(f"the figure {place}: {why}; mend the package, or uninstall it")


@validated(frozen=True, config=RULES)
class _Words:
    """Arguments that every figure call accepts in addition to its spec."""

    caption: Caption = Field(default="", description="The words under the figure.")
    alt: Text | None = Field(default=None, description="What is to be seen, in words.")
    id: Slug | None = Field(default=None, description="The figure's name in files and links.")


def make_figure(
    kind: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    place: SourceLocation,
    models: Collection[str] | None = None,
    root: Path = Path(),
) -> Figure:
    """Check a figure call, and raise one ConfigError for all of its errors.

    If the code of a plug-in fails, the figure has that `fault` and no arguments, so that the other
    figures of the page can be made. Its id is that of a figure of the models in the call.

    `models` are the names of the site's models, if known; `root` is the site's folder.
    """
    kinds = [figure_kinds()[kind].spec, _Words]
    known = {"models": models, "root": root}
    fault, called = None, tuple[str, ...]()
    try:
        with plug_in_errors(kind):
            spec, said = checked_call(kind, kinds, args, kwargs, known, place)
            if not all(isinstance(name, str) for name in spec.models):
                raise TypeError(f"models = {spec.models!r} has to be a tuple of names")
    except PlugInError as error:
        own = {name: value for name, value in kwargs.items() if name in fields_of(_Words)}
        (said,) = checked_call(kind, [_Words], (), own, known, place)
        spec, fault = ModelFreeSpec(), error
        words = (each for each in (*args, *kwargs.values()) if isinstance(each, str))
        called = tuple(each for each in words if each in (models or ()))
    figure = Figure(kind, said.id or "", spec, said.caption, said.alt, place, root)
    return replace(figure, fault=fault, called=called)
