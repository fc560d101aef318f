"""What no page needs goes from the store: all of it, what is old, or what is too much."""

from __future__ import annotations

from pathlib import Path

from sitegen.build.assembly import drawn_keys, placed
from sitegen.build.cache import Store
from sitegen.build.context import BuildContext, BuildOptions, Records, found, prepare_site
from sitegen.build.output import alone
from sitegen.build.uses import MEGABYTE, Uses, beyond, unused_since
from sitegen.config.loader import load_site
from sitegen.core.compute import ComputeTarget


def clean_unused(config: Path) -> str:
    """Remove it, and say how much that was.

    Raises ConfigError, with nothing removed, where pages cannot be read, LockedError while a build
    is at work, PlatformError for what cannot be removed.
    """
    site = load_site(config)
    with alone(site):
        context = prepare_site(site, BuildOptions(ComputeTarget("cpu", "float32"), offline=True))
        store = Store(site.cache_dir)
        records = found(context.figures, store, context.environment)
        keys = _needed(context, store, records)
        before = len(context.figures) - len(context.missing(records))
        count, size = store.prune(keys, site.models)
    if size == 0:
        return f"nothing in {site.cache_dir} is unused: its {before} figures stand on pages"
    gone = f"{count} record{'s' * (count != 1)}"
    return f"removed what no page needs: {gone}, {size / 1e6:.1f} MB; {before} figures stay"


def clean_old(config: Path, days: float) -> str:
    """Remove what no page needs and none has needed for so many days; say how much that was.

    Raises as `clean_unused` does.
    """
    site = load_site(config)
    with alone(site):
        context = prepare_site(site, BuildOptions(ComputeTarget("cpu", "float32"), offline=True))
        store = Store(site.cache_dir)
        needed = _needed(context, store, found(context.figures, store, context.environment))
        old = unused_since(store, site.cache_dir, needed, days)
        size = store.drop(old)
    if not old:
        return f"nothing in {site.cache_dir} was unused for {days:g} days"
    gone = f"{len(old)} record{'s' * (len(old) != 1)}"
    return f"removed what was unused for {days:g} days: {gone}, {size / 1e6:.1f} MB"


def tidy(context: BuildContext, records: Records, *, changed: bool) -> str | None:
    """Note what a build has used, and keep the store below its limit; what there is to be said.

    The lock is held where the site has a limit. Raises PlatformError for what cannot be removed.
    """
    site, limit = context.site, context.site.cache_limit
    store, uses = Store(site.cache_dir), Uses(site.cache_dir)
    needed = _needed(context, store, records)
    uses.note(needed, changed=changed)
    if limit is None:
        return None
    gone = beyond(store, site.cache_dir, needed, limit)
    freed, size = store.drop(gone), store.size()
    if size > limit * MEGABYTE:
        most = f"{size / MEGABYTE:.1f} MB, all of which its pages need"
        return f"{site.cache_dir}: is beyond its cache_limit of {limit} MB: it has {most}"
    count = f"{len(gone)} record{'s' * (len(gone) != 1)}"
    told = f"{site.cache_dir}: {count} of no use now went, {freed / MEGABYTE:.1f} MB: cache_limit"
    return told if gone else None


def note_use(context: BuildContext) -> None:
    """Note that a site which has not changed was built, once a day."""
    Uses(context.site.cache_dir).note(_keys(context), changed=False)


def _keys(context: BuildContext) -> set[str]:
    return {planned.request_digest for planned in context.figures}


def _needed(context: BuildContext, store: Store, records: Records) -> set[str]:
    """The keys of all figures of pages, of older clips where there are no others, and of drawings.

    Where a figure is missing it is not known what is drawn of it, and all drawings stay.
    """
    keys = _keys(context)
    for digest in [key for key in keys if not store.digests_of(key)]:
        keys |= set(store.keys(f"{digest}-"))
    there = tuple(each for each in context.figures if each.request_digest in records)
    if len(there) < len(context.figures):
        return keys | set(store.keys("drawn-"))
    return keys | drawn_keys(context.site, context.pages, placed(there, records))
