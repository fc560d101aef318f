"""Contact sheets: numbered images in rows, to choose from."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from sitegen.media.frames import Frame, upscale
from sitegen.media.typeface import font

PAPER = (255, 255, 255)
INK = (29, 33, 48)
MOST_PIXELS = 64_000_000
"""Pixels of the largest sheet."""

_WIDTH = 1600  # pixels of width that a sheet of small images may have
_LEAST = 64  # pixels per side of an image, at least
_NUMBER, _HEADING = 20, 24  # font sizes
_GAP, _MARGIN = 10, 24


@dataclass(frozen=True)
class SheetLayout:
    """Layout of a sheet of `count` images, each of `side` pixels.

    digits: of the largest number
    """

    count: int
    side: int
    digits: int

    @property
    def factor(self) -> int:
        """Integer factor by which images are enlarged."""
        return max(1, -(-_LEAST // self.side))

    @property
    def picture(self) -> int:
        """Side of an image on the sheet, in pixels."""
        return self.factor * self.side

    @property
    def cell(self) -> tuple[int, int]:
        """Height and width of an image with its number and the gaps, in pixels."""
        width = max(self.picture, round(0.62 * _NUMBER * self.digits))
        return self.picture + _NUMBER + 2 * _GAP, width + _GAP

    @property
    def columns(self) -> int:
        """Images in a row: a multiple of ten if possible, so that numbers are easy to find."""
        room = max(1, min(self.count, (_WIDTH - 2 * _MARGIN) // self.cell[1]))
        return room // 10 * 10 if room >= 10 else room

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the sheet in pixels."""
        rows = -(-self.count // self.columns)
        height, width = self.cell
        top = _HEADING + 2 * _GAP
        return 2 * _MARGIN + top + rows * height, 2 * _MARGIN + self.columns * width

    def corner(self, at: int) -> tuple[int, int]:
        """Return the top and left edge of an image, in pixels."""
        row, column = divmod(at, self.columns)
        height, width = self.cell
        x = _MARGIN + column * width + (width - self.picture) // 2
        return _MARGIN + _HEADING + 2 * _GAP + row * height, x


def contact_sheet(pictures: Frame, numbers: Sequence[int], heading: str) -> Frame:
    """Lay out images (N, side, side, 3) in rows of ten or twenty, each above its number.

    heading: a line at the top, shrunk to the width of the sheet
    """
    layout = SheetLayout(len(pictures), pictures.shape[1], len(str(max(numbers))))
    sheet = np.full((*layout.size, 3), PAPER, np.uint8)
    for at, picture in enumerate(pictures):
        y, x = layout.corner(at)
        spot = sheet[y : y + layout.picture, x : x + layout.picture]
        spot[:] = upscale(picture, layout.factor)
    image = Image.fromarray(sheet)
    draw, small = ImageDraw.Draw(image), font(_NUMBER)
    for at, number in enumerate(numbers):
        y, x = layout.corner(at)
        middle = x + layout.picture / 2, y + layout.picture + _GAP / 2
        draw.text(middle, str(number), fill=INK, font=small, anchor="mt")
    room = layout.size[1] - 2 * _MARGIN
    fonts = (font(size) for size in range(_HEADING, 7, -1))
    largest = next((f for f in fonts if f.getlength(heading) <= room), font(8))
    draw.text((_MARGIN, _MARGIN), heading, fill=INK, font=largest, anchor="lt")
    return np.asarray(image)


def png(frame: Frame) -> bytes:
    """Encode a frame as PNG."""
    with io.BytesIO() as data:
        Image.fromarray(frame).save(data, "PNG")
        return data.getvalue()
