"""The build: plan, film what is missing, render, and put the new site in the place of the old.

Nothing is written into the site's folder until all of it is ready; then the two are exchanged in
one step. A build that would change nothing touches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from sitegen.config import Site
from sitegen.encode import preflight
from sitegen.errors import LockedError, TargetError
from sitegen.files import lock, sweep
from sitegen.filming import CameraFactory, Crew, naming
from sitegen.missing import refuse_unfilmable
from sitegen.plan import Job
from sitegen.recall import keep_in_mind, out_of_mind
from sitegen.report import Reporter, duration
from sitegen.speed import Speeds
from sitegen.store import Store
from sitegen.summary import Summary, summarise
from sitegen.tree import holds, put, require_ours, require_room, require_writable, weight
from sitegen.work import Options, Records, Work, found, prepare

__all__ = ["Options", "Summary", "build", "film", "locked"]


def build(config: Path, options: Options, camera: CameraFactory, report: Reporter) -> Summary:
    """Build the site of `config`, or with `dry_run` tell what would be filmed.

    Raises ConfigError for mistakes of the author, RefusedError for models that cannot be used,
    TargetError for figures that cannot be made, PlatformError for what the machine lacks,
    LockedError while another build is at work here. Whatever is raised, the old site stays.
    """
    work = prepare(config, options)
    if options.strict and (absent := work.left_out()):
        raise TargetError(f"--strict: models of site.toml are not there: {', '.join(absent)}")
    records = found(work.jobs, Store(work.site.cache_dir, report.warn), options)
    report.detail(f"{work.site.root}: {len(work.pages)} page(s), {len(work.jobs)} figure(s)")
    for job in work.jobs:
        state = "in the store" if job.request in records else "to be filmed"
        report.detail(f"{job.figure.id}: {state}, key {job.key or job.request}")
    if options.dry_run:
        return _rehearse(work, records, camera, report)
    if (summary := _unchanged(work, records)) is not None:
        _refuse_warnings(report, options)
        return summary
    require_ours(work.output)
    with locked(work.site):
        return _work_on(work, records, camera, report)


def _unchanged(work: Work, records: Records) -> Summary | None:
    """The summary where the site is as it should be; what killed builds left goes."""
    if work.missing(records) or out_of_mind(work.site, work.used_sources):
        return None
    tree = work.tree(records)
    if not holds(work.output, tree):
        return None
    tidy(work)
    return summarise(work, (), records, weight(tree))


def _work_on(work: Work, records: Records, camera: CameraFactory, report: Reporter) -> Summary:
    """Film what is missing and put the site in place; the lock is held."""
    require_room(work.output)
    require_writable(work.site.cache_dir)
    tidy(work)
    # Another build may have filmed some of it before this one had the lock.
    store = Store(work.site.cache_dir)
    records = {**records, **found(work.missing(records), store, work.options)}
    filmed = film(work, records, camera, report)
    records = {**records, **filmed}
    _refuse_warnings(report, work.options)
    if work.missing(records):
        return summarise(work, filmed, records)
    tree = work.tree(records)
    changed = put(tree, work.output)
    return replace(summarise(work, filmed, records, weight(tree)), changed=changed)


def tidy(work: Work, *, leaving: bool = False) -> None:
    """Remove what processes that were killed left of this site.

    leaving: this process is about to end in the middle of its work, and its own goes as well
    """
    Store(work.site.cache_dir).sweep(leaving=leaving)
    for folder in (work.site.cache_dir, work.output.parent):
        sweep(folder, leaving=leaving)


def _refuse_warnings(report: Reporter, options: Options) -> None:
    if options.strict and report.warnings:
        raise TargetError(
            f"--strict: {report.warnings} warning(s), see above; the site is as it was"
        )


def film(work: Work, records: Records, camera: CameraFactory, report: Reporter) -> Records:
    """Film what is missing and the command line did not leave out; the lock is held.

    What the weights were is kept in mind for machines that have none.

    Raises as `build` does. What was finished before is kept.
    """
    keep_in_mind(work.site, work.used_sources)
    options = work.options
    chosen = _chosen(work, records)
    if not chosen:
        return {}
    refuse_unfilmable(chosen, Store(work.site.cache_dir), offline=options.offline)
    for job in chosen:
        with naming(job.figure):
            for name in job.figure.models:
                work.sources[name].require_usable()
    preflight()
    store = Store(work.site.cache_dir)
    speeds = Speeds(work.site.cache_dir, options.equipment)
    crew = Crew(camera(work.sources, options.equipment), store, report, speeds.note)
    return crew.film(chosen, options.jobs)


def _chosen(work: Work, records: Records) -> list[Job]:
    """What is to be filmed: what is missing and asked for, one of those that are alike."""
    only = work.options.only
    wanted = [job for job in work.missing(records) if not only or job.figure.id in only]
    return list({job.request: job for job in wanted}.values())


def _rehearse(work: Work, records: Records, camera: CameraFactory, report: Reporter) -> Summary:
    """Tell what would be filmed, and how long that takes by what was measured here."""
    wanted = _chosen(work, records)
    estimates = _estimates(work, wanted, camera)
    for job in wanted:
        place, seconds = job.figure.place, estimates[job.request]
        takes = "not measured yet" if seconds is None else f"about {duration(seconds)}"
        where = f"{place.file}:{place.line}"
        report.note(f"would film {job.figure.id} ({where}), {job.levels} steps, {takes}")
    known = [seconds for seconds in estimates.values() if seconds is not None]
    if len(wanted) > 1 and known:
        rest = len(wanted) - len(known)
        more = f", and {rest} not measured yet" if rest else ""
        report.note(f"one after the other: about {duration(sum(known))}{more}")
    return replace(summarise(work, (), records), rehearsed=True)


def _estimates(work: Work, jobs: Sequence[Job], camera: CameraFactory) -> dict[str, float | None]:
    """The seconds that each figure takes, by request: as such figures did, or by a trial now."""
    speeds = Speeds(work.site.cache_dir, work.options.equipment)
    found = {job.request: speeds.estimate(job) for job in jobs}
    new = [job for job in jobs if found[job.request] is None and job.key is not None]
    if not new:
        return found
    pace = cache(camera(work.sources, work.options.equipment).pace)
    for job in new:
        with naming(job.figure):
            found[job.request] = speeds.first_estimate(job, pace)
    return found


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Hold the site for the block; LockedError, naming the site, while another sitegen does."""
    try:
        with lock(site.cache_dir / "lock"):
            yield
    except LockedError as error:
        raise LockedError(f"{site.root}: {error}") from None
