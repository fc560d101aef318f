"""What a page shows of media: sizes that keep pixels square, levels and scales, places, origins."""

import dataclasses
from typing import Any

import pytest

from sitegen.core.progress import megabytes
from sitegen.figures.base import Row
from sitegen.figures.hierarchy.drawing import Layout
from sitegen.figures.hierarchy.sample import nodes
from sitegen.html.figure_views import figure_view, front_picture, row_view, scale
from sitegen.html.views import Cells, Clip, FigureRow, Node, Picture, Steps, Still
from sitegen.media.manifest import Media, MediaAxis, MediaFile, ModelRef, Record


def file(path: str, width: int, height: int, frames: int | None = None) -> MediaFile:
    """Describe a file of that size in pixels."""
    fps = 24.0 if frames else None
    return MediaFile(f"media/{path}", 1_234_567, "0" * 64, width, height, frames, fps)


def clip(
    parameters: dict[str, Any] | None = None,
    kind: str = "trajectories",
    native: tuple[int, int] = (168, 168),
    factor: int = 2,
    frames: int = 3,
    **more: Any,
) -> Clip:
    """What the front page shows of a clip with that native size."""
    width, height = native[0] * factor, native[1] * factor
    files = {
        "mp4": file("a.mp4", width, height, frames),
        "gif": file("a.gif", *native, frames),
        "poster": file("a.webp", width, height),
        **more.pop("files", {}),
    }
    levels = more.pop("levels", (2, 1, 0))
    model = ModelRef("mnist", "1" * 64)
    record = Record(kind, (model,), 7, parameters or {}, levels, files)
    shown = figure_view(Media("a", "index.html", "Alt", "Caption", record, **more), "index.html")
    assert isinstance(shown, Clip)
    return shown


@pytest.mark.parametrize(
    ("native", "factor", "width", "wide"),
    [((168, 168), 2, 640, False), ((28, 28), 16, 224, False), ((84, 28), 4, 672, True),
     ((576, 704), 1, 589, False), ((1280, 700), 1, 928, True), ((512, 256), 1, 928, True)],
)  # fmt: skip
def test_two_widths(native: tuple[int, int], factor: int, width: int, wide: bool) -> None:
    """Clips are as wide as the text or wide, smaller where they are tall or of few pixels."""
    shown = clip(native=native, factor=factor)
    assert (shown.width, shown.pixelated, shown.wide) == (width, False, wide)
    assert clip({"pixelated": True}).pixelated
    assert shown.height == round(width * native[1] / native[0])
    assert (shown.video_width, shown.video_height) == (native[0] * factor, native[1] * factor)


def test_steps() -> None:
    """Levels, scales or points where they fit the frames; sizes and cells, or nothing."""
    steps = clip(axis=MediaAxis("σ_B", "px", (0.0, 0.515, 20.04))).steps
    assert (steps.levels, steps.values) == ("2 1 0", "20.0 0.52 0")
    assert (steps.level, steps.value, steps.last, steps.fps) == ("0", "0", 2, "24")
    assert (steps.symbol, steps.unit, steps.opening) == ("σ_B", "px", 0)
    steps = clip().steps
    assert (steps.levels, steps.values, steps.value, steps.symbol) == ("2 1 0", "", "", "")
    assert clip(levels=(0, 0, 2, 1, 0), frames=5).steps.opening == 2
    assert clip(levels=(1, 0)).steps.levels == ""
    way = {"points": 5, "hold": 2, "panels": ["DDPM", "IHDM"]}
    shown = clip(way, "interpolation", frames=14, levels=(0,) * 14)
    assert (shown.steps.points, shown.steps.hold) == (5, 2)
    assert (shown.steps.levels, shown.steps.level, shown.steps.value) == ("", "", "")
    assert shown.panels == ("DDPM", "IHDM")
    assert clip({**way, "hold": 3}, "interpolation", frames=14).steps.points == 0
    assert [*map(scale, (0.0, 0.5, 0.996, 5.14, 20.0))] == ["0", "0.50", "0.996", "5.1", "20.0"]
    assert [*map(scale, (1e308, -2.5e10, 1e9))] == ["1e308", "-2.5e10", "1e9"]
    assert [*map(scale, (0.994, 0.999, -0.99999, 1.0))] == ["0.99", "0.999", "-0.99999", "1.0"]
    sizes = [megabytes(n) for n in (10, 123_456, 999_999, 10**6)]
    assert sizes == ["1 kB", "123 kB", "1000 kB", "1.0 MB"]
    noted = {"columns": 6, "rows": 6, "count": 36, "width": 28, "height": 28}
    assert clip({"cells": noted}).cells == Cells(6, 36, 56, 56)
    oddities: Any = [{}, {"cells": {"columns": 0}}, {"cells": "x"}, {"columns": True, "count": 4}]
    for odd in oddities:
        assert clip(odd).cells is None
        assert clip({"nodes": [odd, 3], "panels": 4}, "hierarchy").nodes == ()


def test_row() -> None:
    """One scrubber has levels and values where all clips have the same; else the fraction."""

    def steps(*parts: Clip) -> Steps | None:
        shown = row_view(parts, Row(1, ""))
        assert isinstance(shown, FigureRow)
        return shown.steps

    up, down = (0.0, 0.4, 1.0), (1.0, 0.4, 0.0)
    flow = clip(axis=MediaAxis("t", "", down))
    others = [
        clip(axis=MediaAxis("t", "", up)),
        clip(axis=MediaAxis("σ", "", down)),
        clip(axis=MediaAxis("t", "s", down)),
        clip(),
        clip(axis=MediaAxis("t", "", (*down, -1.0)), levels=(3, 2, 1, 0), frames=4),
    ]
    assert steps(flow, flow) == flow.steps
    slow, opened = (2, 2, 1, 1, 0, 0), (0, 0, 2, 1, 0, 0)
    for levels in (slow, opened):
        same = clip(axis=MediaAxis("t", "", down), levels=levels, frames=6)
        assert (steps(same, flow), steps(flow, same)) == (same.steps, flow.steps)
    for other in others:
        for shown in (steps(flow, other), steps(other, flow), steps(flow, flow, other)):
            assert shown is not None
            assert (shown.fraction, shown.levels, shown.values, shown.symbol) == (True, "", "", "")
    assert steps(flow, clip({"points": 2, "hold": 0}, "interpolation", frames=4)) is None


def test_nodes() -> None:
    """Pictures of a tree stand where noted, with arrows, and know every level's frame."""
    node = {"depth": 1, "index": 0, "x": 2, "y": 4, "size": 84, "from_level": 9, "to_level": 5}
    root = {**node, "depth": 0, "x": -200, "y": 104, "from_level": 9, "to_level": 9}
    alone = Node(1, 0, 2, 4, 84, 9, 5, shown=((2, 2),))
    assert clip({"nodes": [node]}, "hierarchy").nodes == (alone,)
    arrows = [each.arrow for each in clip({"nodes": [root, node]}, "hierarchy").nodes]
    assert arrows == ["", "M-116,146C-57,146 -57,46 2,46H2"]
    tree = Layout(40, (40, 27, 18), 28, (0, 0, 0), (255, 255, 255))
    levels = (40, 40, *(level for level in range(40, -1, -1) for _ in range(2)), 0, 0)
    shown = clip(
        {"nodes": nodes(tree, range(40, -1, -1))}, "hierarchy", frames=len(levels), levels=levels
    )
    assert len(shown.nodes) == 15
    for seen in shown.nodes:
        assert tree.generation(levels[seen.last]) == seen.depth
        assert levels[seen.last] == seen.to_level
        assert seen.last == len(levels) - 1 or levels[seen.last + 1] == seen.to_level - 1
        assert levels[seen.first] == seen.from_level
        assert seen.first == 0 or levels[seen.first - 1] == seen.from_level + 1
        assert seen.shown[-1] == (seen.from_level, seen.to_level)
        assert len(seen.shown) == seen.depth + 1


def test_narrow() -> None:
    """The drawing for a phone has its own files and places; without it there is none."""
    files = {
        "mp4-narrow": file("n.mp4", 224, 112, 3),
        "poster-narrow": file("n.webp", 224, 112),
        "mp4-narrow-dark": file("d.mp4", 224, 112, 3),
        "poster-narrow-dark": file("d.webp", 224, 112),
    }
    node = {"depth": 0, "index": 0, "x": 2, "y": 4, "size": 84, "from_level": 2, "to_level": 0}
    noted: dict[str, Any] = {
        "cells": {"columns": 12, "count": 24, "width": 14, "height": 14},
        "nodes": [node],
        "narrow": {"columns": 8, "nodes": [{**node, "x": 6, "size": 28}]},
    }
    shown = clip(noted, files=files)
    assert shown.narrow is not None
    assert (shown.narrow.width, shown.narrow.height) == (224, 112)
    assert shown.narrow.poster == Picture("media/n.webp", 224, 112, "media/d.webp")
    assert (shown.narrow.mp4, shown.narrow.dark) == ("media/n.mp4", "media/d.mp4")
    assert shown.narrow.cells == Cells(8, 24, 28, 28)
    assert [(each.x, each.size) for each in shown.narrow.nodes] == [(6, 28)]
    assert [(each.x, each.size) for each in shown.nodes] == [(2, 84)]
    assert "narrow" not in dict(shown.origin.parameters)
    assert clip(noted).narrow is None
    odd = clip({"narrow": 3, "cells": "x"}, files=files).narrow
    assert odd is not None
    assert (odd.cells, odd.nodes) == (None, ())


def test_dark_and_strip() -> None:
    """Files for dark pages and the front, and how it was made, in words and a command."""
    files = {
        "mp4-dark": file("b.mp4", 336, 336, 3),
        "poster-dark": file("b.webp", 336, 336),
        "strip": file("s.webp", 280, 28),
    }
    shown = clip(files=files)
    assert shown.dark == "media/b.mp4"
    assert shown.poster == Picture("media/a.webp", 336, 336, "media/b.webp")
    assert shown.strip == Picture("media/s.webp", 280, 28)
    labels = [download.label for download in shown.downloads]
    assert labels == ["MP4", "MP4, dark", "GIF", "Poster", "Poster, dark", "Strip"]
    assert {download.size for download in shown.downloads} == {"1.2 MB"}
    poster, still = file("a.webp", 4, 4), file("b.webp", 4, 4)
    media = Media("a", "index.html", "", "", Record("k", (), 0, {}, (), {"poster": poster}))
    assert front_picture(media) == poster
    for image, expected in [(still, still), (file("b.svg", 4, 4), None)]:
        record = dataclasses.replace(media.record, files={"image": image})
        assert front_picture(dataclasses.replace(media, record=record)) == expected
    noted = {
        "kind": "trajectories", "model": "mnist", "seed": 7, "sampling_noise_std": 0.0125,
        "show": "state", "fps": 24.0, "splits": [100, 67], "cells": {}, "nothing": None,
        "weights": {"b": 1, "a": 2}
    }  # fmt: skip
    origin = clip(noted).origin
    assert origin.models == (ModelRef("mnist", "1" * 64),)
    assert (origin.seed, origin.sampling_noise_std) == (7, "0.0125")
    assert origin.command == "sitegen build --rerender a"
    assert origin.parameters == (
        ("Frames a second", "24"),
        ("Show", "state"),
        ("Splits", "100, 67"),
        ("Weights", '{"a": 2, "b": 1}'),
    )
    half = clip({**noted, "precision": "bfloat16"}).origin
    assert half.command == "sitegen build --rerender a --precision bfloat16"


def still(uri: str = "index.html", **results: Any) -> Still:
    """What a page shows of a chart with these results."""
    record = Record("spectra", (), 0, {}, (), {"image": file("p.svg", 900, 400)}, results)
    shown = figure_view(Media("p", uri, "Alt", "", record), uri)
    assert isinstance(shown, Still)
    return shown


def test_still_with_numbers() -> None:
    """A still shows its picture, and what was measured in words, set on the point in columns."""
    rows: Any = [
        ["IHDM", 0, 1.25, "1 [0, 2]", 1e-9],
        ["DDPM", 20, 10, "–", 0.12345],
        ["d", 3, None, "", 1e20],
    ]
    shown = still("more/index.html", tables=[{"rows": rows}, 3], summary="S.")
    assert shown.picture == Picture("../media/p.svg", 900, 400)
    assert (shown.wide, [download.label for download in shown.downloads]) == (True, ["SVG"])
    assert shown.results is not None
    assert shown.results.summary == "S."
    (table,) = shown.results.tables
    assert table.numeric == (1, 2, 4)
    assert [row[1] for row in table.rows] == ["0", "20", "3"]
    assert [row[2] for row in table.rows] == ["1.25", "10\u2008\u2007\u2007", "–"]
    assert [row[4] for row in table.rows] == ["1 × 10⁻⁹", "0.1235", "1 × 10²⁰"]
    assert still().results is None


def test_axis() -> None:
    """Values are those of levels on the axis, unless they repeat the level."""
    axis = MediaAxis("σ", "px", (0.0, 0.5, 20.0))
    assert clip(axis=axis).steps.values == "20.0 0.50 0"
    assert (clip(axis=axis).steps.symbol, clip(axis=axis).steps.unit) == ("σ", "px")
    assert clip(axis=MediaAxis("t", "", (0.0, 1.0, 2.0))).steps.values == ""
    assert clip(axis=MediaAxis("t", "", (0.0, 1.0))).steps.values == ""
    assert clip(axis=MediaAxis("σ", "px", (0.0, 1.0, 2.0))).steps.values == "2.0 1.0 0"
