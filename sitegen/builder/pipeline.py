"""The build: plan, render missing figures, lay out the pages, and exchange the folders.

Nothing is written into the site's folder until everything is ready; then old and new are exchanged
in one step. A build without changes writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from sitegen.builder.assembly import tree_of
from sitegen.builder.context import BuildContext, BuildOptions, Records, found, new_notes
from sitegen.builder.executor import (
    Encode,
    Encoder,
    FigureRenderer,
    Renderer,
    RendererFactory,
    RenderExecutor,
    naming,
    report_traceback,
    tracebacks,
    x264,
)
from sitegen.builder.explain import refuse_unrenderable
from sitegen.builder.output import (
    install,
    is_installed,
    locked,
    preserve_foreign_files,
    require_ours,
    require_room,
    weight,
)
from sitegen.builder.plan import PlannedFigure, environment, other_environment
from sitegen.builder.prune import MEGABYTE, tidy
from sitegen.builder.state import SiteBuild, Summary, prepare_all, summarise
from sitegen.builder.timings import AROUND_S, DRAWING_S, MANY, Speeds, faster
from sitegen.config.loader import load_site
from sitegen.config.schema import Site
from sitegen.core.compute import ComputeTarget, has_bfloat16
from sitegen.core.errors import PlugInError, SitegenError, TargetError, together
from sitegen.core.files import (
    has_backup,
    remove_stale_temporaries,
    require_writable,
    restore_backup,
)
from sitegen.core.progress import Reporter, duration

Rendering = Callable[[ComputeTarget], Renderer]
"""Returns the renderer for a device and a precision, made once."""
FIGURES_AT_ONCE = 16
"""Maximum number of figures in a cluster at a time without --jobs; this machine draws each."""


def build(
    config: Path,
    options: BuildOptions,
    renderer: RendererFactory,
    report: Reporter,
    encoder: Encoder | None = None,
) -> Summary:
    """Build the site of `config`; with `dry_run`, report which figures would be rendered.

    Raises ConfigError for mistakes of the author, RefusedError for unusable models, TargetError for
    figures that cannot be rendered, PlatformError if the machine lacks something, LockedError while
    another build runs here. After any error the old site is still in place.
    """
    with tracebacks(report), ExitStack() as locks:
        # site.toml and pages: the figures with their keys, and what the store has of them.
        site = load_site(config)
        _restore_backup(site, options)
        builds = prepare_all(site, options, report.warn)
        for each in builds:
            _describe(each, report)
        if options.dry_run:
            return _rehearse(builds, renderer, report)

        # Everything is in the store: if it is installed too, nothing is to be done.
        output, tree = builds[0].context.output, None
        if not any(_is_stale(each) for each in builds):
            tree = tree_of(builds[0])
            if is_installed(tree, output, site):
                _refuse_warnings(report, options)
                for each in builds:
                    remove_leftovers(each.context)
                    _keep_small(each, report)
                return replace(summarise(builds), bytes=weight(tree))

        # Network and process make frames; the encoder puts their clips into the store.
        require_ours(output)
        for each in builds:
            locks.enter_context(locked(each.context.site, reading=tree is not None))
        require_room(output)
        for each in builds:
            remove_leftovers(each.context)
        if tree is None:
            _render_all(builds, renderer, report, encoder)
        _raise_faults(builds, report)
        _refuse_warnings(report, options)
        if any(each.missing or each.context.faults for each in builds):
            return summarise(builds)

        # The manifest and the pages become the built folder.
        tree = tree_of(builds[0]) if tree is None else tree
        for line in preserve_foreign_files(output, site, tree):
            report.warn(line)
        changed = install(tree, output, site)
        for each in builds:
            tidy(each, report, changed=True)
        return replace(summarise(builds), bytes=weight(tree), changed=changed)


def _render_all(
    builds: Sequence[SiteBuild],
    renderer: RendererFactory,
    report: Reporter,
    encoder: Encoder | None,
) -> None:
    """Render what is missing of each site; a figure that fails stops no other one.

    Raises as `build` does, with all errors of figures.
    """
    failed: list[SitegenError] = []
    for each in builds:
        require_writable(each.context.site.cache_dir)
        # Another build may have rendered some before this one had the lock.
        each.records.update(found(each.missing, each.context.store()))
        try:
            each.rendered.update(render_missing(each, renderer, report, encoder))
        except SitegenError as error:
            failed.append(error)
            if not isinstance(error, TargetError):
                break
        each.records.update(each.rendered)
    if failed:
        _raise_faults(builds, report, failed)


def _raise_faults(
    builds: Sequence[SiteBuild], report: Reporter, failed: Sequence[SitegenError] = ()
) -> None:
    """Raise one error for those of planning and those that rendering ended with."""
    found = [
        error
        for each in builds
        for (_, name), error in each.context.faults.items()
        if not each.context.options.only or name in each.context.options.only
    ]
    for error in found:
        report_traceback(error, report)
    if faults := [*found, *failed]:
        raise together(faults)


def _restore_backup(site: Site, options: BuildOptions) -> None:
    """Rename the backup of a site that a killed build left, even if this build fails later."""
    output = options.output or site.output
    if has_backup(output) and not options.dry_run:
        with locked(site):
            restore_backup(output)


def _describe(build: SiteBuild, report: Reporter) -> None:
    context = build.context
    for warning in context.warnings:
        report.warn(warning)
    if context.options.strict and (omitted := context.omitted_models()):
        raise TargetError(f"--strict: models of site.toml are not there: {', '.join(omitted)}")
    count = f"{len(context.pages)} page(s), {len(context.figures)} figure(s)"
    report.detail(f"{context.site.root}: {count}")
    for planned in context.figures:
        record, name = build.records.get(planned.request_digest), planned.figure.id
        state = "to be rendered" if record is None else "in the store"
        report.detail(f"{name}: {state}, key {planned.request_digest}")
        if record is not None and (other := other_environment(record, context.environment)):
            remedy = f"`sitegen build --rerender {name}` renders it again"
            report.detail(f"{name}: rendered with {other}; {remedy}")


def _is_stale(build: SiteBuild) -> bool:
    context = build.context
    notes = new_notes(context.site, context.used_sources)
    return bool(build.missing or build.to_render or notes or context.faults)


def _keep_small(build: SiteBuild, report: Reporter) -> None:
    """Note the use of an up-to-date site's records, and reduce its store to its size limit."""
    site = build.context.site
    over = site.cache_limit and build.context.store().size() > site.cache_limit * MEGABYTE
    with locked(site) if over else nullcontext():
        tidy(build, report, changed=False)


def remove_leftovers(context: BuildContext) -> None:
    """Remove temporaries that killed processes left in this site."""
    context.store().remove_stale_temporaries()
    for folder in (context.site.cache_dir, context.output.parent):
        remove_stale_temporaries(folder)


def _refuse_warnings(report: Reporter, options: BuildOptions) -> None:
    if options.strict and (count := report.warnings):
        raise TargetError(f"--strict: {count} warning(s), see above; the site was not changed")


def render_missing(
    build: SiteBuild, renderer: RendererFactory, report: Reporter, encoder: Encoder | None = None
) -> Records:
    """Render the requested figures that are missing or outdated; requires the lock.

    Also notes the digests of the weights, for machines without them.

    Raises as `build` does. Figures that are already finished are kept.
    """
    context, chosen = build.context, build.to_render
    for name, digest in new_notes(context.site, context.used_sources).items():
        context.store().note_weights(name, digest)
    if not chosen:
        return {}
    refuse_unrenderable(build)
    for planned in chosen:
        with naming(planned.figure):
            for name in planned.figure.models:
                context.sources[name].require_usable()
    encoder = encoder or x264()
    encoder.preflight()
    options, encode = context.options, encoder.encode
    address = options.distributed or context.site.scheduler or options.default_scheduler
    if address is not None:
        return _render_in_cluster(address, context, chosen, report, encode)
    context = _settled(context, chosen, cache(partial(renderer, context.sources)))  # freed then
    made, target = cache(partial(renderer, context.sources)), context.options.compute_target
    timed = Speeds(context.site.cache_dir, target).note
    executor = RenderExecutor(
        made(target), context.store(), report, context.environment, encode, timed
    )
    estimates = partial(_estimates, context, chosen, made, report)
    return executor.render(chosen, options.jobs, estimates)


def _render_in_cluster(
    address: str,
    context: BuildContext,
    chosen: Sequence[PlannedFigure],
    report: Reporter,
    encode: Encode,
) -> Records:
    """Render with a cluster; its times are not used for this machine's estimates."""
    from sitegen.cluster.client import open_cluster

    options, store = context.options, context.store()
    cluster = open_cluster(address, report, options.asked, options.jobs)
    count, target = cluster.size, cluster.compute_target
    renderer = FigureRenderer(context.sources, target, cluster.executor)
    here = environment(target)
    executor = RenderExecutor(renderer, store, report, here, encode, leave=cluster.close)
    on = f"{target.device}, {target.precision}"
    report.note(f"{count} worker{'s' if count > 1 else ''} at {address} ({on})")
    return executor.render(chosen, max(options.jobs, min(count + 1, FIGURES_AT_ONCE)))


def _rehearse(builds: Sequence[SiteBuild], renderer: RendererFactory, report: Reporter) -> Summary:
    """Report the figures to be rendered, with the time estimated from measurements here."""
    for build in builds:
        wanted = build.to_render
        made = cache(partial(renderer, build.context.sources))
        estimates = _estimates(_settled(build.context, wanted, made), wanted, made, report)
        for planned in wanted:
            place, seconds = planned.figure.place, estimates[planned.request_digest]
            takes = "not measured yet" if seconds is None else f"about {duration(seconds)}"
            seen = planned.cost
            takes = f"{seen:,} evaluations of a network, {takes}" if seen else takes
            report.note(f"would render {planned.figure.id} ({place.file}:{place.line}), {takes}")
        known = [seconds for seconds in estimates.values() if seconds is not None]
        if known:
            rest = len(wanted) - len(known)
            more = f", and {rest} not measured yet" if rest else ""
            report.note(f"all of it: about {duration(AROUND_S + sum(known))}{more}")
    _raise_faults(builds, report)
    return replace(summarise(builds), rehearsed=True)


def _settled(
    context: BuildContext, figures: Sequence[PlannedFigure], renderer: Rendering
) -> BuildContext:
    """Return the context with the faster precision for many figures, if it is to be measured.

    The models of the figure that takes most decide.
    """
    options, target = context.options, context.options.compute_target
    able = options.measure and context.environment and has_bfloat16(target.device)
    if not able or sum(planned.cost for planned in figures) < MANY:
        return context
    largest = max(figures, key=lambda planned: planned.cost)
    best = faster(target, lambda each: _paced(context, largest, each, renderer))
    here = {**context.environment, "precision": best.precision}
    return replace(context, options=replace(options, compute_target=best), environment=here)


def _paced(
    context: BuildContext, planned: PlannedFigure, target: ComputeTarget, renderer: Rendering
) -> float:
    """Return the seconds that networks take for a figure, by their pace, measured once."""
    speeds = Speeds(context.site.cache_dir, target)
    pairs = zip(planned.evaluations, planned.models, strict=True)
    with naming(planned.figure):
        paces = (seen * speeds.pace(model, renderer(target).pace) for seen, model in pairs if seen)
        return sum(paces)


def _estimates(
    context: BuildContext,
    figures: Sequence[PlannedFigure],
    renderer: Rendering,
    report: Reporter,
) -> dict[str, float | None]:
    target = context.options.compute_target
    speeds = Speeds(context.site.cache_dir, target)
    estimates = {each.request_digest: speeds.estimate(each.work, each.cost) for each in figures}
    for planned in figures:
        if estimates[planned.request_digest] is None and planned.models and context.environment:
            try:
                with naming(planned.figure):
                    pixels = planned.figure.spec.pixels(planned.cards[0])
            except PlugInError as error:
                report.warn(f"{error}; its time is not estimated")
                continue
            networks = _paced(context, planned, target, renderer)
            estimates[planned.request_digest] = pixels / 1e6 * DRAWING_S + networks
    return estimates
