"""Layout of samples in a grid, on wide screens and in the column of a phone; needs no NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sitegen.media.look import film
from sitegen.media.look import narrow as phone

if TYPE_CHECKING:
    from sitegen.generative.card.card import ModelCard


@dataclass(frozen=True)
class GridLayout:
    """Layout of `count` square images in a grid.

    columns: images in a row
    row: images of a row that belong together; 0 if none do
    """

    count: int
    columns: int
    row: int = 0

    @property
    def rows(self) -> int:
        """Number of rows; the last one may be incomplete."""
        return -(-self.count // self.columns)

    @property
    def narrow(self) -> GridLayout | None:
        """The layout for a phone; None if the grid is not drawn a second time."""
        if self.columns <= phone.COLUMNS or self.count > phone.MOST:
            return None
        fewest = phone.FEWEST_OF_ROW if self.row else phone.FEWEST
        length = self.row or self.count
        even = (n for n in range(phone.COLUMNS, fewest - 1, -1) if length % n == 0)
        columns = next(even, 0 if self.row else phone.COLUMNS)
        return GridLayout(self.count, columns) if columns else None

    def reduction(self, side: int) -> int:
        """Return the smallest integer factor by which images of `side` pixels must be reduced.

        No frame, on wide screens or on phones, may then have more than `film.LARGEST` pixels.
        """
        cells = max(each.rows * each.columns for each in (self, self.narrow) if each)
        fits = (n for n in range(1, side) if cells * (-(-side // n)) ** 2 <= film.LARGEST)
        return next(fits, side)

    def pixels(self, card: ModelCard) -> int:
        """Estimate the pixels of a clip that shows the grid at every level."""
        from sitegen.media.frames import scale_factor  # imports NumPy

        side = -(-card.image_size // self.reduction(card.image_size))
        width, height = self.columns * side, self.rows * side
        return (card.steps + 1) * width * height * scale_factor(width, height) ** 2
