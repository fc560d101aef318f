"""Text in images: labels, strips with named rows, and panels below their names."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageDraw

from sitegen.media.frames import Colour, Frame, enlarge
from sitegen.media.look import labels as look
from sitegen.media.typeface import REGULAR, SHIPPED, Typeface, font


def label_width(words: str, size: int, typeface: Typeface = SHIPPED) -> int:
    """Return the width in pixels of a label; text after an underscore is an index."""
    parts = _parts(words, size)
    return round(sum(font(height, REGULAR, typeface).getlength(part) for part, height, _ in parts))


def write_label(
    frame: Frame,
    words: str,
    place: tuple[int, int],
    size: int,
    ink: Colour,
    typeface: Typeface = SHIPPED,
) -> Frame:
    """Return a copy of a frame with a label; `place` (x, y) is its centre and baseline."""
    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    x, y = place[0] - label_width(words, size, typeface) / 2, place[1]
    for part, height, lower in _parts(words, size):
        letters = font(height, REGULAR, typeface)
        draw.text((x, y + lower), part, fill=ink, font=letters, anchor="ls")
        x += letters.getlength(part)
    return np.array(image)


def strip(
    rows: Sequence[tuple[str, Sequence[Frame]]],
    paper: Colour,
    ink: Colour,
    *,
    smooth: bool = False,
    typeface: Typeface = SHIPPED,
) -> Frame:
    """Lay out rows of square images, enlarged by an integer factor, with row names on the left.

    Images are uint8 (side, side, 3), all of one size; rows have equal length. Without names, the
    images begin at the left edge.
    """
    side = rows[0][1][0].shape[0]
    columns = len(rows[0][1])
    factor = max(1, look.STRIP_WIDTH // columns // side)
    pitch = side * factor + look.STRIP_GAP
    words = max(label_width(name, look.FONT, typeface) for name, _ in rows)
    left = words + look.FONT // 2 if words else 0
    size = len(rows) * pitch - look.STRIP_GAP, left + columns * pitch - look.STRIP_GAP, 3
    sheet = np.full(size, paper, np.uint8)
    for row, (name, pictures) in enumerate(rows):
        top, middle = row * pitch, (words // 2, row * pitch + pitch // 2 + look.FONT // 3)
        sheet = write_label(sheet, name, middle, look.FONT, ink, typeface)
        for column, picture in enumerate(pictures):
            start = left + column * pitch
            shown = enlarge(picture, factor, smooth=smooth)
            sheet[top : top + shown.shape[0], start : start + shown.shape[1]] = shown
    return sheet


@dataclass(frozen=True)
class Panels:
    """Layout of panels side by side: a column of images for each sampling method, with its name.

    labels: the names of the panels, from left to right; that of a single panel is not written
    rows: images in each panel, from top to bottom
    side: height and width in pixels of the square images
    background, ink: colours of the canvas and of the names, 0 to 255 each
    smooth: whether images are enlarged smoothly
    largest: font size of the names in pixels, at most
    """

    labels: tuple[str, ...]
    rows: int
    side: int
    background: Colour
    ink: Colour
    smooth: bool = False
    largest: int = look.FONT
    typeface: Typeface = SHIPPED

    @property
    def factor(self) -> int:
        """Integer factor by which images are enlarged, even if above 1."""
        fits = (look.PANEL - look.GAP) // self.side
        return max(1, fits if fits < 2 else fits // 2 * 2)

    @property
    def picture(self) -> int:
        """Height and width in pixels of an image on the canvas."""
        return self.factor * self.side

    @cached_property
    def font_size(self) -> int:
        """Font size in pixels: the largest at which each name fits its panel."""
        room = self.picture + look.GAP // 2
        sizes = range(self.largest, 8, -1)
        widest = max(self.labels, key=len)
        return next((size for size in sizes if label_width(widest, size, self.typeface) <= room), 8)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels."""
        pitch = self.picture + look.GAP
        return self._top + self.rows * pitch - look.GAP, len(self.labels) * pitch - look.GAP

    def place(self, panel: int, row: int) -> tuple[int, int]:
        """Return the top and left edge of an image in pixels."""
        pitch = self.picture + look.GAP
        return self._top + row * pitch, panel * pitch

    @cached_property
    def canvas(self) -> Frame:
        """Return the canvas (H, W, 3) with the names, without images."""
        sheet = np.full((*self.size, 3), self.background, np.uint8)
        for panel, label in enumerate(self.labels if self._top else ()):
            middle = self.place(panel, 0)[1] + self.picture // 2
            baseline = self._top - look.GAP // 2 - self.font_size // 8
            look_of_name = self.font_size, self.ink, self.typeface
            sheet = write_label(sheet, label, (middle, baseline), *look_of_name)
        return sheet

    def draw(self, pictures: Sequence[Frame]) -> Frame:
        """Return a new frame with the images of each panel, uint8 (rows, side, side, 3)."""
        frame = self.canvas.copy()
        for panel, column in enumerate(pictures):
            for row, picture in enumerate(column):
                top, left = self.place(panel, row)
                spot = frame[top : top + self.picture, left : left + self.picture]
                spot[:] = enlarge(picture, self.factor, smooth=self.smooth)
        return frame

    @property
    def _top(self) -> int:
        """Top of the first row, below the names; 0 if none are written."""
        return (self.font_size + look.GAP) // 2 * 2 if len(self.labels) > 1 else 0


def _parts(words: str, size: int) -> list[tuple[str, int, float]]:
    """Split a label into parts: the text, its size, and the offset of its baseline."""
    letter, _, index = words.partition("_")
    return [(letter, size, 0.0), (index, round(look.INDEX * size), look.LOWERED * size)]
