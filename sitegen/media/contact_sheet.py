"""A contact sheet: numbered pictures in rows, from which somebody chooses.

The font is the one inside of Pillow, as in `labels`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sitegen.media.frames import Colour, Frame, upscale

PAPER: Colour = (255, 255, 255)
INK: Colour = (29, 33, 48)
MOST_PIXELS = 64_000_000
"""Pixels of the largest sheet."""

_WIDTH = 1600  # pixels that a sheet is at most wide, where its pictures leave it so narrow
_LEAST = 64  # pixels of a side of a picture, at least
_NUMBER, _HEADING = 20, 24  # sizes of the font
_GAP, _MARGIN = 10, 24


@dataclass(frozen=True)
class SheetLayout:
    """Where everything stands on a sheet of `count` pictures, each of `side` pixels.

    digits: of the largest number
    """

    count: int
    side: int
    digits: int

    @property
    def factor(self) -> int:
        """The whole number that pictures are enlarged by."""
        return max(1, -(-_LEAST // self.side))

    @property
    def picture(self) -> int:
        """The side of a picture on the sheet."""
        return self.factor * self.side

    @property
    def cell(self) -> tuple[int, int]:
        """Height and width of a picture with its number below it, and with the gaps."""
        width = max(self.picture, round(0.62 * _NUMBER * self.digits))
        return self.picture + _NUMBER + 2 * _GAP, width + _GAP

    @property
    def columns(self) -> int:
        """Tens in a row, where there is room: numbers are then easy to find."""
        room = max(1, min(self.count, (_WIDTH - 2 * _MARGIN) // self.cell[1]))
        return room // 10 * 10 if room >= 10 else room

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the sheet in pixels."""
        rows = -(-self.count // self.columns)
        height, width = self.cell
        top = _HEADING + 2 * _GAP
        return 2 * _MARGIN + top + rows * height, 2 * _MARGIN + self.columns * width

    def place(self, at: int) -> tuple[int, int]:
        """Top and left edge of the picture that stands there."""
        row, column = divmod(at, self.columns)
        height, width = self.cell
        left = _MARGIN + column * width + (width - self.picture) // 2
        return _MARGIN + _HEADING + 2 * _GAP + row * height, left


def contact_sheet(pictures: Frame, numbers: Sequence[int], heading: str) -> Frame:
    """Pictures (N, side, side, 3) in rows of ten or twenty, each with its number below it.

    heading: a line above all, as far as the sheet is wide
    """
    layout = SheetLayout(len(pictures), pictures.shape[1], len(str(max(numbers))))
    sheet = np.full((*layout.size, 3), PAPER, np.uint8)
    for at, picture in enumerate(pictures):
        top, left = layout.place(at)
        spot = sheet[top : top + layout.picture, left : left + layout.picture]
        spot[:] = upscale(picture, layout.factor)
    image = Image.fromarray(sheet)
    draw, small = ImageDraw.Draw(image), ImageFont.load_default(_NUMBER)
    for at, number in enumerate(numbers):
        top, left = layout.place(at)
        middle = left + layout.picture / 2, top + layout.picture + _GAP / 2
        draw.text(middle, str(number), fill=INK, font=small, anchor="mt")
    draw.text((_MARGIN, _MARGIN), heading, fill=INK, font=_fitting(heading, layout), anchor="lt")
    return np.asarray(image)


def png(frame: Frame) -> bytes:
    """A frame as the bytes of a PNG."""
    with io.BytesIO() as data:
        Image.fromarray(frame).save(data, "PNG")
        return data.getvalue()


def _fitting(heading: str, layout: SheetLayout) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The largest font in which the heading is no wider than the sheet."""
    room = layout.size[1] - 2 * _MARGIN
    fonts = (ImageFont.load_default(size) for size in range(_HEADING, 7, -1))
    return next((f for f in fonts if f.getlength(heading) <= room), ImageFont.load_default(8))
