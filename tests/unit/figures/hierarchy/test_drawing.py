"""The tree: all in its place at any size, pictures kept exactly, growth from left to right."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sitegen.core import files as spool
from sitegen.figures.clips import Replay
from sitegen.figures.hierarchy import default_splits
from sitegen.figures.hierarchy import drawing as hierarchy
from sitegen.figures.hierarchy.drawing import (
    Ink,
    Layout,
    Points,
    draw_arrows,
    mix,
    overhang,
    swing,
    tree_frames,
)
from sitegen.generative.process.noise import Branching
from sitegen.media.frames import Colour, Frame, upscale
from sitegen.media.look import narrow as phone

calm = settings(deadline=None, derandomize=True)
PAPER, INK = (254, 253, 251), (3, 5, 9)
LAYOUT = Layout(12, (12, 7, 3), side=28, background=PAPER, ink=INK, width=400)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Trees of 1 to 4 splits, of images of 28 to 256 pixels, on narrow and wide canvases."""
    levels = draw(st.integers(4, 300))
    splits = draw(st.lists(st.integers(1, levels), min_size=1, max_size=4, unique=True))
    falling = tuple(sorted(splits, reverse=True))
    side, width = draw(st.integers(28, 256)), draw(st.integers(1, 2000))
    return Layout(levels, falling, side, PAPER, INK, width, narrow=draw(st.booleans()))


def pictures(layout: Layout, level: int) -> Frame:
    """Noise of its own for every level."""
    shape = (layout.alive(level), layout.side, layout.side, 3)
    return np.random.default_rng(level).integers(0, 256, shape, np.uint8)


def states(layout: Layout) -> Iterator[tuple[int, Frame]]:
    return ((level, pictures(layout, level)) for level in range(layout.steps, -1, -1))


def grow(layout: Layout) -> dict[int, Frame]:
    """All frames, by level."""
    return dict(zip(range(layout.steps, -1, -1), tree_frames(layout, states(layout)), strict=True))


def nodes(layout: Layout) -> list[tuple[int, int]]:
    return [(depth, index) for depth in range(layout.depth + 1) for index in range(2**depth)]


def spot(layout: Layout, frame: Frame, node: tuple[int, int], around: int = 0) -> Frame:
    """The part of a frame where a node's picture is, with some pixels around it."""
    top, left = (edge - around for edge in layout.place(*node))
    side = layout.picture + 2 * around
    return frame[top : top + side, left : left + side]


def test_default_splits() -> None:
    """They fall from K by thirds, and where levels are few, each split still has its own."""
    assert default_splits(100) == (100, 67, 44)
    assert default_splits(200, 16) == (200, 133, 89, 59)
    assert default_splits(9, 2) == (9,)
    assert default_splits(4, 16) == (4, 3, 2, 1)


@calm
@given(st.integers(1, 4), st.integers(0, 300))
def test_default_splits_fit_a_layout(count: int, more: int) -> None:
    """Any number of levels that is enough gives splits that the noise takes."""
    splits = default_splits(count + more, 2**count)
    assert Branching(0, splits, (1, 2, 2)).branches(1) == 2 ** len(splits) == 2**count


@settings(calm, max_examples=50)
@given(layouts())
def test_layouts(layout: Layout) -> None:
    """Pictures are as many as the noise has branches, and parents, children and edges fit."""
    noise = Branching(0, layout.splits, (1, 2, 2))
    assert layout.alive(layout.steps) == 1
    assert all(layout.alive(at) == noise.branches(at + 1) for at in range(layout.steps))
    places = {node: layout.place(*node) for node in nodes(layout)}
    height, width = layout.size
    for (top, left), (other_top, other_left) in combinations(places.values(), 2):
        assert max(abs(top - other_top), abs(left - other_left)) > layout.framed
    for (depth, index), (top, left) in places.items():
        assert top > 1 < left
        assert (top + layout.framed <= height, left + layout.framed <= width) == (True, True)
        assert (top % 2, left % 2) == (0, 0)
        if depth < layout.depth:
            upper, lower = (places[depth + 1, 2 * index + child] for child in (0, 1))
            assert upper[0] + lower[0] == 2 * top
            assert upper[0] < lower[0]
            assert min(upper[1], lower[1]) - left > layout.picture
            assert (upper[1] == lower[1]) == (layout.narrow or depth + 1 < layout.depth)
    assert (height % 2, width % 2) == (0, 0)
    if layout.narrow:
        return
    assert width >= layout.width
    assert layout.factor == 1 or width == layout.width + layout.width % 2
    assert (layout.depth * 1.8 + 2.3) * (layout.picture + layout.side) > layout.width * 0.9 - 32


@pytest.mark.parametrize("side", [28, 32, 64, 96, 128, 256])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_trees_for_phones(side: int, depth: int) -> None:
    """Their pictures have 56 pixels at least in a column of 350, and enough of their own."""
    splits = (12, 9, 6, 3)[:depth]
    layout = Layout(12, splits, side, PAPER, INK, phone.TREE_WIDTH, narrow=True)
    assert layout.picture / layout.size[1] * 350 >= 56
    assert layout.picture >= 96


def test_first_frame_shows_only_the_root() -> None:
    """At first the root alone, later each living node in full, and growth to the right only."""
    layout = replace(LAYOUT, splits=(9, 4))
    frames = grow(layout)
    for level in (12, 10):
        assert frames[level].shape == (*layout.size, 3)
        root = upscale(pictures(layout, level)[0], layout.factor)
        assert np.array_equal(spot(layout, frames[level], (0, 0)), root)
        spot(layout, frames[level], (0, 0), around=1)[:] = PAPER
        assert np.all(frames[level] == PAPER)
    frames = grow(LAYOUT)
    for level in range(LAYOUT.steps, -1, -1):
        for index, picture in enumerate(pictures(LAYOUT, level)):
            there = spot(LAYOUT, frames[level], (LAYOUT.generation(level), index))
            assert np.array_equal(there, upscale(picture, LAYOUT.factor))
    reached = 0
    for level, frame in grow(LAYOUT).items():
        inked = np.flatnonzero((frame != PAPER).any(axis=(0, 2)))
        assert inked[-1] >= reached
        reached = inked[-1]
        generation = LAYOUT.generation(level)
        if generation < LAYOUT.depth:
            column = 1 if generation + 1 == LAYOUT.depth else 0  # of the arrows that come last
            assert reached < LAYOUT.place(generation + 1, column)[1] - 1
    assert reached == LAYOUT.place(3, 1)[1] + LAYOUT.picture  # the outline of the last leaves


@settings(calm, max_examples=10)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True), st.integers(28, 31))
def test_nodes_keep_the_picture_of_their_split(splits: list[int], side: int) -> None:
    """Bit for bit, in every frame from the split on, whatever grows around them; so do leaves."""
    layout = Layout(9, tuple(sorted(splits, reverse=True)), side, PAPER, INK, width=200)
    frames = grow(layout)
    for depth, index in nodes(layout):
        split = (*layout.splits, 0)[depth]
        kept = upscale(pictures(layout, split)[index], layout.factor)
        for level in range(split, -1, -1):
            assert np.array_equal(spot(layout, frames[level], (depth, index)), kept), level


@calm
@given(layouts())
def test_growth(layout: Layout) -> None:
    """Arrows only ever grow along a branch, are whole at its last level, and leaves have none."""
    firsts = (layout.steps, *(split - 1 for split in layout.splits))
    for first, last in zip(firsts, layout.splits, strict=False):
        shares = [layout.grown(level) for level in range(first, last - 1, -1)]
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert first - last < 5 or shares[0] == 0
    assert layout.grown(layout.splits[-1] - 1) == 0


def test_the_first_level_is_held() -> None:
    """While it is held the first arrows grow; of several frames a level the last is the level's."""
    layout = Layout(3, (3, 1), 28, PAPER, INK, width=400)
    held = list(tree_frames(layout, states(layout), held=9))
    assert len(held) == 4 + 9
    reach = [np.flatnonzero((frame != PAPER).any(axis=(0, 2)))[-1] for frame in held[:11]]
    assert reach[:10] == sorted(set(reach[:10]))
    assert reach[10] > reach[9]
    assert np.array_equal(held[9], grow(layout)[3])
    layout = Layout(12, (12, 7), side=28, background=PAPER, ink=INK, width=300)
    once, thrice = grow(layout), list(tree_frames(layout, states(layout), frames_a_level=3))
    assert len(thrice) == 3 * 13
    for level, frames in zip(once, zip(*[iter(thrice)] * 3, strict=True), strict=True):
        assert np.array_equal(frames[-1], once[level])
        shares = [layout.grown(level + left / 3) for left in (2, 1, 0)]
        assert shares == sorted(shares)
    first = [np.flatnonzero((frame != PAPER).any(axis=(0, 2)))[-1] for frame in thrice[:4]]
    assert first == sorted(set(first))


def test_arrows_are_drawn_only_while_they_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrows are drawn while they grow; a state is taken with its frame, which is the taker's."""
    drawn: list[float] = []

    def counted(
        curves: Sequence[Points], size: tuple[int, int], stroke: float, progress: float
    ) -> Ink:
        drawn.append(progress)
        return draw_arrows(curves, size, stroke, progress)

    monkeypatch.setattr(hierarchy, "draw_arrows", counted)
    grow(Layout(60, (60, 30), 28, PAPER, INK, width=400))
    assert drawn.count(1.0) == 2
    assert len(drawn) - 1 == len(set(drawn)) == 10  # the first split, at K, has one frame to grow
    taken = []

    def watched() -> Iterator[tuple[int, Frame]]:
        for level, shown in states(LAYOUT):
            taken.append(level)
            yield level, shown

    expected = grow(LAYOUT)
    for level, frame in zip(expected, tree_frames(LAYOUT, watched()), strict=True):
        assert taken[-1] == level
        assert np.array_equal(frame, expected[level])
        frame[:] = 77


@pytest.mark.parametrize(("background", "ink"), [(PAPER, INK), ((18, 21, 31), (228, 231, 241))])
def test_arrows_join_their_nodes(background: tuple[int, ...], ink: tuple[int, ...]) -> None:
    """The last frame has pure ink at both ends of every arrow, with smooth edges in between."""
    layout = Layout(6, (6, 4, 2), 28, background, ink, width=1280)  # type: ignore[arg-type]
    frame = grow(layout)[0]
    for depth, index in nodes(layout)[1:]:
        top, left = layout.place(depth, index)
        row = top + layout.picture // 2
        assert (frame[row, left - 10] == ink).all()
        parent_top, parent_left = layout.place(depth - 1, index // 2)
        row = parent_top + layout.picture // 2
        assert (frame[row, parent_left + layout.picture + 1] == ink).all()
    for node in nodes(layout):
        spot(layout, frame, node, around=1)[:] = background
    pure = (frame == background).all(-1) | (frame == ink).all(-1)
    assert 0.001 < 1 - pure.mean() < 0.02
    low, high = np.minimum(background, ink), np.maximum(background, ink)
    assert ((low <= frame) & (frame <= high)).all()


colours = st.tuples(*[st.integers(0, 255)] * 3)
START, END = (5.0, 20.0), (90.0, 60.0)


@calm
@given(colours, colours)
def test_mix_is_exact_at_both_ends(below: Colour, above: Colour) -> None:
    """Alpha 0 leaves what is below, 255 gives what is above, and all between lies between."""
    mixed = mix(below, above, np.arange(256, dtype=np.uint8)[:, None])
    assert mixed.dtype == np.uint8
    assert tuple(mixed[0]) == below
    assert tuple(mixed[255]) == above
    exact = np.linspace(below, above, 256)
    assert np.abs(mixed - exact).max() <= 0.5 + 1e-9


def test_arrows() -> None:
    """Curves go right and level; ink reaches both ends and grows from nothing to that."""
    stroke = 3.0
    ink = draw_arrows([swing(START, 70, END)], (80, 100), stroke)
    rows, columns = np.nonzero(ink)
    assert columns.min() in (4, 5)
    assert columns.max() == 89
    assert rows.min() >= START[1] - overhang(stroke)
    assert rows.max() < END[1] + overhang(stroke)
    assert len(np.unique(ink)) > 10
    assert ink[:, 50].astype(int).sum() / 255 == pytest.approx(stroke * 1.3, rel=0.2)  # it slants
    assert (ink[:, 75] > 0).sum() in (3, 4)
    assert (ink[:, 79] > 0).sum() > 8
    short, long = swing((0, 10), 40, (40, 5)), swing((0, 30), 80, (80, 35))
    frames = [draw_arrows([short, long], (40, 100), 2, share) for share in (0, 0.2, 0.5, 0.8, 1)]
    assert not frames[0].any()
    tips = [
        [np.flatnonzero(half.any(axis=0)).max() for half in (frame[:20], frame[20:])]
        for frame in frames[1:]
    ]
    assert abs(tips[0][0] - tips[0][1]) <= 1
    assert [upper for upper, _ in tips][1:] == [39] * 3
    assert [lower for _, lower in tips] == sorted({lower for _, lower in tips})
    assert tips[-1][1] == 79
    for bend in [50.0, 90.0, 200.0]:
        curve = swing(START, bend, END)
        assert tuple(curve[0]) == START
        assert tuple(curve[-1]) == END
        steps = np.diff(curve, axis=0)
        assert (steps[:, 0] > 0).all()
        assert (steps[:, 1] >= 0).all()
        assert abs(steps[0, 1]) < 0.1 * steps[0, 0]
        assert abs(steps[-1, 1]) < 0.1 * steps[-1, 0]
        assert (curve[curve[:, 0] >= bend, 1] == END[1]).all()


def sampled() -> Iterator[tuple[int, Frame]]:
    """More and more pictures, of every level a different number."""
    generator = np.random.default_rng(0)
    for level in range(5, -1, -1):
        yield level, generator.integers(0, 256, (6 - level, 4, 3, 3), np.uint8)


def test_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay streams, is the same twice, from memory or a file, and leaves nothing behind."""
    stream = sampled()
    taken = Replay(stream, 1).kept()
    next(taken)
    assert next(stream)[0] == 4
    monkeypatch.setattr(spool, "IN_MEMORY", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    whole, half = Replay(sampled(), 1), Replay(sampled(), 1)
    list(whole.kept())
    next(half.kept())
    assert list(tmp_path.iterdir()) == []
    list(whole.again())
    assert not whole.spool.close.alive
    closing = half.spool.close
    del half
    assert not closing.alive
    for room in [1_000_000, 100]:
        monkeypatch.setattr(spool, "IN_MEMORY", room)
        kept = Replay(sampled(), 2)
        list(kept.kept())
        first, again = list(kept.again()), list(kept.again())
        assert not kept.spool.close.alive
        for made, one, other in zip(sampled(), first, again, strict=True):
            assert made[0] == one[0] == other[0]
            np.testing.assert_array_equal(made[1], one[1])
            np.testing.assert_array_equal(made[1], other[1])
