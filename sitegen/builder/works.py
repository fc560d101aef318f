"""The sites of a build: one site, or a collection with its papers, and their figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sitegen.builder.context import BuildContext, BuildOptions, found, prepare_site
from sitegen.builder.output import Tree
from sitegen.builder.plan import PlannedFigure
from sitegen.config.loader import load_papers
from sitegen.config.schema import Site
from sitegen.core.errors import ConfigError
from sitegen.core.source import shown
from sitegen.media.manifest import Record


@dataclass(frozen=True)
class Work:
    """The state of one site during a build.

    records: available figures; grows during the build
    papers: the papers of this collection
    rendered: the requests that this build has rendered
    """

    context: BuildContext
    records: dict[str, Record]
    papers: tuple[Work, ...] = ()
    rendered: set[str] = field(default_factory=set)

    @property
    def missing(self) -> list[PlannedFigure]:
        """Return the figures without a record."""
        return self.context.missing(self.records)


def prepare_all(
    site: Site, options: BuildOptions, warn: Callable[[str], None] = lambda line: None
) -> tuple[Work, ...]:
    """Read a site, its stored records, and the papers of a collection.

    `warn` is called for damaged files in the stores. Raises as `build` does.
    """
    papers = load_papers(site)
    if papers and (options.only or options.rerender is not None):
        raise ConfigError(
            "--only and --rerender are for one site, and this is a collection; name a paper with "
            f"--config {shown(papers[0].root / 'site.toml')}"
        )
    below = replace(options, output=None)
    roof, *others = [prepare_site(site, options), *(prepare_site(each, below) for each in papers)]

    def known(context: BuildContext) -> dict[str, Record]:
        return found(context.figures, context.store(warn), context.environment)

    works = tuple(Work(each, known(each)) for each in others)
    return Work(roof, known(roof), works), *works


def whole(works: Sequence[Work]) -> Tree:
    """Return the content of the collection's built folder, including its papers."""
    roof, *papers = works
    return roof.context.tree(roof.records, [work.context.paper(work.records) for work in papers])
