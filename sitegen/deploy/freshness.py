"""Whether a built folder is what a build would make of the sources as they are now. Reads only."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from sitegen.build.context import BuildOptions, found, prepare_site
from sitegen.build.output import differences
from sitegen.config.schema import Site
from sitegen.core.compute import ComputeTarget, resolve_device, resolve_precision
from sitegen.core.errors import RefusedError, SitegenError
from sitegen.core.source import shown
from sitegen.core.urls import MANIFEST
from sitegen.media.manifest import Manifest

_MOST = 5  # files that a message names
_OURS = ("media/", "assets/")


@dataclass(frozen=True)
class Freshness:
    """How a built folder differs from what a build would make.

    stale: why it is not what a build would make, in words, one a file; empty if it is
    foreign: the files in it that no build has made
    """

    stale: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    def warning(self, output: Path) -> str | None:
        """What to tell where it is stale."""
        if not self.stale:
            return None
        return (
            f"{shown(output)}: is not what `sitegen build` would make now: {_few(self.stale)}; "
            "run it first, or this goes out as it is"
        )

    def refusal(self, output: Path) -> str | None:
        """What to tell where a file is in it that no build has made."""
        if not self.foreign:
            return None
        return (
            f"{shown(output)}: holds what sitegen did not put there, and all could read it: "
            f"{_few(self.foreign)}; `sitegen build` makes the folder anew without that"
        )


def freshness(site: Site, output: Path) -> Freshness:
    """Compare a folder that sitegen built with its sources and the store."""
    device = resolve_device("auto")
    compute_target = ComputeTarget(device, resolve_precision("auto", device))
    options = BuildOptions(compute_target, output, dry_run=True)  # which only looks at the store
    try:
        context = prepare_site(site, options)
        records = found(context.figures, context.store(), context.environment)
        if missing := context.missing(records):
            return Freshness(tuple(f"{planned.figure.id} is not rendered" for planned in missing))
        changed, others = differences(output, context.tree(records))
    except SitegenError as error:
        return Freshness((f"that stops, {str(error).partition(chr(10))[0]}",))
    return _judged(output, changed, others)


def _judged(output: Path, changed: tuple[str, ...], others: tuple[str, ...]) -> Freshness:
    """What is stale and what is foreign: an older build may have made other pages and clips."""
    if not changed:
        return Freshness((), others)
    older = _clips(output)
    foreign = tuple(
        name
        for name in others
        if name not in older and not name.startswith(_OURS) and not name.endswith(".html")
    )
    words = [f"{name} {'differs' if (output / name).exists() else 'lacks'}" for name in changed]
    left = [f"{name} would go" for name in others if name not in foreign]
    return Freshness((*words, *left), foreign)


def _clips(output: Path) -> set[str]:
    """The files of the figures that the folder itself lists."""
    with contextlib.suppress(RefusedError, OSError, UnicodeDecodeError):
        manifest = Manifest.from_json((output / MANIFEST).read_text("utf-8"))
        return {file.path for each in manifest.figures for file in each.record.files.values()}
    return set()


def _few(words: tuple[str, ...]) -> str:
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return ", ".join(words[:_MOST]) + more
