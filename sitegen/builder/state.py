"""The state of a site during a build, and the summary of the build."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sitegen.builder.context import BuildContext, BuildOptions, found, prepare_site
from sitegen.builder.plan import PlannedFigure
from sitegen.config.schema import Site
from sitegen.core.errors import together
from sitegen.core.urls import INDEX
from sitegen.media.manifest import Record


@dataclass(frozen=True)
class SiteBuild:
    """The state of one site during a build.

    records: available figures, by request; grows during the build
    rendered: the records of this build's own figures, by request
    """

    context: BuildContext
    records: dict[str, Record]
    rendered: dict[str, Record] = field(default_factory=dict)

    @property
    def missing(self) -> list[PlannedFigure]:
        """The figures without a record."""
        return [each for each in self.context.figures if each.request_digest not in self.records]

    @property
    def to_render(self) -> list[PlannedFigure]:
        """The selected figures that are missing or to be rendered again, without duplicates."""
        options = self.context.options
        chosen = {
            planned.request_digest: planned
            for planned in self.context.figures
            if not options.only or planned.figure.id in options.only
            if planned.request_digest not in self.records
            or options.renders_again(planned.figure.id)
        }
        return list(chosen.values())


def prepare_all(
    site: Site, options: BuildOptions, warn: Callable[[str], None] = lambda line: None
) -> tuple[SiteBuild, ...]:
    """Read a site and its stored records.

    `warn` is called for damaged files in the store. Raises as `build` does; errors of samplers and
    plug-ins are in the contexts.
    """
    context = prepare_site(site, options)
    return (SiteBuild(context, found(context.figures, context.store(warn))),)


def require_sound(builds: Sequence[SiteBuild]) -> None:
    """Raise the errors of samplers and plug-ins, if there are any, as one."""
    if faults := [error for each in builds for error in each.context.faults.values()]:
        raise together(faults)


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


def summarise(builds: Sequence[SiteBuild]) -> Summary:
    """Return the summary of a build."""
    contexts = [build.context for build in builds]
    figures = [
        (build, planned.request_digest, planned.figure.id)
        for build in builds
        for planned in build.context.figures
    ]
    kept = [(build, request, name) for build, request, name in figures if request in build.records]
    used = (source for context in contexts for source in context.used_sources)
    return Summary(
        contexts[0].output,
        rendered=tuple(name for build, request, name in kept if request in build.rendered),
        reused=tuple(name for build, request, name in kept if request not in build.rendered),
        missing=(
            *(name for build, request, name in figures if request not in build.records),
            *(name for each in contexts for _, name in each.faults),
        ),
        changed=False,
        bytes=0,
        omitted=tuple(line for each in contexts for line in each.omitted_models()),
        uncalled=tuple(line for each in contexts for line in each.omitted_models(waited=False)),
        approximate=tuple(source.name for source in used if source.approximate),
    )
