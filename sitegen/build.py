"""The build: plan, film what is missing, render, and put the new site in the place of the old.

Nothing is written into the site's folder until all of it is ready; then the two are exchanged in
one step. A build that would change nothing touches nothing.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sitegen.assembly import assemble
from sitegen.config import Site, load_site
from sitegen.encode import preflight
from sitegen.errors import ConfigError, LockedError, TargetError
from sitegen.files import lock, sweep
from sitegen.filming import CameraFactory, Crew, naming
from sitegen.media import Record
from sitegen.missing import refuse_unfilmable
from sitegen.models import ModelSource, site_models
from sitegen.pages import Page, read_pages
from sitegen.plan import Equipment, Job, environment, plan_figure
from sitegen.problems import known_words, told
from sitegen.report import Reporter
from sitegen.source import shown
from sitegen.store import Store
from sitegen.tree import (
    Tree,
    holds,
    put,
    require_ours,
    require_room,
    require_writable,
    weight,
)


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


@dataclass(frozen=True)
class Summary:
    """What a build did; `changed` is False when the site was already as it should be."""

    output: Path
    filmed: tuple[str, ...]
    reused: tuple[str, ...]
    missing: tuple[str, ...]
    changed: bool
    bytes: int
    rehearsed: bool = False
    left_out: tuple[str, ...] = ()
    approximate: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The summary as the command line prints it."""
        counts = [
            f"{len(self.filmed)} filmed",
            f"{len(self.reused)} reused",
            *([f"{len(self.missing)} missing: {', '.join(self.missing)}"] if self.missing else []),
        ]
        told = [f"figures: {', '.join(counts)}", *self._models()]
        if self.missing or self.rehearsed:
            return [*told, f"{self.output}: left as it was"]
        state = "written" if self.changed else "already up to date"
        page = (self.output / "index.html").as_uri()
        return [*told, f"site: {self.bytes / 1e6:.1f} MB, {state}", f"look at it: {page}"]

    def _models(self) -> list[str]:
        """What to know of the models: which are not there, and which start from guesses."""
        about = {
            "left out, because a file is not there": self.left_out,
            "starting from approximate flat images": self.approximate,
        }
        return [f"{words}: {', '.join(names)}" for words, names in about.items() if names]


Records = Mapping[str, Record]
"""What there is of the figures, by request."""


@dataclass(frozen=True)
class _Work:
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

    def left_out(self) -> tuple[str, ...]:
        """The models that no figure can show, each with the file that it lacks."""
        lack = {name: source.lacking for name, source in self.sources.items()}
        return tuple(
            f"{name} ({shown(path)})"
            for name, path in lack.items()
            if path is not None and name not in self._used()
        )

    def _used(self) -> set[str]:
        return {name for job in self.jobs for name in job.figure.models}

    def summary(self, filmed: Collection[str], records: Records, size: int = 0) -> Summary:
        """What to tell at the end; `filmed` are requests, `size` is that of the site."""
        kept = [job for job in self.jobs if job.request in records]
        return Summary(
            self.output,
            filmed=tuple(job.figure.id for job in kept if job.request in filmed),
            reused=tuple(job.figure.id for job in kept if job.request not in filmed),
            missing=tuple(job.figure.id for job in self.missing(records)),
            changed=False,
            bytes=size,
            left_out=self.left_out(),
            approximate=tuple(
                name for name in sorted(self._used()) if self.sources[name].approximate
            ),
        )


def build(config: Path, options: Options, camera: CameraFactory, report: Reporter) -> Summary:
    """Build the site of `config`, or with `dry_run` tell what would be filmed.

    Raises ConfigError for mistakes of the author, RefusedError for models that cannot be used,
    TargetError for figures that cannot be made, PlatformError for what the machine lacks,
    LockedError while another build is at work here. Whatever is raised, the old site stays.
    """
    work = _prepare(config, options)
    if options.strict and (absent := work.left_out()):
        raise TargetError(f"--strict: models of site.toml are not there: {', '.join(absent)}")
    records = _found(work.jobs, Store(work.site.cache_dir, report.warn), options)
    if options.dry_run:
        return _rehearse(work, records, report)
    if (summary := _unchanged(work, records)) is not None:
        _refuse_warnings(report, options)
        return summary
    require_ours(work.output)
    with _locked(work.site):
        return _work_on(work, records, camera, report)


def _prepare(config: Path, options: Options) -> _Work:
    """Read everything that the author wrote, and key every figure."""
    site = load_site(config)
    sources = site_models(site)
    usable = {name for name, source in sources.items() if source.available}
    pages = read_pages(site, usable.__contains__)
    # Links are followed now: the folder that is exchanged must be the real one.
    output = Path(os.path.realpath(options.output or site.output))
    return _Work(site, pages, sources, _plan(pages, sources, options), options, output)


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


def _found(jobs: Sequence[Job], store: Store, options: Options) -> dict[str, Record]:
    """What the store has of the figures, each read whole."""
    requests = {job.request: job for job in jobs}
    found = ((request, _stored(store, job, options)) for request, job in requests.items())
    return {request: record for request, record in found if record is not None}


def _stored(store: Store, job: Job, options: Options) -> Record | None:
    """The record of a figure: this machine's, or any one where nothing can be filmed."""
    keys = [job.key] if job.key else []
    if options.offline or not keys:
        keys += [key for key in store.keys(f"{job.request}-") if key not in keys]
    return next((record for key in keys if (record := store.get(key)) is not None), None)


def _unchanged(work: _Work, records: Records) -> Summary | None:
    """The summary where the site is as it should be; what killed builds left goes."""
    if work.missing(records):
        return None
    tree = work.tree(records)
    if not holds(work.output, tree):
        return None
    _sweep(work)
    return work.summary((), records, weight(tree))


def _work_on(work: _Work, records: Records, camera: CameraFactory, report: Reporter) -> Summary:
    """Film what is missing and put the site in place; the lock is held."""
    require_room(work.output)
    require_writable(work.site.cache_dir)
    _sweep(work)
    # Another build may have filmed some of it before this one had the lock.
    store = Store(work.site.cache_dir)
    records = {**records, **_found(work.missing(records), store, work.options)}
    filmed = _film(work, records, camera, report)
    records = {**records, **filmed}
    _refuse_warnings(report, work.options)
    if work.missing(records):
        return work.summary(filmed, records)
    tree = work.tree(records)
    changed = put(tree, work.output)
    return replace(work.summary(filmed, records, weight(tree)), changed=changed)


def _sweep(work: _Work) -> None:
    Store(work.site.cache_dir).sweep()
    for folder in (work.site.cache_dir, work.output.parent):
        sweep(folder)


def _refuse_warnings(report: Reporter, options: Options) -> None:
    if options.strict and report.warnings:
        raise TargetError(
            f"--strict: {report.warnings} warning(s), see above; the site is as it was"
        )


def _film(work: _Work, records: Records, camera: CameraFactory, report: Reporter) -> Records:
    """Film what is missing and the command line did not leave out."""
    options = work.options
    missing = work.missing(records)
    wanted = [job for job in missing if not options.only or job.figure.id in options.only]
    chosen = list({job.request: job for job in wanted}.values())  # one of those that are alike
    if not chosen:
        return {}
    refuse_unfilmable(chosen, Store(work.site.cache_dir), offline=options.offline)
    for job in chosen:
        with naming(job.figure):
            for name in job.figure.models:
                work.sources[name].require_usable()
    preflight()
    crew = Crew(camera(work.sources, options.equipment), Store(work.site.cache_dir), report)
    return crew.film(chosen, options.jobs)


def _rehearse(work: _Work, records: Records, report: Reporter) -> Summary:
    """Tell what would be filmed."""
    for job in work.missing(records):
        place = job.figure.place
        report.note(f"would film {job.figure.id} ({place.file}:{place.line}), {job.levels} steps")
    return replace(work.summary((), records), rehearsed=True)


@contextmanager
def _locked(site: Site) -> Iterator[None]:
    try:
        with lock(site.cache_dir / "lock"):
            yield
    except LockedError as error:
        raise LockedError(f"{site.root}: {error}") from None
