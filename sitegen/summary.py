"""What a build tells at its end: figures made and reused, bytes, and where to look."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sitegen.work import Records, Work


@dataclass(frozen=True)
class Summary:
    """What a build did; `changed` is False when the site was already as it should be."""

    output: Path
    filmed: tuple[str, ...]
    reused: tuple[str, ...]
    missing: tuple[str, ...]
    changed: bool
    bytes: int
    rehearsed: bool = False
    left_out: tuple[str, ...] = ()
    approximate: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The summary as the command line prints it."""
        counts = [
            f"{len(self.filmed)} filmed",
            f"{len(self.reused)} reused",
            *([f"{len(self.missing)} missing: {', '.join(self.missing)}"] if self.missing else []),
        ]
        told = [f"figures: {', '.join(counts)}", *self._models()]
        if self.missing or self.rehearsed:
            return [*told, f"{self.output}: left as it was"]
        state = "written" if self.changed else "already up to date"
        page = (self.output / "index.html").as_uri()
        return [*told, f"site: {self.bytes / 1e6:.1f} MB, {state}", f"look at it: {page}"]

    def _models(self) -> list[str]:
        """What to know of the models: which are not there, and which start from guesses."""
        about = {
            "left out, because a file is not there": self.left_out,
            "starting from approximate flat images": self.approximate,
        }
        return [f"{words}: {', '.join(names)}" for words, names in about.items() if names]


def summarise(work: Work, filmed: Collection[str], records: Records, size: int = 0) -> Summary:
    """What to tell at the end; `filmed` are requests, `size` is that of the site in bytes."""
    kept = [job for job in work.jobs if job.request in records]
    return Summary(
        work.output,
        filmed=tuple(job.figure.id for job in kept if job.request in filmed),
        reused=tuple(job.figure.id for job in kept if job.request not in filmed),
        missing=tuple(job.figure.id for job in work.missing(records)),
        changed=False,
        bytes=size,
        left_out=work.left_out(),
        approximate=tuple(name for name in sorted(work.used) if work.sources[name].approximate),
    )
