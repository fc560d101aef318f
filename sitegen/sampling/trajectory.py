"""The samples that figures show, and the displayed images of each level. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
Shown = Literal["state", "mean", "final"]
"""Displayed images of a level: the states, their means, or the images predicted from them."""


@dataclass(frozen=True)
class Paths:
    """Paths of `points` samples each, at least 2, between pairs of a seed's samples."""

    seed: int
    pairs: tuple[tuple[int, int], ...]
    points: int

    @property
    def ends(self) -> list[int]:
        """The samples that the paths start and end at, (2 · paths), a pair after the other."""
        return [sample for pair in self.pairs for sample in pair]


class LevelStream(Protocol):
    """Samples at all levels from the first to 0, computed or recorded."""

    @property
    def first(self) -> int:
        """The level of the initial states."""

    def seen(self, show: Shown) -> Iterator[tuple[int, Images]]:
        """Yield each level from the first to 0, with its displayed images (N, C, H, W)."""

    def ends(self) -> Iterator[Images | None]:
        """Yield None for each step but the last, and then the finished images (N, C, H, W)."""
