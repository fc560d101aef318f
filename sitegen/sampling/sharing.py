"""Trajectories that several figures of a build show: computed for the first, kept for the others.

Only what is the same to the last bit is shared, all samples with their noise, so that no picture
depends on which other figures a build makes. What does not fit into `MOST_BYTES` is computed anew.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial

from sitegen.sampling.shards import Keep, Seen, picked

MOST_BYTES = 256 << 20
"""How much of all trajectories may be kept at a time."""

Begin = Callable[[Keep], Iterator[Seen]]


class Sharing:
    """What figures have asked for, and what is kept until all who asked have seen it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._left = most_bytes
        self._asking: Counter[Hashable] = Counter()
        self._kept: dict[Hashable, list[Seen]] = {}
        self._guard = threading.Lock()

    def asked(self, key: Hashable, size: int, begin: Begin) -> Begin:
        """What `begin` gives, for one more who asks for it.

        key: what is equal for equal trajectories
        size: the bytes of all states and means
        """
        self._asking[key] += 1
        return partial(self._seen, key, size, begin)

    def _seen(self, key: Hashable, size: int, begin: Begin, keep: Keep) -> Iterator[Seen]:
        with self._guard:
            self._asking[key] -= 1
            known = self._kept.get(key)
            keeping = known is None and self._asking[key] > 0 and size <= self._left
            if keeping:
                self._left -= size
        if known is not None:
            yield from _picked(known, keep)
            self._drop(key, size)
        elif not keeping:
            yield from begin(keep)
        else:
            made: list[Seen] = []
            yield from _picked(_noted(begin("steps"), made), keep)
            self._kept[key] = made
            self._drop(key, size)

    def _drop(self, key: Hashable, size: int) -> None:
        """Keep a trajectory no longer when nobody is left to see it."""
        with self._guard:
            if not self._asking[key] and self._kept.pop(key, None) is not None:
                self._left += size


def _noted(levels: Iterator[Seen], made: list[Seen]) -> Iterator[Seen]:
    for seen in levels:
        made.append(seen)
        yield seen


def _picked(levels: Iterable[Seen], keep: Keep) -> Iterator[Seen]:
    return ((level, picked(level, both, keep)) for level, both in levels)
