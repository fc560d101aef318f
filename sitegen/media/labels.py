"""Words in pictures: labels over panels, and strips whose rows have names.

The font is the one inside of Pillow, so that a label looks the same on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sitegen.media.frames import Colour, Frame, upscale

_INDEX = 0.68  # size of an index, in sizes of its letter
_LOWERED = 0.18  # how far its baseline lies lower, in the same measure
_STRIP = 920  # pixels of width that the pictures of a strip may take, where they are small
_STRIP_GAP = 4
_STRIP_FONT = 34


def label_width(words: str, size: int) -> int:
    """The width in pixels of a label; what follows an underscore is an index."""
    lengths = (float(_font(height).getlength(part)) for part, height, _ in _parts(words, size))
    return round(sum(lengths))


def write_label(frame: Frame, words: str, place: tuple[int, int], size: int, ink: Colour) -> Frame:
    """A copy of a frame with a label; its middle and its baseline are at `place` (x, y)."""
    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    x, y = place[0] - label_width(words, size) / 2, place[1]
    for part, height, lower in _parts(words, size):
        draw.text((x, y + lower), part, fill=ink, font=_font(height), anchor="ls")
        x += _font(height).getlength(part)
    return np.array(image)


def strip(rows: Sequence[tuple[str, Sequence[Frame]]], paper: Colour, ink: Colour) -> Frame:
    """Rows of square pictures, enlarged by a whole number, each row with its name on the left.

    Pictures are uint8 (side, side, 3), of one size, and as many in each row.
    """
    side = rows[0][1][0].shape[0]
    columns = len(rows[0][1])
    factor = max(1, _STRIP // columns // side)
    pitch = side * factor + _STRIP_GAP
    words = max(label_width(name, _STRIP_FONT) for name, _ in rows)
    left = words + _STRIP_FONT // 2
    size = len(rows) * pitch - _STRIP_GAP, left + columns * pitch - _STRIP_GAP, 3
    sheet = np.full(size, paper, np.uint8)
    for row, (name, pictures) in enumerate(rows):
        top, middle = row * pitch, (words // 2, row * pitch + pitch // 2 + _STRIP_FONT // 3)
        sheet = write_label(sheet, name, middle, _STRIP_FONT, ink)
        for column, picture in enumerate(pictures):
            start = left + column * pitch
            shown = upscale(picture, factor)
            sheet[top : top + shown.shape[0], start : start + shown.shape[1]] = shown
    return sheet


def _parts(words: str, size: int) -> list[tuple[str, int, float]]:
    """What is written after what: the text, its size, and how far its baseline is lowered."""
    letter, _, index = words.partition("_")
    return [(letter, size, 0.0), (index, round(_INDEX * size), _LOWERED * size)]


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)
