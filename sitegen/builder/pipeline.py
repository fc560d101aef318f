"""The build: plan, render missing figures, lay out the pages, and exchange the folders.

Nothing is written into the site's folder until everything is ready; then old and new are exchanged
in one step. A build without changes writes nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from sitegen.builder.cache import Store
from sitegen.builder.context import (
    BuildContext,
    BuildOptions,
    Records,
    found,
    new_notes,
)
from sitegen.builder.executor import Encoder, RendererFactory, RenderExecutor, naming, tracebacks
from sitegen.builder.output import Tree, require_ours, require_present, require_room, weight
from sitegen.builder.placing import is_noted, is_placed, place, preserve_foreign_files
from sitegen.builder.plan import PlannedFigure, environment, other_environment
from sitegen.builder.prune import MEGABYTE, note_use, tidy
from sitegen.builder.store_folder import LOCK_NAME, claim
from sitegen.builder.timings import AROUND_S, Speeds, first_estimate
from sitegen.builder.works import Work, prepare_all, whole
from sitegen.config.loader import load_site
from sitegen.config.schema import Site
from sitegen.core.diagnostics import quoted
from sitegen.core.errors import LockedError, PlatformError, TargetError
from sitegen.core.files import (
    has_backup,
    platform_errors,
    remove_stale_temporaries,
    require_writable,
    restore_backup,
)
from sitegen.core.locks import lock
from sitegen.core.progress import Reporter, duration
from sitegen.core.urls import INDEX

X264 = Encoder()


def build(
    config: Path,
    options: BuildOptions,
    renderer: RendererFactory,
    report: Reporter,
    encoder: Encoder = X264,
) -> Summary:
    """Build the site of `config`; with `dry_run`, report which figures would be rendered.

    Raises ConfigError for mistakes of the author, RefusedError for unusable models, TargetError for
    figures that cannot be rendered, PlatformError if the machine lacks something, LockedError while
    another build runs here. After any error the old site is still in place.
    """
    with tracebacks(report):
        return _build(config, options, renderer, report, encoder)


def _build(
    config: Path,
    options: BuildOptions,
    renderer: RendererFactory,
    report: Reporter,
    encoder: Encoder,
) -> Summary:
    site = load_site(config)
    _restore_backup(site, options)
    works = prepare_all(site, options, report.warn)
    for work in works:
        _tell(work, report)
    if options.dry_run:
        return _joined([_rehearse(work, renderer, report) for work in works])
    ready = _ready(works)
    if ready is not None and (summary := _unchanged(works, ready)) is not None:
        _refuse_warnings(report, options)
        for work in works:
            _keep_small(work, report)
        return summary
    output = works[0].context.output
    require_ours(output)
    with ExitStack() as locks:
        for work in works:
            locks.enter_context(locked(work.context.site, reading=ready is not None))
        require_room(output)
        for work in works:
            remove_leftovers(work.context)
            if ready is None:
                _bring_up(work, renderer, report, encoder)
        _refuse_warnings(report, options)
        if any(work.missing for work in works):
            return _summary(works)
        tree = whole(works) if ready is None else ready
        for line in preserve_foreign_files(output, site, tree):
            report.warn(line)
        changed = place(tree, output, site)
        for work in works:
            if (told := tidy(work, changed=True)) is not None:
                report.note(told)
        return replace(_summary(works, weight(tree)), changed=changed)


def _tell(work: Work, report: Reporter) -> None:
    """Report warnings and the list of figures."""
    context = work.context
    for warning in context.warnings:
        report.warn(warning)
    if context.options.strict and (omitted := context.omitted_models()):
        raise TargetError(f"--strict: models of site.toml are not there: {', '.join(omitted)}")
    _tell_figures(context, work.records, report)


def _bring_up(work: Work, renderer: RendererFactory, report: Reporter, encoder: Encoder) -> None:
    """Render the missing figures of a site; requires its lock."""
    context, records = work.context, work.records
    require_writable(context.site.cache_dir)
    # Another build may have rendered some of them before this one had the lock.
    records |= found(work.missing, context.store(), context.environment)
    made = render_missing(context, records, renderer, report, encoder)
    records |= made
    work.rendered.update(made)


def _restore_backup(site: Site, options: BuildOptions) -> None:
    """Rename the backup of a site that a killed build left, even if this build fails later."""
    output = options.output or site.output
    if has_backup(output) and not options.dry_run:
        with locked(site):
            restore_backup(output)


def _tell_figures(context: BuildContext, records: Records, report: Reporter) -> None:
    count = f"{len(context.pages)} page(s), {len(context.figures)} figure(s)"
    report.detail(f"{context.site.root}: {count}")
    for planned in context.figures:
        record, name = records.get(planned.request_digest), planned.figure.id
        state = "to be rendered" if record is None else "in the store"
        report.detail(f"{name}: {state}, key {planned.request_digest}")
        if record is not None and (other := other_environment(record, context.environment)):
            remedy = f"`sitegen build --rerender {name}` renders it again"
            report.detail(f"{name}: rendered with {other}; {remedy}")


def _ready(works: Sequence[Work]) -> Tree | None:
    """Return the whole site if all figures are available; None if something must be rendered."""
    for work in works:
        context = work.context
        stale = work.missing or context.to_render(work.records)
        if stale or new_notes(context.site, context.used_sources):
            return None
    return whole(works)


def _unchanged(works: Sequence[Work], tree: Tree) -> Summary | None:
    """Return the summary if the site is up to date, and remove leftovers of killed builds."""
    roof = works[0].context
    if not is_placed(tree, roof.output, roof.site) or not is_noted(tree, roof.output, roof.site):
        return None
    for work in works:
        remove_leftovers(work.context)
    return _summary(works, weight(tree))


def _keep_small(work: Work, report: Reporter) -> None:
    """Reduce the store of an up-to-date site to its size limit, if it has one."""
    context = work.context
    limit, told = context.site.cache_limit, None
    if limit is None or context.store().size() <= limit * MEGABYTE:
        note_use(context)
        return
    with locked(context.site):
        told = tidy(work, changed=False)
    if told is not None:
        report.note(told)


def remove_leftovers(context: BuildContext, *, leaving: bool = False) -> None:
    """Remove temporaries that killed processes left in this site.

    leaving: also remove those of this process, which is about to exit
    """
    context.store().remove_stale_temporaries(leaving=leaving)
    for folder in (context.site.cache_dir, context.output.parent):
        remove_stale_temporaries(folder, leaving=leaving)


def _refuse_warnings(report: Reporter, options: BuildOptions) -> None:
    if options.strict and (count := report.warnings):
        raise TargetError(f"--strict: {count} warning(s), see above; the site was not changed")


def render_missing(
    context: BuildContext,
    records: Records,
    renderer: RendererFactory,
    report: Reporter,
    encoder: Encoder = X264,
) -> Records:
    """Render the requested figures that are missing or outdated; requires the lock.

    Also notes the digests of the weights, for machines without them.

    Raises as `build` does. Figures that are already finished are kept.
    """
    for name, note in new_notes(context.site, context.used_sources).items():
        Store(context.site.cache_dir).note_weights(name, note)
    options = context.options
    if not (chosen := context.to_render(records)):
        return {}
    refuse_unrenderable(context, records)
    for planned in chosen:
        with naming(planned.figure):
            for name in planned.figure.models:
                context.sources[name].require_usable()
    encoder.preflight()
    address = options.distributed or context.site.scheduler or options.default_scheduler
    if address is not None:
        return _render_in_cluster(address, context, chosen, report, encoder)
    made = renderer(context.sources, options.compute_target)
    executor = RenderExecutor(
        made,
        context.store(),
        report,
        context.environment,
        encoder.encode,
        Speeds(context.site.cache_dir, options.compute_target).note,
    )
    estimates = partial(_estimates, context, chosen, lambda *_: made)
    return executor.render(chosen, options.jobs, estimates)


FIGURES_AT_ONCE = 16
"""Maximum number of figures in a cluster at a time without --jobs; this machine draws each."""


def _render_in_cluster(
    address: str,
    context: BuildContext,
    chosen: Sequence[PlannedFigure],
    report: Reporter,
    encoder: Encoder,
) -> Records:
    """Render with the workers of a cluster; their times are not used for this machine's
    estimates.
    """
    from sitegen.builder.renderer import cluster_renderer

    options = context.options
    made = cluster_renderer(context.sources, address, report, options.asked, options.jobs)
    executor = RenderExecutor(
        made,
        context.store(),
        report,
        environment(made.compute_target),
        encoder.encode,
        leave=made.close,
    )
    count, target = made.cluster.size, made.compute_target
    on = f"{target.device}, {target.precision}"
    report.note(f"{count} worker{'s' if count > 1 else ''} at {address} ({on})")
    return executor.render(chosen, max(options.jobs, min(count + 1, FIGURES_AT_ONCE)))


def _rehearse(work: Work, renderer: RendererFactory, report: Reporter) -> Summary:
    """Report the figures to be rendered, with the time estimated from measurements here."""
    context, records = work.context, work.records
    wanted = context.to_render(records)
    estimates = _estimates(context, wanted, renderer)
    for planned in wanted:
        place, seconds = planned.figure.place, estimates[planned.request_digest]
        takes = "not measured yet" if seconds is None else f"about {duration(seconds)}"
        seen = sum(planned.evaluations) if planned.models else 0
        takes = f"{seen:,} evaluations of a network, {takes}" if seen else takes
        report.note(f"would render {planned.figure.id} ({place.file}:{place.line}), {takes}")
    known = [seconds for seconds in estimates.values() if seconds is not None]
    if known:
        rest = len(wanted) - len(known)
        more = f", and {rest} not measured yet" if rest else ""
        report.note(f"all of it: about {duration(AROUND_S + sum(known))}{more}")
    return replace(summarise(context, (), records), rehearsed=True)


def _estimates(
    context: BuildContext, figures: Sequence[PlannedFigure], renderer: RendererFactory
) -> dict[str, float | None]:
    """Return the estimated seconds for each figure, by request, from measurements or a trial."""
    speeds = Speeds(context.site.cache_dir, context.options.compute_target)
    estimates = {planned.request_digest: speeds.estimate(planned) for planned in figures}
    new = [planned for planned in figures if estimates[planned.request_digest] is None]
    if not new or not context.environment:
        return estimates
    made = cache(lambda: renderer(context.sources, context.options.compute_target))
    for planned in new:
        with naming(planned.figure):
            pixels = planned.figure.spec.pixels(context.sources[planned.figure.models[0]].card)
            estimates[planned.request_digest] = first_estimate(
                planned, pixels, lambda model: speeds.pace(model, lambda name: made().pace(name))
            )
    return estimates


@contextmanager
def locked(site: Site, *, reading: bool = False) -> Iterator[None]:
    """Hold the site's lock for the block. Raises LockedError with the site if another process does.

    reading: everything is in the store, so a read-only store needs no lock
    Raises ConfigError if the site's `cache_dir` is not a store, PlatformError if the site's folder
    is missing.
    """
    store = site.cache_dir
    with ExitStack() as held:
        try:
            if not (reading and store.is_dir() and not os.access(store, os.W_OK)):
                require_present(site)
                with platform_errors(store):
                    store.parent.mkdir(parents=True, exist_ok=True)
                claim(store)
                held.enter_context(lock(store / LOCK_NAME))
        except LockedError as error:
            raise LockedError(f"{site.root}: {error}") from None
        yield


@dataclass(frozen=True)
class Summary:
    """The result of a build; `changed` is False if the site was already up to date."""

    output: Path
    rendered: tuple[str, ...]
    reused: tuple[str, ...]
    missing: tuple[str, ...]
    changed: bool
    bytes: int
    rehearsed: bool = False
    omitted: tuple[str, ...] = ()
    uncalled: tuple[str, ...] = ()
    approximate: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the summary as the command line prints it."""
        lack = f", {len(self.missing)} missing: {', '.join(self.missing)}" if self.missing else ""
        counts = f"{len(self.rendered)} rendered, {len(self.reused)} reused{lack}"
        about = {
            "omitted, because a file is missing": self.omitted,
            "missing, but not used by any page": self.uncalled,
            "starting from approximate flat images": self.approximate,
        }
        models = [f"{words}: {', '.join(names)}" for words, names in about.items() if names]
        told = [f"figures: {counts}", *models]
        if self.missing or self.rehearsed:
            return [*told, f"{self.output}: not changed"]
        state = "written" if self.changed else "already up to date"
        page = (self.output / INDEX).as_uri()
        return [*told, f"site: {self.bytes / 1e6:.1f} MB, {state}", f"open it: {page}"]


def summarise(
    context: BuildContext, rendered: Collection[str], records: Records, size: int = 0
) -> Summary:
    """Return a site's summary; `rendered` are requests, `size` is the site's size in bytes."""
    place = f"{context.site.place}/" if context.site.place else ""
    kept = [(f"{place}{each.figure.id}", each.request_digest) for each in context.figures]
    kept = [(name, request) for name, request in kept if request in records]
    return Summary(
        context.output,
        rendered=tuple(name for name, request in kept if request in rendered),
        reused=tuple(name for name, request in kept if request not in rendered),
        missing=tuple(f"{place}{planned.figure.id}" for planned in context.missing(records)),
        changed=False,
        bytes=size,
        omitted=context.omitted_models(),
        uncalled=context.omitted_models(waited=False),
        approximate=tuple(each.name for each in context.used_sources if each.approximate),
    )


def _summary(works: Sequence[Work], size: int = 0) -> Summary:
    """Return the summary of a site and its papers."""
    found = [summarise(work.context, work.rendered, work.records) for work in works]
    return replace(_joined(found), bytes=size)


def _joined(summaries: Sequence[Summary]) -> Summary:
    """Join summaries: figures and models of papers follow those of the collection."""
    first, *others = summaries
    names = ("rendered", "reused", "missing", "omitted", "uncalled", "approximate")
    lists: dict[str, Any] = {
        name: sum((getattr(each, name) for each in summaries), ()) for name in names
    }
    return replace(first, **lists) if others else first


_PARTS = ("card", "weights", "prior")  # parts of a model, in the order of a request
_MOST = 4  # with more changes it counts as another figure


def refuse_unrenderable(context: BuildContext, records: Records) -> None:
    """Raise if missing figures may not or cannot be rendered; name each, and what has changed.

    Raises TargetError with `offline`, PlatformError if torch or an encoder is not installed.
    """
    if not context.options.offline and context.environment:
        return
    known = context.store().remembered()
    lines = []
    for planned in context.to_render(records):
        place, told = planned.figure.place, "cannot be rendered again"
        if planned.request_digest not in records:
            told = f"is not in the store; {what_changed(planned, known)}"
        lines.append(f"{place.file}:{place.line}: {planned.figure.id} {told}")
    bring = "; render it on a machine with torch, and copy its cache_dir here"
    if context.options.offline:
        raise TargetError("\n".join([*lines, f"--offline renders nothing{bring}"]))
    try:
        environment(context.options.compute_target)
    except PlatformError as error:
        raise PlatformError("\n".join([*lines, f"{error}{bring}"])) from error


def what_changed(planned: PlannedFigure, known: Sequence[Mapping[str, Any]]) -> str:
    """Describe the changes of the figure since it was rendered; `known` are the store's
    requests.
    """
    kind, request = planned.figure.kind, json.loads(planned.request_json)
    specs = [(each, each.get("spec")) for each in known]
    alike = [each for each, spec in specs if isinstance(spec, dict) and spec.get("kind") == kind]
    if not alike:
        return f"the store has no figure of the kind {kind}" if known else "the store is empty"
    names = [model.name for model in planned.models]
    changes = min((list(_changes(each, request, names)) for each in alike), key=len)
    if not changes:
        return "it was rendered, but its files are damaged or missing from the store"
    if len(changes) > _MOST:
        return "no similar figure was rendered"
    return f"since it was rendered, {', '.join(changes)}"


def _changes(
    then: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]
) -> Iterator[str]:
    """Describe each difference between two requests of one kind."""
    old, new = then["spec"], now["spec"]
    for name in sorted({*old, *new}):
        yield from _went(name, old.get(name), new.get(name), quoted)
    yield from _went("sitegen's recipe for it", then.get("recipe"), now["recipe"], str)
    yield from _went(
        "sitegen's constants for it", then.get("constants"), now.get("constants"), _names
    )
    yield from _went(f"the example of {names[0]}", then.get("example"), now.get("example"), _short)
    models = then.get("models", [])
    if len(models) != len(names):
        yield "it shows other models"
        return
    for name, before, after in zip(names, models, now["models"], strict=True):
        for part, first, second in zip(_PARTS, before, after, strict=False):
            yield from _went(f"the {part} of {name}", first, second, _short)


def _went(name: str, old: object, new: object, words: Callable[[Any], str]) -> Iterator[str]:
    if old != new:
        told = ("none" if value is None else words(value) for value in (old, new))
        yield f"{name} went from {' to '.join(told)}"


_short = itemgetter(slice(8))  # of a digest


def _names(groups: Mapping[str, Any]) -> str:
    """Name the groups of constants that differ from the baseline."""
    return f"other values of {' and '.join(groups)}"
