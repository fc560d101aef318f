"""What a build has before it: everything that the author wrote, read, and every figure keyed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sitegen.assembly import assemble
from sitegen.config import Site, load_site
from sitegen.errors import ConfigError
from sitegen.filming import naming
from sitegen.media import Record
from sitegen.models import ModelSource
from sitegen.pages import Page, read_pages
from sitegen.plan import Equipment, Job, environment, plan_figure
from sitegen.problems import known_words, told
from sitegen.recall import recalled, usable
from sitegen.source import shown
from sitegen.store import Store
from sitegen.tree import Tree


@dataclass(frozen=True)
class Options:
    """What the command line adds to `site.toml`."""

    equipment: Equipment
    output: Path | None = None
    only: tuple[str, ...] = ()
    offline: bool = False
    strict: bool = False
    dry_run: bool = False
    jobs: int = 1


Records = Mapping[str, Record]
"""What there is of the figures, by request."""


@dataclass(frozen=True)
class Work:
    """What a build has read, and where it reads and writes."""

    site: Site
    pages: tuple[Page, ...]
    sources: Mapping[str, ModelSource]
    jobs: tuple[Job, ...]
    options: Options
    output: Path

    def missing(self, records: Records) -> list[Job]:
        """The figures that there is no record of."""
        return [job for job in self.jobs if job.request not in records]

    def tree(self, records: Records) -> Tree:
        """The whole site, when every figure has its record."""
        return assemble(self.site, self.pages, self.jobs, records)

    @property
    def used(self) -> set[str]:
        """The models that a figure shows."""
        return {name for job in self.jobs for name in job.figure.models}

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


def prepare(config: Path, options: Options) -> Work:
    """Read everything that the author wrote, and key every figure.

    Raises ConfigError for mistakes of the author, RefusedError for models that cannot be used.
    """
    return prepare_site(load_site(config), options)


def prepare_site(site: Site, options: Options) -> Work:
    """The same for a site whose `site.toml` was read."""
    store = Store(site.cache_dir)
    sources = recalled(site, store)
    pages = read_pages(site, usable(sources, store).__contains__)
    # Links are followed now: the folder that is exchanged must be the real one.
    output = Path(os.path.realpath(options.output or site.output))
    return Work(site, pages, sources, _plan(pages, sources, options), options, output)


def _plan(
    pages: tuple[Page, ...], sources: Mapping[str, ModelSource], options: Options
) -> tuple[Job, ...]:
    known_environment = environment(options.equipment)
    jobs, faults = [], []
    for uri, figure in [(page.uri, figure) for page in pages for figure in page.figures]:
        try:
            with naming(figure):
                jobs.append(plan_figure(figure, uri, sources, known_environment))
        except ConfigError as error:
            faults.append(error)
    if faults:
        raise told(faults)
    known = [job.figure.id for job in jobs]
    for name in options.only:
        if name not in known:
            raise ConfigError(f"--only {name}: no page has such a figure{known_words(name, known)}")
    return tuple(jobs)


def found(jobs: Sequence[Job], store: Store, options: Options) -> dict[str, Record]:
    """What the store has of the figures, each read whole."""
    requests = {job.request: job for job in jobs}
    stored = ((request, _stored(store, job, options)) for request, job in requests.items())
    return {request: record for request, record in stored if record is not None}


def _stored(store: Store, job: Job, options: Options) -> Record | None:
    """The record of a figure: this machine's, or any one where it cannot be filmed."""
    keys = [job.key] if job.key else []
    if options.offline or not keys or not job.filmable:
        keys += [key for key in store.keys(f"{job.request}-") if key not in keys]
    return next((record for key in keys if (record := store.get(key)) is not None), None)
