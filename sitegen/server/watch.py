"""Following the author: whatever decides the site is read again when it changes.

Only the folders that hold such files are watched, none of them deeply, and only those files count.
So neither the built folder nor the store can set off a build. A watch stays with a folder that is
moved away, so when another one takes its name, as after a change of branch, it is begun anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

from watchfiles import Change, awatch
from watchfiles.main import FileChange

from sitegen.server.preview import Preview

DEBOUNCE_MS, STEP_MS = 400, 40
"""A change is told after one step without another one, or when the debounce is over."""

STANDING_S = 0.1
"""By then a watch that was begun notices what changes."""

THEME_FOLDER = "theme"
"""What an author may have beside `site.toml` to change the look."""


class Sources:
    """The files that a site is made from, by what was read last and what is wrong now."""

    def __init__(self, preview: Preview) -> None:
        self._preview = preview
        self._config = preview.config.absolute()

    def folders(self) -> frozenset[Path]:
        """The folders that such files lie in, as far as they are there."""
        root = self._config.parent
        theme = root / THEME_FOLDER
        named = {folder for path in self._named() for folder in self._down_to(path)}
        found = {root, root / "pages", theme, *theme.rglob("*"), *named}
        if self._preview.scene.error:
            beside = (*root.iterdir(), *(root / "pages").rglob("*"))
            found |= {path for path in beside if self._may_matter(path)}
        return frozenset(path for path in found if path.is_dir())

    def decide(self, path: Path) -> bool:
        """Whether a change of that file or folder can change the site.

        While something is wrong, all that is not hidden may mend it: a picture that was missing.
        """
        root = self._config.parent
        if path == self._config or path in self._named():
            return True
        if not path.is_relative_to(root) or not self._may_matter(path):
            return False
        parts = path.relative_to(root).parts
        page = parts[:1] == ("pages",) and path.suffix.lower() in (".md", ".markdown")
        wrong = self._preview.scene.error is not None
        return parts == ("pages",) or page or parts[:1] == (THEME_FOLDER,) or wrong

    def _may_matter(self, path: Path) -> bool:
        """Whether it is no hidden file, no editor's copy, and nothing that sitegen writes."""
        context = self._preview.context
        ours = (context.output, context.site.output, context.site.cache_dir) if context else ()
        inside = path.relative_to(self._config.parent).parts
        hidden = any(part.startswith(".") for part in inside)
        return not hidden and not path.name.endswith("~") and path not in ours

    def _down_to(self, path: Path) -> Iterator[Path]:
        """The folder that a file lies in, and those between the site's own and it."""
        yield path.parent
        root = self._config.parent
        yield from (each for each in path.parents if each.is_relative_to(root))

    def _named(self) -> set[Path]:
        """The cards, weights and priors of the models, and the author's files on the pages."""
        context = self._preview.context
        if context is None:
            return set()
        models = context.sources.values()
        files = [path for each in models for path in (each.card_path, each.weights, each.prior)]
        files += [own.source for page in context.pages for own in page.files]
        specs = [(planned.figure.root, planned.figure.spec) for planned in context.figures]
        names = [(root, getattr(spec, name)) for root, spec in specs for name in spec.files]
        files += [root / name for root, name in names if name]
        return {path.absolute() for path in files if path is not None}


async def watch(sources: Sources, refresh: Callable[[], None], closing: asyncio.Event) -> None:
    """Call `refresh`, in a thread, whenever such a file has changed, until `closing`."""
    while not closing.is_set():
        try:
            await _follow(sources, sources.folders(), refresh, closing)
        except FileNotFoundError:  # a folder went away just now
            await asyncio.sleep(STANDING_S)


async def _follow(
    sources: Sources,
    folders: frozenset[Path],
    refresh: Callable[[], None],
    closing: asyncio.Event,
) -> None:
    """Watch these folders until others count, or have taken their names."""

    def matters(_: Change, path: str) -> bool:
        return Path(path) in folders or sources.decide(Path(path))

    enough = asyncio.Event()
    passing_on = asyncio.create_task(_pass_on(closing, enough))
    changes = awatch(
        *sorted(folders),
        watch_filter=matters,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        stop_event=enough,
        recursive=False,
    )
    told = asyncio.create_task(_next(changes))
    try:
        await asyncio.sleep(STANDING_S)
        await asyncio.to_thread(refresh)  # for what changed before this watch stood
        while sources.folders() == folders and (changed := await told):
            if folders & changed:
                return
            await asyncio.to_thread(refresh)
            told = asyncio.create_task(_next(changes))
    finally:
        enough.set()
        await asyncio.gather(told, return_exceptions=True)
        passing_on.cancel()


async def _next(changes: AsyncGenerator[set[FileChange], None]) -> set[Path]:
    """Wait for a change and give the paths; none when there will be no more."""
    async for changed in changes:
        return {Path(path) for _, path in changed}
    return set()


async def _pass_on(first: asyncio.Event, second: asyncio.Event) -> None:
    await first.wait()
    second.set()
