"""Watching of the author's files, so that the site is read again when one of them changes."""

import asyncio
from pathlib import Path

from watchfiles import awatch

from sitegen.server.preview import Preview

DEBOUNCE_MS, STEP_MS = 400, 40
"""Milliseconds: changes are reported after a step without changes, at latest after the debounce."""

LOOK_MS = 200
"""Milliseconds after which the watch first reports, even without a change."""


def may_matter(preview: Preview, path: Path) -> bool:
    """Return whether a file is not hidden, not an editor's backup and not written by sitegen."""
    root, context = preview.config.parent, preview.context
    ours = {root / "build", root / ".sitegen"}
    if context is not None:
        ours = {context.output, context.site.output, context.site.cache_dir}
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    is_hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
    is_ours = any(path.is_relative_to(folder) for folder in ours)
    return not is_hidden and not is_ours and not path.name.endswith("~")


async def watch(preview: Preview) -> None:
    """Refresh the preview after each change in the folder of its site, until cancelled."""
    changes = awatch(
        preview.config.parent,
        watch_filter=lambda _, path: may_matter(preview, Path(path)),
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
    )
    try:
        is_first = True
        async for paths in changes:
            if paths or is_first:  # changes before the watch began are read as well
                await asyncio.to_thread(preview.refresh)
                is_first = False
    except OSError as error:
        preview.report.warn(f"changes are not noticed any more: {error}; restart `sitegen serve`")
