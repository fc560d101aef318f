"""Removal of the built folder, the store, or the unused part of the store.

The last use of a record is the modification time of its file. Records that pages need are kept.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

from sitegen.builder.cache import Store
from sitegen.builder.context import BuildOptions
from sitegen.builder.output import KEPT, alone, foreign, require_ours
from sitegen.builder.state import SiteBuild, prepare_all, require_sound
from sitegen.builder.store_folder import empty, require_removable, require_store
from sitegen.builder.store_folder import others as left
from sitegen.config.loader import load_site
from sitegen.config.schema import Site
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import ConfigError
from sitegen.core.files import platform_errors, remove_stale_temporaries, restore_backup
from sitegen.core.progress import Reporter
from sitegen.core.source import shown

DAY = 24 * 3600.0  # seconds
MEGABYTE = 1_000_000
_MOST = 5  # files that a message names


def clean(site: Site, *, store: bool = False) -> list[str]:
    """Remove the built folder and leftovers, with `store` also the rendered clips; report each.

    Raises ConfigError, with nothing removed, for an output folder that sitegen did not build or
    that has foreign files, and for a `cache_dir` that is not a store or, with `store`, is a link.
    Raises LockedError during a build, PlatformError for files that cannot be removed.
    """
    output, folder = Path(os.path.realpath(site.output)), site.cache_dir
    require_ours(output)
    (require_removable if store else require_store)(folder)
    if output.is_dir() and (others := foreign(output, site)):
        lines = [
            f"{shown(output / name)}: was not written by sitegen, or was changed since"
            for name in others[:_MOST]
        ]
        lines += [f"and {len(others) - _MOST} more"] if others[_MOST:] else []
        raise ConfigError(
            "\n".join([*lines, "nothing was removed; `sitegen build` keeps such files in "])
            + f"{KEPT}/, or move what you need elsewhere and remove the folder yourself"
        )
    removed = list[Path]()
    with alone(site):
        restore_backup(output)
        for each in (folder, folder / "work", output.parent):
            removed += remove_stale_temporaries(each)
        if output.is_dir():
            with platform_errors(output, "remove"):
                shutil.rmtree(output)
            removed.append(output)
    if store and folder.is_dir():
        removed += empty(folder)
    lines = [f"removed {shown(path)}" for path in removed]
    return [*lines, *(f"left {shown(path)}" for path in left(folder) if store)]


def clean_unused(config: Path, days: float | None = None) -> str:
    """Remove the part of the store that no page needs or has needed for `days`; report its size.

    Raises ConfigError, with nothing removed, if pages cannot be read, LockedError during a build,
    PlatformError for files that cannot be removed.
    """
    site = load_site(config)
    count = size = before = 0
    with ExitStack() as locks:
        locks.enter_context(alone(site))
        works = prepare_all(site, BuildOptions(ComputeTarget("cpu", "float32"), offline=True))
        require_sound(works)
        for work in works:
            store = Store(work.context.site.cache_dir)
            since = time.time() - (days or 0) * DAY
            keys = _needed(work, store)
            keys |= {key for key, used in store.last_use().items() if days and used > since}
            before += len(work.context.figures) - len(work.missing)
            records, weight = store.prune(keys, work.context.site.models)
            count, size = count + records, size + weight
    gone = f"removed {count} record{'s' * (count != 1)}"
    if days is not None:
        told = f"{gone} unused for {days:g} days, {size / 1e6:.1f} MB"
        return told if count else f"nothing in {site.cache_dir} was unused for {days:g} days"
    if size == 0:
        return f"nothing in {site.cache_dir} is unused: pages show all of its {before} figures"
    return f"{gone} that no page needs, {size / 1e6:.1f} MB; {before} figures stay"


def tidy(work: SiteBuild, report: Reporter, *, changed: bool) -> None:
    """Note the use of a build's records, and keep the store below its limit.

    Requires the lock if the store is above it. Raises PlatformError for files that cannot be
    removed.
    """
    site, limit = work.context.site, work.context.site.cache_limit
    store = Store(site.cache_dir)
    needed = _needed(work, store)
    store.touch(needed, always=changed)
    if limit is None:
        return
    try:
        gone = beyond(store, needed, limit)
        _, freed = store.prune({*store.keys("")} - {*gone}, site.models) if gone else (0, 0)
        size = store.size() / MEGABYTE
    except ConfigError as error:  # a link is in the way
        report.note(f"cache_limit: {error}")
        return
    if size > limit:
        most = f"it has {size:.1f} MB, all of which its pages need"
        report.note(f"{site.cache_dir}: is larger than its cache_limit of {limit} MB: {most}")
    elif gone:
        count = f"{len(gone)} record{'s' * (len(gone) != 1)} of no use now went"
        report.note(f"{site.cache_dir}: {count}, {freed / MEGABYTE:.1f} MB: cache_limit")


def beyond(store: Store, needed: Collection[str], limit: int) -> list[str]:
    """Return the records to remove so that the store has at most `limit` MB, the oldest use first.

    Needed records stay, even if the store is larger then.
    """
    above = store.size() - limit * MEGABYTE
    if above <= 0:
        return []
    last = store.last_use()
    files = {key: store.files_of(key) for key in last}
    shared, gone = Counter(path for paths in files.values() for path in paths), list[str]()
    for key in sorted(last.keys() - needed, key=lambda key: (last[key], key)):
        if above <= 0:
            break
        gone.append(key)
        shared.subtract(files[key].keys())
        above -= sum(size for path, size in files[key].items() if shared[path] == 0)
    return gone


def _needed(work: SiteBuild, store: Store) -> set[str]:
    """Return the keys of all figures on pages."""
    return {planned.request_digest for planned in work.context.figures}
