"""The build: plan, film what is missing, render, and put the new site in the place of the old.

Nothing is written into the site's folder until all of it is ready; then the two are exchanged in
one step. A build that would change nothing touches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sitegen.config import Site, load_site
from sitegen.encode import encode_clip, preflight
from sitegen.errors import ConfigError, LockedError, TargetError
from sitegen.figures import Figure, default_alt
from sitegen.files import digest, exchange, lock, platform_errors, sweep, temporary_folder
from sitegen.frames import Frame
from sitegen.media import Manifest, Media, MediaFile, Record
from sitegen.models import ModelSource, site_models
from sitegen.pages import Page, read_pages
from sitegen.plan import Equipment, Job, Shot, plan_figure
from sitegen.problems import known_words
from sitegen.render import assets, render_site
from sitegen.report import Advance, Reporter
from sitegen.store import Store

MANIFEST_NAME = "media.json"
Tree = Mapping[str, bytes | Path]
"""What a built folder holds: content, or the file to copy it from, by relative URI."""


class Camera(Protocol):
    """What a build needs of a studio."""

    def shoot(self, figure: Figure) -> Shot:
        """Prepare a figure to be filmed."""


CameraFactory = Callable[[Mapping[str, ModelSource], Equipment], Camera]


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

    def lines(self) -> list[str]:
        """The summary as the command line prints it."""
        counts = [
            f"{len(self.filmed)} filmed",
            f"{len(self.reused)} reused",
            *([f"{len(self.missing)} missing: {', '.join(self.missing)}"] if self.missing else []),
        ]
        figures = f"figures: {', '.join(counts)}"
        if self.missing:
            return [figures, f"{self.output}: left as it was"]
        state = "written" if self.changed else "already up to date"
        page = (self.output / "index.html").as_uri()
        return [figures, f"site: {self.bytes / 1e6:.1f} MB, {state}", f"look at it: {page}"]


def build(config: Path, options: Options, camera: CameraFactory, report: Reporter) -> Summary:
    """Build the site of `config`, or with `dry_run` tell what would be filmed.

    Raises ConfigError for mistakes of the author, RefusedError for models that cannot be used,
    TargetError for figures that cannot be made, LockedError while another build is at work here.
    """
    site = load_site(config)
    sources = site_models(site)
    usable = {name for name, source in sources.items() if source.available}
    pages = read_pages(site, usable.__contains__)
    jobs = _plan(pages, sources, options)
    work = _Work(site, pages, jobs, Store(site.cache_dir, report.warn), _output(site, options))
    if options.dry_run:
        return _rehearse(work, report)
    if (summary := _unchanged(work)) is not None:
        return summary
    with _locked(site):
        filmed = _film_missing(work, sources, options, camera, report)
        _refuse_warnings(report, options)
        return _finish(work, filmed)


@dataclass(frozen=True)
class _Work:
    """What a build has read, and where it reads and writes."""

    site: Site
    pages: tuple[Page, ...]
    jobs: list[Job]
    store: Store
    output: Path

    def records(self) -> dict[str, Record]:
        """What the store has of the figures, by request."""
        found = ((job.request, _stored(self.store, job)) for job in self.jobs)
        return {request: record for request, record in found if record is not None}

    def tree(self, records: Mapping[str, Record]) -> Tree:
        """The whole site, when every figure has its record."""
        manifest = Manifest(tuple(_place(job, records[job.request]) for job in self.jobs))
        return _tree(self.site, self.pages, manifest, self.store)

    def summary(self, filmed: Collection[Job], missing: Collection[Job], changed: bool) -> Summary:
        """What to tell at the end."""
        made = tuple(job.figure.id for job in filmed)
        lacking = tuple(job.figure.id for job in missing)
        reused = tuple(job.figure.id for job in self.jobs if job not in (*filmed, *missing))
        size = 0 if missing else _weight(self.output)
        return Summary(self.output, made, reused, lacking, changed, size)


def _unchanged(work: _Work) -> Summary | None:
    """The summary where the site is already as it should be; reads only."""
    records = work.records()
    if len(records) < len({job.request for job in work.jobs}):
        return None
    return work.summary((), (), False) if _holds(work.output, work.tree(records)) else None


def _film_missing(
    work: _Work,
    sources: Mapping[str, ModelSource],
    options: Options,
    camera: CameraFactory,
    report: Reporter,
) -> list[Job]:
    """Film what the store lacks and the command line did not leave out; the figures filmed."""
    records = work.records()
    missing = {job.request: job for job in work.jobs if job.request not in records}
    chosen = [job for job in missing.values() if not options.only or job.figure.id in options.only]
    if chosen:
        _refuse_offline(chosen, options)
        preflight()
        _film_all(chosen, camera(sources, options.equipment), work.store, options.jobs, report)
    return chosen


def _finish(work: _Work, filmed: list[Job]) -> Summary:
    """Put the site in place, or tell which figures it still lacks."""
    records = work.records()
    missing = [job for job in work.jobs if job.request not in records]
    if missing:
        return work.summary(filmed, missing, False)
    return work.summary(filmed, (), _put(work.tree(records), work.output))


def _plan(
    pages: tuple[Page, ...], sources: Mapping[str, ModelSource], options: Options
) -> list[Job]:
    jobs = [
        plan_figure(figure, page.uri, sources, options.equipment)
        for page in pages
        for figure in page.figures
    ]
    known = [job.figure.id for job in jobs]
    for name in options.only:
        if name not in known:
            raise ConfigError(f"--only {name}: no page has such a figure{known_words(name, known)}")
    return jobs


def _rehearse(work: _Work, report: Reporter) -> Summary:
    """Tell what would be filmed."""
    records = work.records()
    missing = [job for job in work.jobs if job.request not in records]
    for job in missing:
        place = job.figure.place
        report.note(f"would film {job.figure.id} ({place.file}:{place.line}), {job.levels} steps")
    return work.summary((), missing, False)


def _stored(store: Store, job: Job) -> Record | None:
    """The record of a figure: of this machine's key, or of any where the machine only renders."""
    keys = [job.key] if job.key else store.keys(f"{job.request}-")
    return next((record for key in keys if (record := store.get(key)) is not None), None)


def _refuse_offline(chosen: Collection[Job], options: Options) -> None:
    wanting = [job for job in chosen if options.offline or job.key is None]
    if not wanting:
        return
    why = "--offline films nothing" if options.offline else "torch or ffmpeg is not installed here"
    lines = [
        f"{job.figure.place.file}:{job.figure.place.line}: {job.figure.id} is not in the store"
        for job in wanting
    ]
    raise TargetError(
        "\n".join(lines) + f"\n{why}; build once where sitegen can film, and bring its cache_dir"
    )


def _refuse_warnings(report: Reporter, options: Options) -> None:
    if options.strict and report.warnings:
        raise TargetError(
            f"--strict: {report.warnings} warning(s), see above; the site is as it was"
        )


def _film_all(jobs: list[Job], crew: Camera, store: Store, workers: int, report: Reporter) -> None:
    """Film every job, several at a time if asked, and keep each as soon as it is done."""
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            _film(job, crew, store, report)
        return
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_film, job, crew, store, report) for job in jobs]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _film(job: Job, crew: Camera, store: Store, report: Reporter) -> None:
    """Film one figure into the store."""
    shot = crew.shoot(job.figure)
    assert job.key is not None
    with store.workspace() as folder, report.filming(job.figure.id, len(shot.levels)) as advance:
        files = encode_clip(_counted(shot, advance), shot.clip, folder)
        _refuse_length(job, shot, files["mp4"])
        seed = int(shot.parameters.get("seed", 0))
        record = Record(job.figure.kind, job.models, seed, shot.parameters, shot.levels, files)
        store.put(job.key, record, {name: folder / file.path for name, file in files.items()})


def _counted(shot: Shot, advance: Advance) -> Iterator[Frame]:
    for frame in shot.frames:
        yield frame
        advance()


def _refuse_length(job: Job, shot: Shot, clip: MediaFile) -> None:
    if clip.frames != len(shot.levels):
        raise TargetError(f"{job.figure.id}: {clip.frames} frames for {len(shot.levels)} levels")


def _place(job: Job, record: Record) -> Media:
    """A record on its page: files get the figure's name and the start of their digest."""
    figure = job.figure
    files = {
        name: replace(file, path=f"media/{figure.id}-{file.sha256[:8]}{Path(file.path).suffix}")
        for name, file in record.files.items()
    }
    alt = figure.alt or default_alt(figure, job.levels)
    # The models' names are the page's; the store may know the same weights by another one.
    placed = replace(record, files=files, models=job.models)
    return Media(figure.id, job.page, alt, figure.caption, placed)


def _tree(site: Site, pages: tuple[Page, ...], manifest: Manifest, store: Store) -> Tree:
    tree: dict[str, bytes | Path] = {
        file.path: store.object(file)
        for media in manifest.figures
        for file in media.record.files.values()
    }
    tree |= assets(site)
    html = render_site(site, pages, manifest)
    tree |= {uri: text.encode() for uri, text in html.items()}
    tree[MANIFEST_NAME] = manifest.to_json().encode()
    tree[".nojekyll"] = b""
    return tree


def _put(tree: Tree, output: Path) -> bool:
    """Make `output` hold exactly `tree`, in one step; False if it does already."""
    _refuse_foreign(output)
    if _holds(output, tree):
        return False
    sweep(output.parent)
    with platform_errors(output), temporary_folder(output.parent) as folder:
        for uri, content in tree.items():
            target = folder / uri
            target.parent.mkdir(parents=True, exist_ok=True)
            data = content.read_bytes() if isinstance(content, Path) else content
            target.write_bytes(data)
        exchange(folder, output)
    return True


def _holds(output: Path, tree: Tree) -> bool:
    there = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    return there == set(tree) and all(_same(output / uri, tree[uri]) for uri in tree)


def _same(path: Path, content: bytes | Path) -> bool:
    if isinstance(content, bytes):
        return path.read_bytes() == content
    return path.stat().st_size == content.stat().st_size and digest(path) == digest(content)


def _refuse_foreign(output: Path) -> None:
    """Refuse to replace a folder that sitegen did not build."""
    if not output.exists():
        return
    if not output.is_dir():
        raise ConfigError(f"{output}: is not a folder; choose another --output")
    if any(output.iterdir()) and not (output / MANIFEST_NAME).is_file():
        raise ConfigError(
            f"{output}: holds files, and no {MANIFEST_NAME} of sitegen's; "
            "it would be replaced whole, so choose an empty or new folder"
        )


def _output(site: Site, options: Options) -> Path:
    return (options.output or site.output).absolute()


def _weight(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _locked(site: Site) -> Iterator[None]:
    try:
        with lock(site.cache_dir / "lock"):
            yield
    except LockedError as error:
        raise LockedError(f"{site.root}: {error}") from None
