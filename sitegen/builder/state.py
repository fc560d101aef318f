"""The sites of a build: one site, or a collection with its papers, and their figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from sitegen.builder.assembly import PaperSite, assemble, placed
from sitegen.builder.context import BuildContext, BuildOptions, found, prepare_site
from sitegen.builder.output import Tree
from sitegen.builder.plan import PlannedFigure
from sitegen.config.loader import load_papers
from sitegen.config.schema import Site
from sitegen.core.errors import ConfigError
from sitegen.core.source import shown
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
        only, again = self.context.options.only, self.context.options.rerender
        chosen = {
            planned.request_digest: planned
            for planned in self.context.figures
            if not only or planned.figure.id in only
            if planned.request_digest not in self.records
            or (again is not None and (not again or planned.figure.id in again))
        }
        return list(chosen.values())

    def tree(self) -> Tree:
        """Return the content of the built folder, with papers; every figure needs a record."""
        papers = [each.paper() for each in self.papers]
        context, manifest = self.context, placed(self.context.figures, self.records)
        return assemble(context.site, context.pages, manifest, context.store(), papers=papers)

    def paper(self) -> PaperSite:
        """Return the site as a paper of a collection."""
        context, manifest = self.context, placed(self.context.figures, self.records)
        return PaperSite(context.site, context.pages, manifest, self.tree(), context.store().object)


def prepare_all(
    site: Site,
    options: BuildOptions,
    warn: Callable[[str], None] = lambda line: None,
    *,
    keep_faults: bool = False,
) -> tuple[SiteBuild, ...]:
    """Read a site, its stored records, and the papers of a collection.

    `warn` is called for damaged files in the stores. Raises as `build` does; errors of samplers are
    returned in the contexts if `keep_faults` is set.
    """
    papers = load_papers(site)
    if papers and (options.only or options.rerender is not None):
        raise ConfigError(
            "--only and --rerender are for one site, and this is a collection; name a paper with "
            f"--config {shown(papers[0].root / 'site.toml')}"
        )
    below = replace(options, output=None)
    read = partial(prepare_site, keep_faults=keep_faults)
    roof, *others = [read(site, options), *(read(each, below) for each in papers)]

    def known(context: BuildContext) -> dict[str, Record]:
        return found(context.figures, context.store(warn))

    builds = tuple(SiteBuild(each, known(each)) for each in others)
    return SiteBuild(roof, known(roof), builds), *builds
