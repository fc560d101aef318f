"""The arrangement of a tree."""

import pytest

from sitegen.figures.hierarchy import tree_cells
from tests.support.making import small_card


@pytest.mark.parametrize("splits", [(9,), (9, 4), (10, 6, 3), (10, 7, 4, 2)])
def test_nodes_of_a_tree(splits: tuple[int, ...]) -> None:
    """Parents are halfway between children, nothing overlaps, and levels follow one another."""
    card = small_card(levels=10)
    cells = tree_cells(card, splits, ())
    leaves, side = 2 ** len(splits), card.image_size
    assert cells.count == len(cells.nodes) == 2 * leaves - 1
    for number, node in enumerate(cells.nodes):
        assert node.parent == ((number - 1) // 2 if number else None)
        children = cells.nodes[2 * number + 1 : 2 * number + 3]
        if children:
            assert abs(sum(child.y for child in children) - 2 * node.y) <= 1
            assert all(child.from_level == node.to_level - 1 for child in children)
            assert all(child.x > node.x + side for child in children)
    boxes = [(node.x, node.y) for node in cells.nodes]
    for number, (x, y) in enumerate(boxes):
        for other_x, other_y in boxes[:number]:
            assert abs(x - other_x) > side or abs(y - other_y) > side
    assert (cells.nodes[0].from_level, cells.nodes[-1].to_level) == (10, 0)
    assert cells.nodes[0].to_level == splits[0]
