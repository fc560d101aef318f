"""Watching of the author's files, so that the site is read again when one of them changes.

Only the folders that contain source files are watched, without their subfolders, and only changes
of source files count. Neither the built folder nor the store can therefore start a build. A watch
follows a folder that is moved away. When a folder is added, removed or replaced, for example when
the branch changes or the site is moved, the watch is restarted.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing, suppress
from pathlib import Path
from stat import S_ISDIR

from watchfiles import awatch

from sitegen.generative.checkpoints.inspection import SUFFIXES
from sitegen.html.theme import FOLDER
from sitegen.server.preview import Preview

DEBOUNCE_MS, STEP_MS = 400, 40
"""Milliseconds: changes are reported after a step without changes, at latest after the debounce."""

LOOK_MS = 100
"""Milliseconds until a new watch detects changes, and between checks whether it should stop."""


class Sources:
    """The source files of a site, according to the last reading and the current errors."""

    def __init__(self, preview: Preview) -> None:
        self._preview = preview
        self._config = preview.config
        self._root = self._config.parent
        self._theme = self._root / FOLDER

    def folders(self) -> frozenset[Path]:
        """Return paths of the folders that contain source files, and of files; all may be missing.

        Raises FileNotFoundError if the site's folder is missing and there is an error.
        """
        themes = [self._theme, *self._theme.rglob("*")]
        found = {self._root, self._root / "pages", *themes, *self._ways()}
        if self._preview.state.error:
            beside = (*self._root.iterdir(), *(self._root / "pages").rglob("*"))
            found |= {path for path in beside if self._may_matter(path)}
        return frozenset(found)

    def decide(self, path: Path) -> bool:
        """Return whether a change of this file or folder can change the site.

        While there is an error, any visible file may resolve it, such as a missing picture.
        """
        if path == self._config or path in self._ways():
            return True
        if path.parent in self._dropped_at() and path.suffix.lower() in SUFFIXES:
            return not path.name.startswith(".")
        if not path.is_relative_to(self._root) or not self._may_matter(path):
            return False
        parts = path.relative_to(self._root).parts
        page = parts[:1] == ("pages",) and path.suffix.lower() in (".md", ".markdown")
        wrong = self._preview.state.error is not None
        return parts == ("pages",) or page or parts[:1] == (FOLDER,) or wrong

    def _may_matter(self, path: Path) -> bool:
        """Return whether it is not hidden, not an editor's backup and not written by sitegen."""
        context = self._preview.context
        ours = (context.output, context.site.output, context.site.cache_dir) if context else ()
        hidden = any(part.startswith(".") for part in path.relative_to(self._root).parts)
        return not hidden and not path.name.endswith("~") and path not in ours

    def _ways(self) -> set[Path]:
        """Return the named files, even if missing, and the folders that lead to them."""
        named = self._named() | self._dropped_at()
        inside = {way for path in named for way in path.parents if way.is_relative_to(self._root)}
        return named | inside | {path.parent for path in named}

    def _named(self) -> set[Path]:
        """Return the files of the models, and the author's files on the pages."""
        context = self._preview.context
        if context is None:
            return set()
        files = [own.source for page in context.pages for own in page.files]
        for source in context.models.values():
            parts = (source.card_path, source.example, *source.files)
            files += [path for path in parts if path is not None]
        for figure in (planned.figure for planned in context.figures):
            files += [figure.root / getattr(figure.spec, name) for name in figure.files]
        return {path.absolute() for path in files}

    def _dropped_at(self) -> set[Path]:
        """Return the paths at which a checkpoint or model may appear: its path, or a folder."""
        context = self._preview.context
        models = context.site.models.values() if context else ()
        paths = [entry.path.absolute() for entry in models if entry.preset or entry.missing_file]
        paths += [entry.root / entry.sampler[0] for entry in models if entry.sampler]
        return {place for path in paths for place in (path, path.with_suffix(""))}


Identities = frozenset[tuple[Path, int, int]]
"""Folders with their device and inode numbers."""


def identities(paths: Iterable[Path]) -> Identities:
    """Return the folders among the paths with their identities; skip missing ones and files."""
    found = set()
    for path in paths:
        with suppress(OSError):
            about = path.stat()
            if S_ISDIR(about.st_mode):
                found.add((path, about.st_dev, about.st_ino))
    return frozenset(found)


async def watch(sources: Sources, refresh: Callable[[], None], closing: asyncio.Event) -> None:
    """Call `refresh` in a thread after each change of a source file, until `closing`.

    A watch ends when one of its folders is added, removed or replaced; the next one begins with a
    refresh, which covers changes from before it began.
    """
    while not closing.is_set():
        with suppress(FileNotFoundError):  # a folder was just removed
            wanted = sources.folders()
            if watched := identities(wanted):
                await _follow(sources, wanted, watched, refresh, closing)
        await asyncio.sleep(LOOK_MS / 1000)


async def _follow(
    sources: Sources,
    wanted: frozenset[Path],
    watched: Identities,
    refresh: Callable[[], None],
    closing: asyncio.Event,
) -> None:
    folders = frozenset(path for path, *_ in watched)
    changes = awatch(
        *sorted(folders),
        watch_filter=lambda _, path: Path(path) in folders or sources.decide(Path(path)),
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
        stop_event=closing,
        recursive=False,
    )
    begun = False
    async with aclosing(changes):
        async for found in changes:
            if found or not begun:
                await asyncio.to_thread(refresh)
                wanted, begun = sources.folders(), True
            if folders & {Path(path) for _, path in found} or identities(wanted) != watched:
                return
