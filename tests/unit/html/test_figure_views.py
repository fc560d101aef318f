"""What a page shows of media: sizes, levels and values, places of pictures, provenance."""

import dataclasses
from typing import Any

import pytest

from sitegen.content.groups import Group
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.core.progress import megabytes
from sitegen.figures.hierarchy import tree_cells
from sitegen.html.figure_views import (
    command,
    downloads,
    figure_view,
    front_picture,
    group_view,
    scale,
    settings,
)
from sitegen.html.views import Clip, FigureGroup, FigureView, Picture, Steps, Tick
from sitegen.media.manifest import JSON, Cells, Media, MediaAxis, MediaFile, ModelRef, Record
from tests.support.making import small_card


def file(path: str, width: int, height: int, frames: int | None = None) -> MediaFile:
    """Describe a file of that size in pixels."""
    fps = 24.0 if frames else None
    return MediaFile(f"media/{path}", 1_234_567, "0" * 64, width, height, frames, fps)


GRID = Cells(36, 56, 56, 6, 2, samples=tuple(range(36)), plain=True)


def media(
    parameters: dict[str, Any] | None = None,
    kind: str = "trajectories",
    cells: Cells = GRID,
    factor: int = 2,
    levels: tuple[int, ...] = (2, 1, 0),
    **more: Any,
) -> Media:
    """A clip with a frame for each of the levels."""
    width, height = cells.size
    files = {
        "mp4": file("a.mp4", width, height, more.pop("frames", len(levels))),
        "gif": file("a.gif", width // factor, height // factor, 3),
        "poster": file("a.avif", width, height),
        "poster-webp": file("a.webp", width, height),
        "film": file("f.webp", 384, 64),
    }
    noted = {"sampling_noise_std": None, **(parameters or {})}
    record = Record(kind, (ModelRef("mnist", "1" * 64),), 7, noted, levels, files, cells)
    return Media("a", "index.html", "Alt", "Caption", record, **more)


def view(*args: Any, **kwargs: Any) -> FigureView:
    """What the front page shows of it."""
    return figure_view(media(*args, **kwargs), "index.html", "3")


def clip(*args: Any, **kwargs: Any) -> Clip:
    """The clip of that figure."""
    shown = view(*args, **kwargs).clip
    assert shown is not None
    return shown


def test_steps() -> None:
    """Levels, values or points where they fit the frames."""
    steps = clip(axis=MediaAxis("σ_B", "px", (0.0, 0.515, 20.04))).steps
    assert (steps.levels, steps.values) == ("2 1 0", "20.0 0.52 0")
    assert (steps.level, steps.value, steps.last, steps.fps) == ("0", "0", 2, "24")
    assert (steps.symbol, steps.unit, steps.opening) == ("σ_B", "px", 0)
    steps = clip().steps
    assert (steps.levels, steps.values, steps.value, steps.symbol) == ("2 1 0", "", "", "")
    assert clip(levels=(0, 0, 2, 1, 0)).steps.opening == 2
    assert clip(levels=(1, 0), frames=3).steps.levels == ""
    path = {"points": 5, "hold": 2}
    steps = clip(path, "interpolation", levels=(0,) * 14).steps
    assert (steps.points, steps.hold) == (5, 2)
    assert (steps.levels, steps.level, steps.value) == ("", "", "")
    assert clip({**path, "hold": 3}, "interpolation", levels=(0,) * 14).steps.points == 0
    assert [*map(scale, (0.0, 0.5, 0.996, 5.14, 20.0))] == ["0", "0.50", "0.996", "5.1", "20.0"]
    assert [*map(scale, (1e308, -2.5e10, 1e9))] == ["1e308", "-2.5e10", "1e9"]
    assert [*map(scale, (0.994, 0.999, -0.99999, 1.0))] == ["0.99", "0.999", "-0.99999", "1.0"]
    sizes = [megabytes(n) for n in (10, 123_456, 999_999, 10**6)]
    assert sizes == ["1 kB", "123 kB", "1000 kB", "1.0 MB"]


def test_axis() -> None:
    """Values are those of levels on the axis, unless they repeat the level."""
    assert clip(axis=MediaAxis("t", "", (0.0, 1.0, 2.0))).steps.values == ""
    assert clip(axis=MediaAxis("t", "", (0.0, 1.0))).steps.values == ""
    assert clip(axis=MediaAxis("σ", "px", (0.0, 1.0, 2.0))).steps.values == "2 1 0"


def test_shapes_of_compared_clips() -> None:
    """Clips of one shape in two sizes are compared; others are refused with their line."""
    wide = dataclasses.replace(clip(), width=900, height=300)
    small = dataclasses.replace(wide, width=300, height=100)
    other = dataclasses.replace(wide, height=600)
    clips = (wide, small, other)
    shown = [dataclasses.replace(view(), shape="clip", clip=shape) for shape in clips]
    assert grouped("compare", *shown[:2]).figures == tuple(shown[:2])
    with pytest.raises(ConfigError, match=r"index.md:1: compare\(…\): shapes differ, 900 × 300"):
        grouped("compare", shown[0], shown[2])


def grouped(kind: str, *figures: FigureView, names: tuple[str, ...] = ()) -> FigureGroup:
    """Figures in one place."""
    group = Group(kind, SourceLocation("index.md", 1), 1, (), names=names)
    return group_view(group, tuple(("figure", figure) for figure in figures))


def test_row() -> None:
    """One slider has levels and values where all clips have the same; else the fraction."""

    def steps(*figures: FigureView) -> Steps | None:
        return grouped("beside", *figures).steps

    up, down = (0.0, 0.4, 1.0), (1.0, 0.4, 0.0)
    flow = view(axis=MediaAxis("t", "", down))
    assert flow.clip is not None
    assert steps(flow, flow) == flow.clip.steps
    for levels in ((2, 2, 1, 1, 0, 0), (0, 0, 2, 1, 0, 0)):
        same = view(axis=MediaAxis("t", "", down), levels=levels)
        assert same.clip is not None
        assert (steps(same, flow), steps(flow, same)) == (same.clip.steps, flow.clip.steps)
    for other in (
        view(axis=MediaAxis("t", "", up)),
        view(axis=MediaAxis("σ", "", down)),
        view(axis=MediaAxis("t", "s", down)),
        view(),
        view(axis=MediaAxis("t", "", (*down, -1.0)), levels=(3, 2, 1, 0)),
    ):
        for shown in (steps(flow, other), steps(other, flow), steps(flow, flow, other)):
            assert shown is not None
            assert (shown.fraction, shown.levels, shown.values, shown.symbol) == (True, "", "", "")
    assert steps(flow, view({"points": 2, "hold": 0}, "interpolation", levels=(0,) * 4)) is None
    assert grouped("tabs", flow, flow).steps is None
    assert grouped("tabs", flow).names == ("mnist",)
    assert grouped("tabs", flow, names=("Ours",)).names == ("Ours",)


def test_nodes() -> None:
    """Pictures of a tree have arrows from their parents, and know the frames of their levels."""
    cells = tree_cells(small_card(levels=40), (40, 27, 18), ()).enlarged(2)
    levels = (0, 0, *range(40, -1, -1), 0, 0)
    axis = MediaAxis("σ_B", "px", tuple(level / 2 for level in range(41)))
    tree = clip(kind="hierarchy", cells=cells, levels=levels, axis=axis)
    assert [(node.depth, node.index) for node in tree.nodes][:4] == [(0, 0), (1, 0), (1, 1), (2, 0)]
    for node in tree.nodes:
        assert node.first >= 2
        assert (levels[node.first], levels[node.last]) == node.span
        assert node.path == (40, node.span[1])
    root, child = tree.nodes[:2]
    assert root.arrow == ""
    start = f"M{root.x + cells.width} {root.y + cells.height / 2:g}C"
    assert child.arrow.startswith(start)
    assert child.arrow.endswith(f"H{child.x}")
    column = root.x + cells.width // 2
    assert tree.ticks[0] == Tick(column, 40, "20.0", (column,))
    assert [tick.level for tick in tree.ticks] == [40, 27, 18, 0]
    leaves = {node.x + cells.width // 2 for node in tree.nodes if node.span[1] == 0}
    assert set(tree.ticks[-1].marks) == leaves
    assert len(leaves) == 2


def test_files_and_provenance() -> None:
    """Files to save, a poster for previews, settings in text, and the command."""
    shown = view()
    assert [(label, size) for label, _, size in downloads(shown)] == [
        ("MP4", "1.2 MB"), ("GIF", "1.2 MB"), ("Poster", "1.2 MB")
    ]  # fmt: skip
    assert shown.picture("poster") == Picture("media/a.avif", 346, 346, "media/a.webp")
    assert shown.picture("strip") is None
    clip_media = media()
    assert front_picture(clip_media) == clip_media.record.files["poster-webp"]
    still, svg = file("b.webp", 4, 4), file("b.svg", 4, 4)
    for image, expected in ((still, still), (svg, None)):
        record = dataclasses.replace(clip_media.record, files={"image": image}, cells=None)
        assert front_picture(dataclasses.replace(clip_media, record=record)) == expected
    noted = {
        "kind": "trajectories", "model": "mnist", "seed": 7, "sampling_noise_std": 0.0125,
        "show": "state", "fps": 24.0, "splits": [100, 67], "nothing": None,
    }  # fmt: skip
    assert settings(media(noted)) == {
        "Frames a second": "24",
        "Show": "state",
        "Splits": "100, 67",
    }
    assert command(media()) == "sitegen build --rerender a"
    record = dataclasses.replace(media().record, environment={"precision": "bfloat16"})
    half = dataclasses.replace(media(), record=record)
    assert command(half) == "sitegen build --rerender a --precision bfloat16"


def test_still_with_numbers() -> None:
    """A still shows its picture, and what was measured in text."""
    rows: Any = [
        ["IHDM", 0, 1.25, "1 [0, 2]", 1e-9],
        ["DDPM", 20, 10, "–", 0.12345],
        ["d", 3, None, "", 1e20],
    ]
    results: dict[str, JSON] = {"tables": [{"rows": rows}, 3], "summary": "S."}
    files = {"image": file("p.svg", 900, 400)}
    uri = "more/index.html"
    record = Record("spectra", (), 0, {}, (), files, None, results)
    shown = figure_view(Media("p", uri, "Alt", "", record), uri)
    assert (shown.shape, shown.wide) == ("still", True)
    assert shown.picture("image") == Picture("../media/p.svg", 900, 400)
    assert [label for label, _, _ in downloads(shown)] == ["SVG"]
    assert shown.results is not None
    assert shown.results["summary"] == "S."
    (table,) = shown.results["tables"]
    assert table["numeric"] == [1, 2, 4]
    assert [row[1] for row in table["rows"]] == ["0", "20", "3"]
    assert [row[2] for row in table["rows"]] == ["1.25", "10", "–"]
    assert [row[4] for row in table["rows"]] == ["1 × 10⁻⁹", "0.1235", "1 × 10²⁰"]
