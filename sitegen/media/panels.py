"""Panels side by side: a column of pictures for each way to sample, under its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sitegen.media.frames import Colour, Frame, upscale
from sitegen.media.labels import label_width, write_label

_PANEL = 320  # pixels of width that a panel may take, with its share of the gaps
_GAP = 24  # between panels and around them; even, like all that follows
_LARGEST_FONT = 34


@dataclass(frozen=True)
class Panels:
    """Where everything stands.

    labels: the names of the panels, from left to right
    rows: pictures in each panel, one below the other
    side: height and width in pixels of the square pictures
    background, ink: colours of the canvas and of the names, 0 to 255 each
    """

    labels: tuple[str, ...]
    rows: int
    side: int
    background: Colour
    ink: Colour

    @property
    def factor(self) -> int:
        """The whole number that pictures are enlarged by, even where it is above 1."""
        fits = (_PANEL - _GAP) // self.side
        return max(1, fits if fits < 2 else fits // 2 * 2)

    @property
    def picture(self) -> int:
        """Height and width in pixels of a picture on the canvas."""
        return self.factor * self.side

    @cached_property
    def font(self) -> int:
        """The size of the names in pixels: the largest at which each stays over its panel."""
        room = self.picture + _GAP // 2
        sizes = range(_LARGEST_FONT, 8, -1)
        widest = max(self.labels, key=len)
        return next((size for size in sizes if label_width(widest, size) <= room), 8)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels."""
        pitch = self.picture + _GAP
        return self._top + self.rows * pitch, len(self.labels) * pitch + _GAP

    def place(self, panel: int, row: int) -> tuple[int, int]:
        """Top and left edge of a picture in pixels."""
        pitch = self.picture + _GAP
        return self._top + row * pitch, _GAP + panel * pitch

    @cached_property
    def canvas(self) -> Frame:
        """The canvas (H, W, 3) with the names and without pictures."""
        sheet = np.full((*self.size, 3), self.background, np.uint8)
        for panel, label in enumerate(self.labels):
            middle = self.place(panel, 0)[1] + self.picture // 2
            baseline = self._top - _GAP // 2 - self.font // 8
            sheet = write_label(sheet, label, (middle, baseline), self.font, self.ink)
        return sheet

    def draw(self, pictures: Sequence[Frame]) -> Frame:
        """A new frame with the pictures of each panel, uint8 (rows, side, side, 3)."""
        frame = self.canvas.copy()
        for panel, column in enumerate(pictures):
            for row, picture in enumerate(column):
                top, left = self.place(panel, row)
                spot = frame[top : top + self.picture, left : left + self.picture]
                spot[:] = upscale(picture, self.factor)
        return frame

    @property
    def _top(self) -> int:
        """Where the first row begins: below the names."""
        return (_GAP + self.font + _GAP // 2) // 2 * 2
