"""Trajectories that several figures of a build show: computed for the first, kept for the others.

Only what is the same to the last bit is shared, all samples with their noise, so that no picture
depends on which other figures a build makes. It lies in a spool, so that memory does not grow with
the levels. What does not fit into `MOST_BYTES` is computed anew.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sitegen.core.spool import Place, Spool
from sitegen.sampling.batches import Selection, Visible, select

MOST_BYTES = 256 << 20
"""How much of all trajectories may be kept at a time, on the disk but for a part."""

Begin = Callable[[Selection], Iterator[Visible]]


class Sharing:
    """What figures have asked for, and what is kept until all who asked have seen it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._left = most_bytes
        self._asking: Counter[Hashable] = Counter()
        self._kept: dict[Hashable, _Kept] = {}
        self._guard = threading.Lock()

    def asked(self, key: Hashable, size: int, begin: Begin) -> Begin:
        """What `begin` gives, for one more who asks for it.

        key: what is equal for equal trajectories
        size: the bytes of all states and means
        """
        self._asking[key] += 1
        return partial(self._seen, key, size, begin)

    def _seen(self, key: Hashable, size: int, begin: Begin, keep: Selection) -> Iterator[Visible]:
        with self._guard:
            self._asking[key] -= 1
            known = self._kept.get(key)
            kept = keep != "final"  # predicted images are not among what is kept
            known = known if kept else None
            keeping = kept and known is None and self._asking[key] > 0 and size <= self._left
            if keeping:
                self._left -= size
        if known is not None:
            yield from _picked(known.levels(), keep)
            self._drop(key, size)
        elif not keeping:
            yield from begin(keep)
            self._drop(key, size)
        else:
            made = _Kept()
            yield from _picked(made.noted(begin("steps")), keep)
            self._kept[key] = made
            self._drop(key, size)

    def _drop(self, key: Hashable, size: int) -> None:
        """Keep a trajectory no longer when nobody is left to see it."""
        with self._guard:
            if not self._asking[key] and self._kept.pop(key, None) is not None:
                self._left += size


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


class _Kept:
    """The states and means of all levels of a trajectory."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._levels: list[tuple[int, list[_Lying]]] = []

    def noted(self, levels: Iterator[Visible]) -> Iterator[Visible]:
        """The same levels, each kept as it passes."""
        for level, both in levels:
            self._levels.append((level, [_Lying.put(self._spool, each) for each in both]))
            yield level, both

    def levels(self) -> Iterator[Visible]:
        """All that was kept, once more."""
        for level, both in self._levels:
            yield level, tuple(each.taken(self._spool) for each in both)


def _picked(levels: Iterator[Visible], keep: Selection) -> Iterator[Visible]:
    return ((level, select(level, both, keep)) for level, both in levels)
