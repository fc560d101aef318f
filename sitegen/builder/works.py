"""What a build has before it: a site, or one and the papers under its roof, and their figures."""

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
    """What a build knows of one site.

    records: what there is of its figures; it grows
    papers: the sites that this one is the roof of
    rendered: the requests among them that this build has rendered
    """

    context: BuildContext
    records: dict[str, Record]
    papers: tuple[Work, ...] = ()
    rendered: set[str] = field(default_factory=set)

    @property
    def missing(self) -> list[PlannedFigure]:
        """The figures that there is nothing of."""
        return self.context.missing(self.records)


def prepare_all(
    site: Site, options: BuildOptions, warn: Callable[[str], None] = lambda line: None
) -> tuple[Work, ...]:
    """Read a site and what its store has, and then the papers under its roof, if it is one.

    `warn` is told of what is damaged in the stores. Raises as `build` does.
    """
    papers = load_papers(site)
    if papers and (options.only or options.rerender is not None):
        raise ConfigError(
            "--only and --rerender are for one site, and here are several papers; name one with "
            f"--config {shown(papers[0].root / 'site.toml')}"
        )
    below = replace(options, output=None)
    roof, *others = [prepare_site(site, options), *(prepare_site(each, below) for each in papers)]

    def known(context: BuildContext) -> dict[str, Record]:
        return found(context.figures, context.store(warn), context.environment)

    works = tuple(Work(each, known(each)) for each in others)
    return Work(roof, known(roof), works), *works


def whole(works: Sequence[Work]) -> Tree:
    """The built folder of the first, with the papers under its roof."""
    roof, *papers = works
    return roof.context.tree(roof.records, [work.context.paper(work.records) for work in papers])
