"""Layout of samples in a grid."""

import pytest

from sitegen.figures.base import GridLayout

LARGEST = 2048 * 2048


@pytest.mark.parametrize(
    ("layout", "narrow"),
    [
        (GridLayout(36, 6), None),
        (GridLayout(96, 12), GridLayout(96, 8)),
        (GridLayout(49, 9), GridLayout(49, 7)),
        (GridLayout(11, 11), GridLayout(11, 8)),
        (GridLayout(145, 12), None),
        (GridLayout(20, 10, row=10), GridLayout(20, 5)),
        (GridLayout(22, 11, row=11), None),
    ],
)
def test_columns_on_a_phone(layout: GridLayout, narrow: GridLayout | None) -> None:
    """Rows of a grid, or parts of a row that belong together, are of equal length if they can."""
    assert layout.narrow == narrow


@pytest.mark.parametrize(
    ("layout", "side", "factor"),
    [
        (GridLayout(1, 1), 2048, 1),
        (GridLayout(4, 4), 1024, 1),
        (GridLayout(1, 1), 2049, 2),
        (GridLayout(9, 3), 683, 2),
        (GridLayout(4, 2), 3000, 3),
        (GridLayout(10_000, 100), 41, 3),  # a half, rounded up to 21 pixels, would be too large
        (GridLayout(11, 11), 600, 2),  # for the sake of the 16 cells on a phone
        (GridLayout(10**7, 10**4), 1, 1),
    ],
)
def test_no_frame_is_above_the_limit(layout: GridLayout, side: int, factor: int) -> None:
    """Images are reduced by the smallest whole number at which each frame fits."""
    assert layout.reduction(side) == factor
    reduced = -(-side // factor)
    if side > 1:
        assert layout.columns * layout.rows * reduced**2 <= LARGEST
    if layout.narrow:
        assert layout.narrow.columns * layout.narrow.rows * reduced**2 <= LARGEST
