"""What a build has before it: everything that the author wrote, read, and every figure keyed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sitegen.build.assembly import assemble
from sitegen.build.cache import Store
from sitegen.build.digests import usable, with_known_digests
from sitegen.build.executor import naming
from sitegen.build.output import Tree
from sitegen.build.plan import PlannedFigure, environment, plan_figure
from sitegen.config.loader import load_site
from sitegen.config.schema import Site
from sitegen.content.pages import Page, read_pages
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import config_error, known_words
from sitegen.core.errors import ConfigError
from sitegen.core.source import shown
from sitegen.media.manifest import Record
from sitegen.models.registry import ModelSource


@dataclass(frozen=True)
class BuildOptions:
    """What the command line adds to `site.toml`."""

    compute_target: ComputeTarget
    output: Path | None = None
    only: tuple[str, ...] = ()
    offline: bool = False
    strict: bool = False
    dry_run: bool = False
    jobs: int = 1


Records = Mapping[str, Record]
"""What there is of the figures, by request."""


@dataclass(frozen=True)
class BuildContext:
    """What a build has read, and where it reads and writes."""

    site: Site
    pages: tuple[Page, ...]
    sources: Mapping[str, ModelSource]
    figures: tuple[PlannedFigure, ...]
    options: BuildOptions
    output: Path

    def missing(self, records: Records) -> list[PlannedFigure]:
        """The figures that there is no record of."""
        return [planned for planned in self.figures if planned.request_digest not in records]

    def tree(self, records: Records) -> Tree:
        """The whole site, when every figure has its record."""
        return assemble(self.site, self.pages, self.figures, records)

    @property
    def used(self) -> set[str]:
        """The models that a figure shows."""
        return {name for planned in self.figures for name in planned.figure.models}

    @property
    def used_sources(self) -> tuple[ModelSource, ...]:
        """Where their parts lie."""
        return tuple(self.sources[name] for name in sorted(self.used))

    def left_out(self) -> tuple[str, ...]:
        """The models that no figure can show, each with the file that it lacks."""
        able = self.used | usable(self.sources, Store(self.site.cache_dir))
        lack = {name: source.lacking for name, source in self.sources.items()}
        return tuple(
            f"{name} ({shown(path)})"
            for name, path in lack.items()
            if path is not None and name not in able
        )


def prepare(config: Path, options: BuildOptions) -> BuildContext:
    """Read everything that the author wrote, and key every figure.

    Raises ConfigError for mistakes of the author, RefusedError for models that cannot be used.
    """
    return prepare_site(load_site(config), options)


def prepare_site(site: Site, options: BuildOptions) -> BuildContext:
    """The same for a site whose `site.toml` was read."""
    store = Store(site.cache_dir)
    sources = with_known_digests(site, store)
    pages = read_pages(site, usable(sources, store).__contains__)
    # Links are followed now: the folder that is exchanged must be the real one.
    output = Path(os.path.realpath(options.output or site.output))
    return BuildContext(site, pages, sources, _plan(pages, sources, options), options, output)


def _plan(
    pages: tuple[Page, ...], sources: Mapping[str, ModelSource], options: BuildOptions
) -> tuple[PlannedFigure, ...]:
    known_environment = environment(options.compute_target)
    figures, faults = [], []
    for uri, figure in [(page.uri, figure) for page in pages for figure in page.figures]:
        try:
            with naming(figure):
                figures.append(plan_figure(figure, uri, sources, known_environment))
        except ConfigError as error:
            faults.append(error)
    if faults:
        raise config_error(faults)
    known = [planned.figure.id for planned in figures]
    for name in options.only:
        if name not in known:
            raise ConfigError(f"--only {name}: no page has such a figure{known_words(name, known)}")
    return tuple(figures)


def found(
    figures: Sequence[PlannedFigure], store: Store, options: BuildOptions
) -> dict[str, Record]:
    """What the store has of the figures, each read whole."""
    requests = {planned.request_digest: planned for planned in figures}
    stored = (
        (request_digest, _stored(store, planned, options))
        for request_digest, planned in requests.items()
    )
    return {request_digest: record for request_digest, record in stored if record is not None}


def _stored(store: Store, planned: PlannedFigure, options: BuildOptions) -> Record | None:
    """The record of a figure: this machine's, or any one where it cannot be rendered."""
    keys = [planned.key] if planned.key else []
    if options.offline or not keys or not planned.can_render:
        keys += [key for key in store.keys(f"{planned.request_digest}-") if key not in keys]
    return next((record for key in keys if (record := store.get(key)) is not None), None)
