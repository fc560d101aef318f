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
    """The nodes with their arrows, and with the frames and levels of the way down to each."""
    frames = record.files["mp4"].frames or 1
    levels = record.levels if len(record.levels) == frames else ()
    found: dict[tuple[int, int], Node] = {}
    for node in nodes:  # parents come before their children
        above = found.get((node.depth - 1, node.index // 2))
        column = min(other.x for other in nodes if other.depth == node.depth)
        first = sum(level > node.from_level for level in levels)
        last = sum(level >= node.to_level for level in levels) - 1 if levels else frames - 1
        last = max(first, last)
        shown = (*(above.shown if above else ()), (levels[first], levels[last])) if levels else ()
        timed = replace(node, first=first, last=last, shown=shown)
        found[node.depth, node.index] = replace(timed, arrow=_arrow(above, node, column))
    yield from found.values()


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
