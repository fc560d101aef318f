"""Clips as they are encoded: what browsers play, faithful to the pictures, light, reproducible."""

import re
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image

from sitegen.core.errors import PlatformError, TargetError
from sitegen.media import encoder
from sitegen.media.encoder import encode_clip, executable, frames_at, write_still
from sitegen.media.frames import Frame
from sitegen.media.manifest import Cells, ClipSource, TreeNode
from tests.support.pictures import cut_out, decibels

COUNT, SIDE, FACTOR = 6, 16, 4
CELLS = Cells(COUNT, SIDE, SIDE, 3, 1).enlarged(FACTOR)


def pictures(step: int, count: int = COUNT) -> Frame:
    """Smooth coloured pictures (N, 16, 16, 3) with an edge, which move with `step`."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    numbers = np.arange(count)[:, None, None]
    red = (rows * 9 + 20 * numbers + 4 * step) % 200
    blue = np.where(columns > 5 + numbers, 200, 40) + 0 * rows
    return np.stack([red, 60 + 8 * columns + 0 * red, blue + 0 * red], -1).astype(np.uint8)


def clip(states: Iterator[Frame], order: tuple[int, ...], cells: Cells = CELLS) -> ClipSource:
    """A clip of these states at ten frames a second."""
    return ClipSource(cells, FACTOR, 10.0, order, states)


ORDER = (*[9] * 5, *range(10), *[9] * 10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an encoded clip of ten states."""
    path = tmp_path_factory.mktemp("clip")
    encode_clip(clip(map(pictures, range(10)), ORDER), path)
    return path


def test_files_are_described_and_reproducible(folder: Path, tmp_path: Path) -> None:
    """Five files, described as they are; equal states give equal bytes."""
    files = encode_clip(clip(map(pictures, range(10)), ORDER), tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "clip.avif", "clip.gif", "clip.mp4", "clip.webp", "film.webp"
    ]  # fmt: skip
    for file in files.values():
        assert (tmp_path / file.path).read_bytes() == (folder / file.path).read_bytes()
        assert file.bytes == (tmp_path / file.path).stat().st_size
    assert (files["mp4"].width, files["mp4"].height) == CELLS.size == (200, 132)
    assert (files["mp4"].frames, files["mp4"].fps) == (25, 10.0)
    assert (files["gif"].width, files["gif"].height) == (50, 33)
    assert (files["film"].width, files["film"].height) == (6 * 3 * 64, 64)


def test_mp4_is_what_browsers_play(folder: Path) -> None:
    """H.264 High, yuv420p in BT.709, the index first, no audio."""
    command = [executable(), "-hide_banner", "-i", str(folder / "clip.mp4")]
    facts = subprocess.run(command, capture_output=True, check=False, text=True).stderr
    assert "Video: h264 (High)" in facts
    assert "yuv420p(tv, bt709" in facts
    data = (folder / "clip.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert b"mp4a" not in data
    assert data[data.index(b"avcC") + 5] == 100  # the profile High


def test_keyframes(folder: Path) -> None:
    """A keyframe every ten frames that differ, for the slider, and one where pictures stay."""
    command = [executable(), "-skip_frame", "nokey", "-i", str(folder / "clip.mp4")]
    command += ["-fps_mode", "passthrough", "-vf", "showinfo", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stderr
    times = re.findall(r"pts_time:([\d.]+)", said)
    assert [round(10 * float(time)) for time in times] == [0, 10, 14]


def test_opens_on_the_finished_pictures_and_holds_them(folder: Path) -> None:
    """Each frame shows the state of its order, and posters and the last frame the last state."""
    frames = frames_at(folder / "clip.mp4", range(25), CELLS.size)
    for number, state in enumerate(ORDER):
        assert decibels(cut_out(frames[number], CELLS, FACTOR), pictures(state)) > 35
    for name in ("clip.avif", "clip.webp"):
        poster = np.asarray(Image.open(folder / name).convert("RGB"))
        assert decibels(cut_out(poster, CELLS, FACTOR), pictures(9)) > 35


def test_poster_of_a_clip_that_comes_back(tmp_path: Path) -> None:
    """It shows the state with which the clip ends and begins, which the slider names."""
    cells = Cells(1, SIDE, SIDE, 1, 1).enlarged(FACTOR)
    states = [np.full((1, SIDE, SIDE, 3), value, np.uint8) for value in (40, 200)]
    encode_clip(ClipSource(cells, FACTOR, 10.0, (0, 1, 1, 0), states), tmp_path)
    poster = np.asarray(Image.open(tmp_path / "clip.avif").convert("RGB"))
    assert abs(int(poster.mean()) - 40) <= 2


def test_colours_of_single_pixels(tmp_path: Path) -> None:
    """Pixels of pure colours side by side come back: 4:2:0 loses none of them."""
    colours = np.array([[255, 0, 0], [0, 0, 255], [0, 200, 0], [230, 230, 0]], np.uint8)
    state = colours[np.arange(SIDE * SIDE).reshape(1, SIDE, SIDE) * 7 % 4]
    cells = Cells(1, SIDE, SIDE, 1, 1).enlarged(FACTOR)
    encode_clip(ClipSource(cells, FACTOR, 10.0, (0,), [state], smooth=False), tmp_path)
    seen = cut_out(frames_at(tmp_path / "clip.mp4", [0], cells.size)[0], cells, FACTOR)
    assert np.abs(seen - state).max() < 40


def test_filmstrip_shows_six_moments(folder: Path) -> None:
    """The first cells of the first state are on the left, those of the last on the right."""
    film = np.asarray(Image.open(folder / "film.webp").convert("RGB")).astype(float)
    width = film.shape[1] // 6
    for moment, state in ((0, 0), (5, 9)):
        part = film[:, moment * width : (moment + 1) * width]
        small = np.concatenate(list(pictures(state)[:3]), axis=1)
        large = np.asarray(Image.fromarray(small).resize((width, 64), Image.Resampling.LANCZOS))
        assert decibels(part, large) > 25


@pytest.mark.parametrize(("height", "width"), [(2, 1200), (1200, 2), (24, 40), (40, 24)])
def test_filmstrip_of_pictures_that_are_not_square(tmp_path: Path, height: int, width: int) -> None:
    """Each moment has squares from the middle of its pictures, where the page looks for them."""
    cells = Cells(2, width, height, 2, 1).enlarged(2)
    states = (np.full((2, height, width, 3), 40 * shade, np.uint8) for shade in range(6))
    files = encode_clip(ClipSource(cells, 2, 10.0, tuple(range(6)), states), tmp_path)
    assert (files["film"].width, files["film"].height) == (6 * 2 * 64, 64)
    film = np.asarray(Image.open(tmp_path / "film.webp").convert("L")).astype(int)
    assert np.abs(film[32, 64::128] - 40 * np.arange(6)).max() < 6


def test_tree_fills_in_its_faint_end(tmp_path: Path) -> None:
    """A branch that has not begun is faint, one that has ended stays."""
    nodes = (TreeNode(0, 8, None, 2, 2), TreeNode(20, 0, 0, 1, 0), TreeNode(20, 17, 0, 1, 0))
    cells = Cells(3, SIDE, SIDE, gap=1, nodes=nodes).enlarged(FACTOR)
    states = [pictures(0, 1), pictures(1, 2), pictures(2, 2)]
    encode_clip(clip(iter(states), (2, 0, 1, 2), cells), tmp_path)
    frames = frames_at(tmp_path / "clip.mp4", range(4), cells.size)
    root, *leaves = cut_out(frames[1], cells, FACTOR)
    assert decibels(root, states[0][0]) > 32
    faint = 255 - (255 - states[2].astype(float)) * 0.15
    assert decibels(np.stack(leaves), faint) > 32
    for number in (0, 3):
        finished = np.concatenate([states[0], states[2]])
        assert decibels(cut_out(frames[number], cells, FACTOR), finished) > 35


def test_gif_is_as_long_as_the_clip(folder: Path, tmp_path: Path) -> None:
    """It has at most 15 frames a second, and fewer where it would be too large."""
    frames = imageio.imread(folder / "clip.gif", plugin="pillow", mode="RGB")
    assert frames.shape == (25, 33, 50, 3)
    assert decibels(cut_out(frames[-1], CELLS.enlarged(Fraction(1, FACTOR)), 1), pictures(9)) > 25


def test_gif_drops_frames_to_be_light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is shown in fewer frames, which last as long."""
    generator = np.random.default_rng(0)
    states = (generator.integers(0, 256, (6, 16, 16, 3), np.uint8) for _ in range(30))
    monkeypatch.setattr(encoder, "GIF_BYTES", 20_000)
    files = encode_clip(clip(states, tuple(range(30))), tmp_path)
    assert files["gif"].bytes <= 20_000
    assert files["gif"].frames is not None
    assert files["gif"].fps is not None
    assert files["gif"].frames < 30
    assert files["gif"].frames / files["gif"].fps == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ([], "at least one state"),
        ([pictures(0)[:5]], "state 1 is"),
        ([pictures(0), pictures(0)[:, :8]], "state 2 is"),
        ([pictures(0).astype(float)], "float64"),
    ],
)
def test_bad_states_leave_nothing(tmp_path: Path, states: list[Frame], words: str) -> None:
    """No states, and states that do not fit the cells, are an error, and no file is left."""
    with pytest.raises(TargetError, match=words):
        encode_clip(clip(iter(states), (0,)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_encoder_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg that writes nothing is an error of the environment."""
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\ncat >/dev/null\n")
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    with pytest.raises(PlatformError, match="ffmpeg wrote 0 of 1 frames"):
        encode_clip(clip(iter([pictures(0)]), (0,)), tmp_path)


def test_still_in_a_missing_folder(tmp_path: Path) -> None:
    """A still that cannot be written is an error of the environment."""
    with pytest.raises(PlatformError):
        write_still(pictures(0)[0], tmp_path / "no" / "a.webp")
