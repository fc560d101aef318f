"""`sitegen clean --unused`: what no page needs goes from the store."""

from __future__ import annotations

from pathlib import Path

from sitegen.build.assembly import drawn_keys, placed
from sitegen.build.cache import Store
from sitegen.build.context import BuildContext, BuildOptions, Records, found, prepare_site
from sitegen.build.output import alone
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


def _needed(context: BuildContext, store: Store, records: Records) -> set[str]:
    """The keys of all figures of pages, of older clips where there are no others, and of drawings.

    Where a figure is missing it is not known what is drawn of it, and all drawings stay.
    """
    keys = {planned.request_digest for planned in context.figures}
    for digest in [key for key in keys if not store.digests_of(key)]:
        keys |= set(store.keys(f"{digest}-"))
    there = tuple(each for each in context.figures if each.request_digest in records)
    if len(there) < len(context.figures):
        return keys | set(store.keys("drawn-"))
    return keys | drawn_keys(context.site, context.pages, placed(there, records))
