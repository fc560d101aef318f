"""What no page needs goes from the store: all of it, what is old, or what is too much."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from sitegen.builder.assembly import drawn_keys, placed
from sitegen.builder.cache import Store
from sitegen.builder.context import BuildContext, BuildOptions
from sitegen.builder.output import alone
from sitegen.builder.uses import MEGABYTE, Uses, beyond, unused_since
from sitegen.builder.works import Work, prepare_all
from sitegen.config.loader import load_papers, load_site
from sitegen.core.compute import ComputeTarget


def clean_unused(config: Path) -> str:
    """Remove it, and say how much that was.

    Raises ConfigError, with nothing removed, where pages cannot be read, LockedError while a build
    is at work, PlatformError for what cannot be removed.
    """
    site = load_site(config)
    count = size = before = 0
    with ExitStack() as locks:
        for each in (site, *load_papers(site)):
            locks.enter_context(alone(each))
        works = prepare_all(site, BuildOptions(ComputeTarget("cpu", "float32"), offline=True))
        for work in works:
            store = Store(work.context.site.cache_dir)
            keys = _needed(work, store)
            before += len(work.context.figures) - len(work.missing)
            records, weight = store.prune(keys, work.context.site.models)
            count, size = count + records, size + weight
    if size == 0:
        return f"nothing in {site.cache_dir} is unused: its {before} figures stand on pages"
    gone = f"{count} record{'s' * (count != 1)}"
    return f"removed what no page needs: {gone}, {size / 1e6:.1f} MB; {before} figures stay"


def clean_old(config: Path, days: float) -> str:
    """Remove what no page needs and none has needed for so many days; say how much that was.

    Raises as `clean_unused` does.
    """
    site = load_site(config)
    size, old = 0, list[str]()
    with ExitStack() as locks:
        for each in (site, *load_papers(site)):
            locks.enter_context(alone(each))
        for work in prepare_all(site, BuildOptions(ComputeTarget("cpu", "float32"), offline=True)):
            folder = work.context.site.cache_dir
            store = Store(folder)
            gone_now = unused_since(store, folder, _needed(work, store), days)
            size, old = size + store.drop(gone_now), [*old, *gone_now]
    if not old:
        return f"nothing in {site.cache_dir} was unused for {days:g} days"
    gone = f"{len(old)} record{'s' * (len(old) != 1)}"
    return f"removed what was unused for {days:g} days: {gone}, {size / 1e6:.1f} MB"


def tidy(work: Work, *, changed: bool) -> str | None:
    """Note what a build has used, and keep the store below its limit; what there is to be said.

    The lock is held where the site has a limit. Raises PlatformError for what cannot be removed.
    """
    site, limit = work.context.site, work.context.site.cache_limit
    store, uses = Store(site.cache_dir), Uses(site.cache_dir)
    needed = _needed(work, store)
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


def _needed(work: Work, store: Store) -> set[str]:
    """The keys of all figures of pages, of older clips where there are no others, and of drawings.

    Where a figure is missing it is not known what is drawn of it, and all drawings stay.
    """
    context, records = work.context, work.records
    keys = _keys(context)
    for digest in [key for key in keys if not store.digests_of(key)]:
        keys |= set(store.keys(f"{digest}-"))
    there = tuple(each for each in context.figures if each.request_digest in records)
    if any(each.missing for each in (work, *work.papers)):
        return keys | set(store.keys("drawn-"))
    below = [each.context.paper(each.records) for each in work.papers]
    return keys | drawn_keys(context.site, context.pages, placed(there, records), below)
