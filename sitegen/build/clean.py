"""Removing what sitegen made in a site's folder, and nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from sitegen.build.cache import PARTS
from sitegen.build.output import LOCK_NAME, alone, require_ours
from sitegen.config.schema import Site
from sitegen.core.files import platform_errors, sweep
from sitegen.core.source import shown


def clean(site: Site, *, store: bool = False) -> list[str]:
    """Remove the built folder and leftovers, with `store` the rendered clips too; say what went.

    Raises ConfigError, with nothing removed, for an output folder that sitegen did not build,
    LockedError while a build is at work, PlatformError for what cannot be removed.
    """
    output = Path(os.path.realpath(site.output))
    require_ours(output)
    removed: list[str] = []
    with alone(site):
        for folder in (site.cache_dir, site.cache_dir / "work", output.parent):
            before = _names(folder)
            sweep(folder)
            removed += [shown(folder / name) for name in sorted(before - _names(folder))]
        removed += _remove(output)
        if store:
            for name in PARTS:
                removed += _remove(site.cache_dir / name)
    if store:
        _remove_empty(site.cache_dir)
    return removed


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _remove(path: Path) -> list[str]:
    with platform_errors(path, "remove"):
        if not path.exists():
            return []
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return [shown(path)]


def _remove_empty(folder: Path) -> None:
    """Remove the store's own folder and its lock, if the author keeps nothing else in it."""
    if _names(folder) <= {LOCK_NAME}:
        with platform_errors(folder, "remove"):
            (folder / LOCK_NAME).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                folder.rmdir()
