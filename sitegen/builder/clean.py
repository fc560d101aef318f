"""Removal of the built folder, of the store, or of the clips that no page needs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sitegen.builder.install import remove_folder, require_ours
from sitegen.builder.plan import BuildOptions, prepare
from sitegen.builder.store import OWN_NAMES, Store
from sitegen.config.schema import Site
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import ConfigError
from sitegen.core.source import shown


def clean(site: Site, *, store: bool = False) -> list[str]:
    """Remove the built folder, with `store` also the rendered clips; report each path.

    Raises ConfigError, with nothing removed, for an output folder that sitegen did not build, and
    for a store with other files in it; LockedError during a build, PlatformError for files that
    cannot be removed.
    """
    output = Path(os.path.realpath(site.output))
    require_ours(output)
    folder = Store(site.cache_dir)
    is_stored = site.cache_dir.is_dir()
    if store and is_stored:
        names = {path.name for path in site.cache_dir.iterdir()} - OWN_NAMES
        if names:  # then it is no store
            raise ConfigError(
                f"{site.cache_dir}: holds other files ({', '.join(sorted(names)[:3])}), so it is "
                "not removed; remove objects/ and records/ in it yourself"
            )
    # A lock would create the folder of a store that does not exist.
    with folder.locked() if is_stored else contextlib.nullcontext():
        removed = [output] if remove_folder(output) else []
        if store and remove_folder(site.cache_dir):
            removed.append(site.cache_dir)
    return [f"removed {shown(path)}" for path in removed]


def clean_unused(site: Site) -> str:
    """Remove the records and clips that no page needs; report their number and size.

    Raises as `prepare` does, with nothing removed; LockedError during a build, PlatformError for
    files that cannot be removed.
    """
    if not site.cache_dir.is_dir():
        return f"there is no {shown(site.cache_dir)}"
    store = Store(site.cache_dir)
    with store.locked():
        context = prepare(site, BuildOptions(ComputeTarget("cpu", "float32"), offline=True))
        count, size = store.prune(set(context.keys))
    if count == 0 and size == 0:
        return f"nothing in {shown(site.cache_dir)} is unused"
    records = f"{count} record{'s' * (count != 1)}"
    return f"removed {records} that no page needs, {size / 1e6:.1f} MB"
