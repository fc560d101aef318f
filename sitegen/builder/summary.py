"""The result of a build, as the command line prints it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sitegen.builder.state import SiteBuild
from sitegen.core.urls import INDEX


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
        (build, planned.request_digest, f"{_prefix(build)}{planned.figure.id}")
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
            *(f"{_prefix(build)}{name}" for build in builds for name in build.context.faults),
        ),
        changed=False,
        bytes=0,
        omitted=tuple(line for each in contexts for line in each.omitted_models()),
        uncalled=tuple(line for each in contexts for line in each.omitted_models(waited=False)),
        approximate=tuple(source.name for source in used if source.approximate),
    )


def _prefix(build: SiteBuild) -> str:
    place = build.context.site.place
    return f"{place}/" if place else ""
