"""Recordings of points in the plane, and the pictures of them."""

from pathlib import Path

import numpy as np
import pytest

from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.data.recording import POINTS_SIDE, open_recording, recorded_card
from sitegen.media.frames import Frame, to_uint8
from sitegen.media.points import COLOURS, PATH, drawn_points
from sitegen.record import record
from sitegen.sampling.recorded import RecordedTrajectory
from tests.support.calling import make_figure

SIDE = 200


def near(frame: Frame, x: float, y: float, colour: tuple[int, ...], reach: int = 3) -> bool:
    """Whether a colour is near a place in [0, 1], of a frame with margins."""
    across, down = 0.06 + 0.88 * x, 0.06 + 0.88 * (1 - y)
    row, column = round(down * len(frame)), round(across * len(frame))
    part = frame[row - reach : row + reach + 1, column - reach : column + reach + 1].astype(int)
    return bool((np.abs(part - colour).max(2) < 30).any())


def test_drawing() -> None:
    """Points have the colours of their labels, leave paths, and y goes up."""
    steps = [
        np.array([[0.1, 0.2], [0.9, 0.8]], np.float32),
        np.array([[0.5, 0.2], [0.9, 0.4]], "f4"),
    ]
    first, last = drawn_points([(step, None) for step in steps], SIDE, (-1, 1), ["a", "b"])
    assert near(first, 0.1, 0.2, COLOURS[0])
    assert near(first, 0.9, 0.8, COLOURS[1])
    assert near(last, 0.5, 0.2, COLOURS[0])
    assert near(last, 0.3, 0.2, PATH)
    assert near(last, 0.9, 0.6, PATH)
    assert not near(first, 0.3, 0.2, PATH)
    assert not near(last, 0.1, 0.2, COLOURS[0])


def test_arrows() -> None:
    """An arrow goes along the velocity; the longest has a tenth of the side."""
    place, up = np.array([[0.5, 0.5]], np.float32), np.array([[0.0, 3.0]], np.float32)
    (plain,) = drawn_points([(place, None)], SIDE, (0, 1))
    (frame,) = drawn_points([(place, up)], SIDE, (0, 1))
    rows, columns = np.nonzero((plain != frame).any(2))
    assert rows.min() == pytest.approx(SIDE * 0.4, abs=2)
    assert rows.max() <= SIDE // 2
    assert abs(columns.mean() - SIDE / 2) < 2


def test_recording(tmp_path: Path) -> None:
    """It is one sample, the picture of all points, on the recorded axis."""
    path = tmp_path / "plane.npz"
    points = np.array([[[-1.0, -1.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.5]]])
    with record(path, axis=("step", ""), range=(-2, 2), labels=["a", "b"]) as rec:
        for step, places in enumerate(points):
            rec(100 * step, places, velocity=places + 1)
    recording = open_recording(path)
    recording.check()
    card = recorded_card(recording)
    assert card.shape == (3, POINTS_SIDE, POINTS_SIDE)
    assert card.recording is not None
    assert (card.recording.count, card.recording.points) == (1, 2)
    assert card.recording.values == (100, 0)
    assert ModelCard.from_toml(card.to_toml()) == card
    moves = list(recording.points())
    for (places, velocities), wanted in zip(moves, points, strict=True):
        assert velocities is not None
        np.testing.assert_allclose(places, (wanted + 2) / 4, atol=1e-3)
        np.testing.assert_allclose(velocities, (wanted + 1) / 4, atol=1e-3)
    levels = dict(RecordedTrajectory(recording, (0,)).seen("state"))
    assert list(levels) == [1, 0]
    frame = to_uint8(levels[0])[0]
    assert frame.shape == (POINTS_SIDE, POINTS_SIDE, 3)
    assert near(frame, 0.5, 0.75, COLOURS[0], 8)
    place = SourceLocation("index.md", 1)
    figure = make_figure("trajectories", ("run",), {"count": 1}, place)
    words = "2 points in the plane and their paths over one recorded step, of the recording run"
    assert figure.description([card]) == words
    (fault,) = make_figure("trajectories", ("run",), {}, place).spec.unmet([card])
    assert fault == "count = 36: all points are in one picture; give count=1"
    (fault,) = make_figure("spectra", ("run",), {"count": 1}, place).spec.unmet([card])
    assert fault == "needs images; run has points in the plane"


def test_points_do_not_split(tmp_path: Path) -> None:
    """Paths of points have no branches."""
    with record(tmp_path / "plane.npz") as rec:
        rec(1, np.zeros((1, 2)))
        rec(0, np.zeros((2, 2)), parents=[0, 0])
    with pytest.raises(RefusedError, match="points do not split"):
        open_recording(tmp_path / "plane.npz")
