"""Trajectories that several figures of a build show: computed for the first, kept for the others.

Only bit-identical trajectories are shared, all samples with their noise, so that no picture depends
on which other figures a build makes. They are kept in a spool, so that memory does not grow with
the levels. A trajectory that does not fit into `MOST_BYTES` is computed again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from weakref import WeakSet, WeakValueDictionary

from sitegen.sampling.run import Selection, SpooledLevels, Visible, select

MOST_BYTES = 256 << 20
"""Maximum bytes of all trajectories kept at a time, most of them on disk."""

Begin = Callable[[Selection], Iterator[Visible]]


class Sharing:
    """Trajectories that figures requested, each kept as long as a request for it exists."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.guard = threading.Lock()
        self.known: WeakValueDictionary[Hashable, _Shared] = WeakValueDictionary()

    def asked(self, key: Hashable, size: int, begin: Begin) -> Begin:
        """Return a function that yields the levels of `begin`, once for all equal requests.

        key: equal for equal trajectories
        size: the bytes of all states and means
        """
        with self.guard:
            shared = self.known.setdefault(key, _Shared(size))
            return _Request(self, shared, begin)

    def room(self, size: int) -> bool:
        """Return whether a trajectory of that size can be kept now; requires the guard."""
        used = sum(each.size for each in self.known.values() if each.keeping)
        return used + size <= self.most_bytes


class _Shared:
    """A trajectory with its `pending` requests; `kept` once all of it was computed."""

    def __init__(self, size: int) -> None:
        self.size, self.keeping = size, False
        self.kept: SpooledLevels | None = None
        self.pending: WeakSet[_Request] = WeakSet()


class _Request:
    """A figure's request for a trajectory, pending until its levels are consumed."""

    def __init__(self, sharing: Sharing, shared: _Shared, begin: Begin) -> None:
        self._sharing, self._begin = sharing, begin
        self._shared: _Shared | None = shared
        shared.pending.add(self)

    def __call__(self, selection: Selection) -> Iterator[Visible]:
        """Yield the levels: kept ones, or new ones, which are kept if another request is pending.

        Predicted images are neither kept nor taken from what is kept.
        """
        shared, self._shared = self._shared, None
        if shared is None or selection == "final":
            yield from self._begin(selection)
            return
        with self._sharing.guard:
            shared.pending.discard(self)
            kept = shared.kept
            keep = kept is None and not shared.keeping and bool(shared.pending)
            keep = keep and self._sharing.room(shared.size)
            shared.keeping |= keep
        if kept is not None:
            yield from _selected(kept.levels(), selection)
        elif keep:
            yield from self._keep(shared, selection)
        else:
            yield from self._begin(selection)

    def _keep(self, shared: _Shared, selection: Selection) -> Iterator[Visible]:
        """Yield new levels, and keep them if they are consumed to the end."""
        made = SpooledLevels()

        def noted() -> Iterator[Visible]:
            for level, both in self._begin("steps"):
                made.add(level, both)
                yield level, both

        try:
            yield from _selected(noted(), selection)
            shared.kept = made
        finally:
            shared.keeping = shared.kept is not None


def _selected(levels: Iterator[Visible], selection: Selection) -> Iterator[Visible]:
    return ((level, select(level, both, selection)) for level, both in levels)
