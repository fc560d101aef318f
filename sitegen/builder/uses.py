"""When the records of a store were last of use, and what goes when it grows too large.

`used.json` in the store, which git leaves out, tells when a site last needed a record; where it
says nothing, that is when the record was written. Time never goes back in it, whatever the clock of
a host says. What the site needs now never goes.
"""

import contextlib
import json
import math
import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from sitegen.builder.cache import USES, Store
from sitegen.core.errors import PlatformError
from sitegen.core.files import read_file, write_atomic

DAY = 24 * 3600.0  # seconds
MEGABYTE = 1_000_000


class Uses:
    """What is known of the store in `root`. A file that cannot be read or written is none."""

    def __init__(self, root: Path) -> None:
        self._path = root / USES
        self._root = root

    def note(self, keys: Collection[str], *, changed: bool) -> None:
        """Keep that these records were needed now; unless the site `changed`, once a day."""
        known = self._read()
        last = max(known.values(), default=0.0)
        now = max(time.time(), last)
        if changed or now - last > DAY:
            there = {key: at for key, at in known.items() if self._record(key).exists()}
            with contextlib.suppress(PlatformError):
                write_atomic(self._path, _dump({**there, **dict.fromkeys(keys, round(now, 3))}))

    def last(self, keys: Collection[str]) -> Mapping[str, float]:
        """When each of these records was last of use, in seconds since 1970."""
        known = self._read()
        return {key: max(known.get(key, 0.0), self._written(key)) for key in keys}

    def _record(self, key: str) -> Path:
        return self._root / "records" / f"{key}.json"

    def _written(self, key: str) -> float:
        with contextlib.suppress(OSError):
            return self._record(key).stat().st_mtime
        return 0.0

    def _read(self) -> dict[str, float]:
        with contextlib.suppress(OSError, ValueError, RecursionError, OverflowError):
            value = json.loads(read_file(self._path))
            if isinstance(value, dict):
                known = {key: at for key, at in value.items() if isinstance(at, int | float)}
                return {key: float(at) for key, at in known.items() if math.isfinite(at)}
        return {}


def _dump(value: Mapping[str, float]) -> bytes:
    return f"{json.dumps(value, indent=1, sort_keys=True)}\n".encode()


def unused_since(store: Store, root: Path, needed: Collection[str], days: float) -> list[str]:
    """The records that are not needed and were of no use for so many days."""
    others = [key for key in store.keys("") if key not in needed]
    last, now = Uses(root).last(others), time.time()
    return [key for key in others if now - last[key] >= days * DAY]


def beyond(store: Store, root: Path, needed: Collection[str], limit: int) -> list[str]:
    """The records that must go so that the store has at most `limit` MB: the oldest in use first.

    None that is needed, though the store be larger then.
    """
    above = store.size() - limit * MEGABYTE
    if above <= 0:
        return []
    files = {key: store.files_of(key) for key in store.keys("")}
    shared = Counter(path for paths in files.values() for path in paths)
    last, gone = Uses(root).last([key for key in files if key not in needed]), list[str]()
    for key in sorted(last, key=lambda key: (last[key], key)):
        if above <= 0:
            break
        gone.append(key)
        shared.subtract(files[key].keys())
        above -= sum(size for path, size in files[key].items() if shared[path] == 0)
    return gone
