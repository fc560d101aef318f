"""What a page shows of a tree: the clip, and its pictures with the arrows that lead to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sitegen.figures.views import Clip, Node, clip_view, sequence, whole
from sitegen.media.manifest import Media, Record


def tree_view(media: Media, page: str) -> Clip:
    """The clip, whose nodes are read from where rendering noted them, in pixels of the clip."""
    nodes = list(_nodes(media.record))
    return replace(clip_view(media, page), nodes=tuple(_joined(nodes, media.record)))


def _nodes(record: Record) -> Iterator[Node]:
    names = ("depth", "index", "x", "y", "size", "from_level", "to_level")
    for noted in sequence(record.parameters.get("nodes")):
        if isinstance(noted, Mapping) and all(name in noted for name in names):
            depth, index, x, y, size, start, end = (whole(noted, name) for name in names)
            yield Node(depth, index, x, y, size, start, end)


def _joined(nodes: Sequence[Node], record: Record) -> Iterator[Node]:
    """The nodes with their arrows, and when their pictures are there in full."""
    frames = record.files["mp4"].frames or 1
    levels = record.levels if len(record.levels) == frames else ()
    timed = [_timed(node, levels) if levels else replace(node, last=frames - 1) for node in nodes]
    places = {(node.depth, node.index): node for node in timed}
    for node in timed:
        column = min(other.x for other in timed if other.depth == node.depth)
        above = places.get((node.depth - 1, node.index // 2))
        branch = _branch(node, places) if levels else ()
        shown = tuple((levels[part.first], levels[part.last]) for part in branch)
        yield replace(node, arrow=_arrow(above, node, column), shown=shown)


def _branch(node: Node, places: Mapping[tuple[int, int], Node]) -> tuple[Node, ...]:
    """The nodes on the way to one, from the root on."""
    above = places.get((node.depth - 1, node.index // 2))
    return (*(_branch(above, places) if above else ()), node)


def _timed(node: Node, levels: Sequence[int]) -> Node:
    """A node with the frames that show its own levels, by the level of each frame."""
    first = sum(level > node.from_level for level in levels)
    last = sum(level >= node.to_level for level in levels) - 1
    return replace(node, first=first, last=max(first, last))


def _arrow(parent: Node | None, node: Node, column: int) -> str:
    """The way of the arrow that leads to a node, as a path of SVG; nothing leads to the root.

    It bends as far as the `column` where the first of the node's generation begin, and goes
    straight on to those that stand behind.
    """
    if parent is None:
        return ""
    start, middle = parent.x + parent.size, (parent.x + parent.size + column) / 2
    y0, y1 = parent.y + parent.size / 2, node.y + node.size / 2
    return f"M{start},{y0:g}C{middle:g},{y0:g} {middle:g},{y1:g} {column},{y1:g}H{node.x}"
