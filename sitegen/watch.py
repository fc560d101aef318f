"""Following the author: whatever decides the site is read again when it changes.

Only the folders that hold such files are watched, none of them deeply, and only those files count.
So neither the built folder nor the store can set off a build.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from watchfiles import Change, awatch

from sitegen.work import Work

DEBOUNCE_MS, STEP_MS = 400, 40
"""A change is told after one step without another one, or when the debounce is over."""

THEME_FOLDERS = ("theme",)
"""What an author may have beside `site.toml` to change the look."""


class Sources:
    """The files that a site is made from; `work` tells what was read last, if anything was."""

    def __init__(self, config: Path, work: Callable[[], Work | None]) -> None:
        self._config = config.absolute()
        self._work = work

    def folders(self) -> frozenset[Path]:
        """The folders that such files lie in, as far as they are there."""
        root = self._config.parent
        themes = [root / name for name in THEME_FOLDERS]
        deeper = [path for theme in themes for path in theme.rglob("*")]
        models = [path.parent for path in self._of_models()]
        found = {root, root / "pages", *themes, *deeper, *models}
        return frozenset(path for path in found if path.is_dir())

    def decide(self, path: Path) -> bool:
        """Whether a change of that file or folder can change the site."""
        root = self._config.parent
        if path == self._config or path in self._of_models():
            return True
        if not path.is_relative_to(root) or path.name.startswith(".") or path.name.endswith("~"):
            return False
        parts = path.relative_to(root).parts
        if parts[:1] == ("pages",):
            return len(parts) == 1 or (len(parts) == 2 and path.suffix == ".md")
        return parts[:1] in {(name,) for name in THEME_FOLDERS}

    def _of_models(self) -> set[Path]:
        """The cards, weights and priors of the models."""
        work = self._work()
        sources = work.sources.values() if work else ()
        files = [path for each in sources for path in (each.card_path, each.weights, each.prior)]
        return {path.absolute() for path in files if path is not None}


async def watch(sources: Sources, refresh: Callable[[], None], closing: asyncio.Event) -> None:
    """Call `refresh`, in a thread, whenever such a file has changed, until `closing`."""
    while not closing.is_set():
        folders = sources.folders()
        try:
            await _follow(sources, folders, refresh, closing)
        except FileNotFoundError:  # a folder went away just now
            await asyncio.sleep(STEP_MS / 1000)
        if not closing.is_set():
            await asyncio.to_thread(refresh)  # for what changed between two watches


async def _follow(
    sources: Sources,
    folders: frozenset[Path],
    refresh: Callable[[], None],
    closing: asyncio.Event,
) -> None:
    """Watch these folders until others count."""

    def decides(_change: Change, path: str) -> bool:
        return sources.decide(Path(path))

    changes = awatch(
        *sorted(folders),
        watch_filter=decides,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        stop_event=closing,
        recursive=False,
    )
    async for _ in changes:
        await asyncio.to_thread(refresh)
        if sources.folders() != folders:
            return
