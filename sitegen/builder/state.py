"""The sites of a build: one site, or a collection with its papers, their figures, and a summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sitegen.builder.context import BuildContext, BuildOptions, found, prepare_site
from sitegen.builder.plan import PlannedFigure
from sitegen.config.loader import load_papers
from sitegen.config.schema import Site
from sitegen.core.errors import ConfigError, together
from sitegen.core.source import shown
from sitegen.core.urls import INDEX
from sitegen.media.manifest import Record


@dataclass(frozen=True)
class SiteBuild:
    """The state of one site during a build.

    records: available figures, by request; grows during the build
    papers: the papers of this collection
    rendered: the records of this build's own figures, by request
    """

    context: BuildContext
    records: dict[str, Record]
    papers: tuple[SiteBuild, ...] = ()
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
    """Read a site, its stored records, and the papers of a collection.

    `warn` is called for damaged files in the stores. Raises as `build` does; errors of samplers and
    plug-ins are in the contexts.
    """
    papers = load_papers(site)
    if papers and (options.only or options.rerender is not None):
        raise ConfigError(
            "--only and --rerender are for one site, and this is a collection; name a paper with "
            f"--config {shown(papers[0].root / 'site.toml')}"
        )
    below = replace(options, output=None)
    roof, *others = prepare_site(site, options), *(prepare_site(each, below) for each in papers)

    def known(context: BuildContext) -> dict[str, Record]:
        return found(context.figures, context.store(warn))

    builds = tuple(SiteBuild(each, known(each)) for each in others)
    return SiteBuild(roof, known(roof), builds), *builds


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
    """Return the summary of a site; figures and models of its papers follow its own."""
    contexts = [build.context for build in builds]
    figures = [
        (build, planned.request_digest, f"{build.context.site.prefix}{planned.figure.id}")
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
            *(f"{each.site.prefix}{name}" for each in contexts for _, name in each.faults),
        ),
        changed=False,
        bytes=0,
        omitted=tuple(line for each in contexts for line in each.omitted_models()),
        uncalled=tuple(line for each in contexts for line in each.omitted_models(waited=False)),
        approximate=tuple(source.name for source in used if source.approximate),
    )
