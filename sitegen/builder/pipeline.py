"""The build: plan, render missing figures, lay out the pages, and install the folder.

The built folder is written when everything is ready, and then takes the place of the old one. Where
there is no old one, it is also written when its first figures are ready. A build without changes
writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sitegen.builder.assembly import assemble
from sitegen.builder.install import Tree, install, is_built, is_current, require_ours
from sitegen.builder.plan import BuildContext, BuildOptions, PlannedFigure, naming, prepare
from sitegen.builder.render import (
    Encode,
    FigureRenderer,
    Renderer,
    RendererFactory,
    Rendering,
    environment,
)
from sitegen.builder.store import Records
from sitegen.config.schema import load_site
from sitegen.core.errors import PlugInError, TargetError
from sitegen.core.files import require_writable
from sitegen.core.progress import Reporter, duration
from sitegen.core.urls import INDEX
from sitegen.models.registry import is_approximate


@dataclass(frozen=True)
class Summary:
    """The result of a build; `changed` is False if the site was already up to date."""

    output: Path
    rendered: tuple[str, ...]
    reused: tuple[str, ...]
    missing: tuple[str, ...] = ()
    changed: bool = False
    bytes: int = 0
    dry_run: bool = False
    omitted: tuple[str, ...] = ()
    approximate: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the summary as the command line prints it."""
        lines = [f"{len(self.rendered)} rendered, {len(self.reused)} reused"]
        if self.missing:
            lines[0] += f", {len(self.missing)} missing: {', '.join(self.missing)}"
        if self.omitted:
            lines.append(f"omitted, because a file is missing: {', '.join(self.omitted)}")
        if self.approximate:
            lines.append(f"starting from approximate flat images: {', '.join(self.approximate)}")
        if self.dry_run:
            return lines
        if self.missing:
            return [*lines, "the site was not written; build without --only"]
        state = "written" if self.changed else "already up to date"
        size = f"site: {self.bytes / 1e6:.1f} MB, {state}"
        return [*lines, size, f"open it: {(self.output / INDEX).as_uri()}"]


def build(
    config: Path,
    options: BuildOptions,
    renderer: RendererFactory,
    report: Reporter,
    encode: Encode | None = None,
) -> Summary:
    """Build the site of `config`; with `dry_run`, report which figures would be rendered.

    Raises ConfigError for mistakes of the author, RefusedError for unusable models, TargetError for
    figures that cannot be rendered, PlatformError if the machine lacks something, LockedError while
    another build runs here. After any error the old site is still in place, if there was one.
    """
    # site.toml and pages: the figures with their keys, and what the store has of them.
    try:
        context = prepare(load_site(config), options)
    except PlugInError as error:
        report.detail(error.trace)
        raise
    store = context.store(report.warn)
    records = store.find(context.keys)
    for warning in (warning for page in context.pages for warning in page.warnings):
        report.warn(str(warning))
    counts = f"{len(context.pages)} page(s), {len(context.figures)} figure(s)"
    report.detail(f"{context.site.root}: {counts}")
    for planned in context.figures:
        state = "in the store" if planned.key in records else "to be rendered"
        report.detail(f"{planned.figure.id}: {state}, key {planned.key}")
    if options.strict and context.omitted:
        names = ", ".join(context.omitted)
        raise TargetError(f"--strict: models of site.toml are missing: {names}")
    if options.dry_run:
        return rehearse(context, records, report)

    # Everything is in the store: if it is installed too, nothing is to be done.
    tree = None
    if not figures_to_render(context, records):
        if len(records) < len(set(context.keys)):  # with --only
            return summarise(context, records, {})
        tree = assemble(context, records)
        _refuse_warnings(report, options)
        if is_current(context.output, tree):
            return summarise(context, records, {}, tree)

    # Network and process make frames; the encoder puts their clips into the store.
    # Both before the first sample, since a build of hours should not fail at its end.
    require_ours(context.output)
    require_writable(context.output.parent, context.output)
    with store.locked():
        rendered: Records = {}
        if tree is None:
            # Another build may have rendered some since; damaged ones were reported above.
            records = context.store().find(context.keys)
            figures = figures_to_render(context, records)
            show_first = partial(open_early, context, report)
            rendered = render_missing(context, figures, renderer, report, encode, show_first)
            records |= rendered
            _refuse_warnings(report, options)
            if any(key not in records for key in context.keys):
                return summarise(context, records, rendered)

            # The manifest and the pages become the built folder.
            tree = assemble(context, records)
        changed = install(tree, context.output)
    return summarise(context, records, rendered, tree, changed=changed)


def open_early(context: BuildContext, report: Reporter) -> None:
    """Install a new site before all of its figures are rendered, with placeholders for the others.

    An old site stays until the new one is complete, and no site is written early if the options
    may forbid that it is written.
    """
    options, records = context.options, context.store().find(context.keys)
    is_usual = not (options.strict or options.only or options.rerender is not None)
    if not is_usual or is_built(context.output):
        return
    install(assemble(context, records), context.output)
    count = len({*context.keys} - {*records})
    more = f"{count} more figure{'s' * (count != 1)} will be on it when the build has ended"
    report.note(f"open it: {(context.output / INDEX).as_uri()} ({more})")


def figures_to_render(context: BuildContext, records: Records) -> list[PlannedFigure]:
    """Return the selected figures that are missing or to be rendered again, without duplicates."""
    options = context.options
    ids = {planned.figure.id for planned in context.figures}
    again = () if options.rerender is None else options.rerender or ids
    figures = {
        planned.key: planned
        for planned in context.figures
        if not options.only or planned.figure.id in options.only
        if planned.key not in records or planned.figure.id in again
    }
    return list(figures.values())


def render_missing(
    context: BuildContext,
    figures: Sequence[PlannedFigure],
    renderer: RendererFactory,
    report: Reporter,
    encode: Encode | None = None,
    show_first: Callable[[], None] = lambda: None,
) -> Records:
    """Render figures into the store; requires the lock.

    show_first: called when the first figures are in the store and more follow
    Raises as `build` does. Figures that are already finished stay in the store.
    """
    if not figures:
        return {}
    if context.options.offline:
        lines = [f"{location(planned)} is not in the store" for planned in figures]
        remedy = "build on a machine with torch, and copy its cache_dir here"
        raise TargetError("\n".join([*lines, f"--offline renders nothing; {remedy}"]))
    for planned in figures:  # before the first sample
        with naming(planned.figure):
            for name in planned.figure.spec.models:
                context.models[name].require_usable()
    if encode is None:
        from sitegen.media.encoder import encode_clip  # here: building pages needs no NumPy

        encode = encode_clip
    store, options = context.store(report.warn), context.options
    for name in sorted({name for planned in figures for name in planned.figure.spec.models}):
        if context.models[name].sampler:
            store.put_sampler_card(name, context.models[name].card)
    with ExitStack() as stack:
        if address := options.distributed or context.site.build.distributed:
            from sitegen.cluster import open_cluster

            opened = open_cluster(address, report, options.asked, options.jobs)
            cluster = stack.enter_context(opened)
            target, jobs = cluster.compute_target, max(options.jobs, cluster.size + 1)
            plural = "s" if cluster.size > 1 else ""
            report.note(f"{cluster.size} worker{plural} at {address} ({target.device})")
            sampling: Renderer = FigureRenderer(context.models, target, cluster.executor)
        else:
            target, jobs = options.compute_target, options.jobs
            sampling = renderer(context.models, target)
        made_with = environment(target)
        rendering = Rendering(sampling, store, encode, report, made_with, jobs, show_first)
        started = time.monotonic()
        try:
            return rendering.render_all(figures)
        finally:
            if not address:  # the times of other machines would mislead `--dry-run`
                # Figures overlap; scaled, their estimates add up to the time of the build.
                scale = (time.monotonic() - started) / max(1e-9, sum(rendering.seconds.values()))
                speeds = {
                    planned.work(target): scale * rendering.seconds[planned.key] / planned.cost
                    for planned in figures
                    if planned.cost and planned.key in rendering.seconds
                }
                store.put_seconds(speeds)


def rehearse(context: BuildContext, records: Records, report: Reporter) -> Summary:
    """Report the figures to be rendered, with the times that the last build measured."""
    speeds = context.store().seconds()
    total = 0.0
    for planned in figures_to_render(context, records):
        line = f"would render {location(planned)}"
        if planned.cost:
            line += f", {planned.cost:,} evaluations of a network"
        if speed := speeds.get(planned.work(context.options.compute_target)):
            total += speed * planned.cost
            line += f", about {duration(speed * planned.cost)}"
        report.note(line)
    if total:
        report.note(f"figures whose models were measured before: about {duration(total)}")
    return summarise(context, records, {}, dry_run=True)


def summarise(
    context: BuildContext,
    records: Records,
    rendered: Records,
    tree: Tree | None = None,
    *,
    changed: bool = False,
    dry_run: bool = False,
) -> Summary:
    """Return the summary of a build with the figures of its pages, and the site if it is ready."""
    ids = [(planned.key, planned.figure.id) for planned in context.figures]
    models = sorted({name for planned in context.figures for name in planned.figure.spec.models})
    return Summary(
        output=context.output,
        rendered=tuple(id for key, id in ids if key in rendered),
        reused=tuple(id for key, id in ids if key in records and key not in rendered),
        missing=tuple(id for key, id in ids if key not in records),
        changed=changed,
        bytes=sum(map(len, tree.values())) if tree else 0,
        dry_run=dry_run,
        omitted=context.omitted,
        approximate=tuple(name for name in models if is_approximate(context.models[name].card)),
    )


def location(planned: PlannedFigure) -> str:
    """Return the file, line and id of a figure for a message."""
    call = planned.figure.place
    return f"{call.file}:{call.line}: {planned.figure.id}"


def _refuse_warnings(report: Reporter, options: BuildOptions) -> None:
    if options.strict and (count := report.warnings):
        raise TargetError(f"--strict: {count} warning(s), see above; the site was not changed")
