"""Trajectories that several figures of a build show: computed for the first, kept for the others.

Only bit-identical trajectories are shared, all samples with their noise, so that no picture depends
on which other figures a build makes. They are kept in a spool, so that memory does not grow with
the levels. A trajectory that does not fit into `MOST_BYTES` is computed again.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sitegen.core.files import Place, Spool
from sitegen.sampling.batches import Selection, Visible, select

MOST_BYTES = 256 << 20
"""Maximum bytes of all trajectories kept at a time, most of them on disk."""

Begin = Callable[[Selection], Iterator[Visible]]


class Sharing:
    """Trajectories that figures requested, kept until all of these figures have used them."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._left = most_bytes
        self._asking: Counter[Hashable] = Counter()
        self._kept: dict[Hashable, tuple[_KeptTrajectory, int]] = {}
        self._guard = threading.RLock()  # a request may be deleted while another has it

    def asked(self, key: Hashable, size: int, begin: Begin) -> Begin:
        """Return a function that yields the levels of `begin`, and count one more request.

        The request counts until its levels are consumed. One that is never begun, such as that of a
        cancelled figure, counts until it is deleted.

        key: equal for equal trajectories
        size: the bytes of all states and means
        """
        with self._guard:
            self._asking[key] += 1
        return _Request(self, key, size, begin)

    def seen(
        self, key: Hashable, size: int, begin: Begin, keep: Selection, ended: Callable[[], object]
    ) -> Iterator[Visible]:
        """Yield the kept levels, or new ones, which are kept if other requests are pending."""
        with self._guard:
            known = self._kept.get(key)
            if known is None or keep == "final":  # predicted images are not kept
                ended()
            if keep == "final":
                known = None
            keeping = keep != "final" and known is None and self._asking[key] > 0
            keeping = keeping and size <= self._left
            if keeping:
                self._left -= size
        if known is not None:
            try:
                yield from _picked(known[0].levels(), keep)
            finally:
                ended()
        elif keeping:
            yield from self._noted(key, size, begin, keep)
        else:
            yield from begin(keep)

    def ended(self, key: Hashable) -> None:
        """Decrease the number of pending requests; drop the trajectory after the last one."""
        with self._guard:
            self._asking[key] -= 1
            if self._asking[key] <= 0:
                del self._asking[key]
                _, size = self._kept.pop(key, (None, 0))
                self._left += size

    def _noted(self, key: Hashable, size: int, begin: Begin, keep: Selection) -> Iterator[Visible]:
        """Yield the levels; keep them if they are consumed to the end and still requested."""
        made, kept = _KeptTrajectory(), False
        try:
            yield from _picked(made.noted(begin("steps")), keep)
            with self._guard:
                kept = self._asking[key] > 0 and key not in self._kept
                if kept:
                    self._kept[key] = made, size
        finally:
            if not kept:
                with self._guard:
                    self._left += size


class _Request:
    """A figure's request for a trajectory, which is counted as long as it may be begun."""

    def __init__(self, sharing: Sharing, key: Hashable, size: int, begin: Begin) -> None:
        self._seen = partial(sharing.seen, key, size, begin)
        self._ended = weakref.finalize(self, sharing.ended, key)

    def __call__(self, keep: Selection) -> Iterator[Visible]:
        """Yield the levels."""
        return self._seen(keep, self._ended)


@dataclass(frozen=True)
class _Lying:
    """A float32 tensor in a spool."""

    place: Place
    shape: torch.Size
    device: torch.device

    @classmethod
    def put(cls, spool: Spool, tensor: Tensor) -> _Lying:
        """Write it there."""
        numbers = np.ascontiguousarray(tensor.cpu().numpy())
        return cls(spool.add(numbers.data), tensor.shape, tensor.device)

    def taken(self, spool: Spool) -> Tensor:
        """Read it from there."""
        numbers = torch.frombuffer(bytearray(spool.read(self.place)), dtype=torch.float32)
        return numbers.view(self.shape).to(self.device)


class _KeptTrajectory:
    """The states and means of all levels of a trajectory."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._levels: list[tuple[int, list[_Lying]]] = []

    def noted(self, levels: Iterator[Visible]) -> Iterator[Visible]:
        """Yield the levels unchanged, and keep each one."""
        for level, both in levels:
            self._levels.append((level, [_Lying.put(self._spool, each) for each in both]))
            yield level, both

    def levels(self) -> Iterator[Visible]:
        """Yield all kept levels."""
        for level, both in self._levels:
            yield level, tuple(each.taken(self._spool) for each in both)


def _picked(levels: Iterator[Visible], keep: Selection) -> Iterator[Visible]:
    return ((level, select(level, both, keep)) for level, both in levels)
