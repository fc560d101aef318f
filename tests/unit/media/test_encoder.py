"""Encoding, as far as no encoder is needed: what is asked for, what is kept, what names it."""

from importlib import metadata
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sitegen.core.errors import PlatformError
from sitegen.media import encoder
from sitegen.media.encoder import ClipSpec, crf_for, write_still
from sitegen.media.ffmpeg import encoder_version, version_of
from sitegen.media.frames import enlarge
from sitegen.media.likeness import psnr
from sitegen.media.look import film

SPEC = ClipSpec(fps=24, crf=18, factor=4, background=(20, 30, 40))


@pytest.mark.parametrize(
    ("field", "value"),
    [("fps", 0), ("fps", float("nan")), ("crf", 0), ("crf", 52), ("factor", 0),
     ("background", (0, 256, 0))],
)  # fmt: skip
def test_spec_is_checked(field: str, value: Any) -> None:
    """A rate, quality, factor or colour that cannot be is a ValueError that names it."""
    with pytest.raises(ValueError, match=field):
        ClipSpec(**{**vars(SPEC), field: value})


def test_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small images are encoded better; one level off is 48.13 dB; the executable has a name."""
    assert [crf_for(size) for size in (28, 64, 65, 256)] == [18, 18, 20, 20]
    zeros = np.zeros((4, 4), np.float32)
    assert psnr(zeros, zeros) == float("inf")
    assert psnr(zeros, zeros + 1) == pytest.approx(48.1308, abs=1e-4)
    version_of.cache_clear()
    assert encoder_version().startswith("ffmpeg-")

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    version_of.cache_clear()
    monkeypatch.setattr(metadata, "files", missing)
    with pytest.raises(PlatformError, match=r"no ffmpeg starts.*`pip install.*memory"):
        encoder_version()


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 12), st.data())
def test_native_frames_keep_their_share(
    tmp_path_factory: pytest.TempPathFactory, count: int, stride: int, room: int, data: Any
) -> None:
    """Evenly spaced frames and the last, in bounded room, however many there are."""
    folder = tmp_path_factory.mktemp("frames")
    frames = [np.full((1, 1, 3), step, np.uint8) for step in range(count)]
    native = encoder._NativeFrames(folder, frames[0], stride)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film, "NATIVE_BYTES", 3 * room)
        assert [frame[0, 0, 0] for frame in native.keeping(frames)] == list(range(count))
    steps = [frame[0] for frame in native.evenly(len(native.kept))]
    assert len(list(folder.iterdir())) == len(steps) <= max(room, 2) + 1
    assert (steps[0], steps[-1], native.seen) == (0, count - 1, count)
    gaps = np.diff(steps)
    assert (gaps > 0).all()
    if len(steps) > 2:
        assert len(set(gaps[:-1])) == 1
        assert gaps[-1] <= gaps[0]
        assert gaps[0] % stride == 0
    fewer = data.draw(st.integers(1, len(steps)))
    chosen = [steps.index(frame[0]) for frame in native.evenly(fewer)]
    assert (len(chosen), chosen[-1]) == (fewer, len(steps) - 1)
    if fewer > 1:
        assert chosen[0] == 0
        assert min(np.diff(chosen)) >= 1
        assert np.ptp(np.diff(chosen)) <= 1


@pytest.mark.parametrize("noisy", [False, True])
def test_still(tmp_path: Path, noisy: bool) -> None:
    """A WebP of the frame's size that looks the same: without loss where that is lighter."""
    rows, columns = np.mgrid[0:40, 0:60]
    frame = np.stack([rows * 6, columns * 4, rows + columns], -1).astype(np.uint8)
    if noisy:
        frame = np.random.default_rng(0).integers(0, 256, frame.shape, np.uint8)
    file = write_still(frame, tmp_path / "a.webp")
    assert (file.width, file.height, file.frames) == (60, 40, None)
    decoded = np.asarray(Image.open(tmp_path / "a.webp").convert("RGB"), np.float32)
    pair = decoded, frame.astype(np.float32)
    bright = [np.asarray(image @ [0.299, 0.587, 0.114], np.float32) for image in pair]
    assert psnr(*bright) > 36
    halves = [np.asarray(image.reshape(20, 2, 30, 2, 3).mean((1, 3))) for image in pair]
    assert psnr(*halves) > 31


def test_still_of_pictures_is_light(tmp_path: Path) -> None:
    """Coloured pictures need no lossless file, and no finer a lossy one than looks the same."""
    rows, columns = np.mgrid[0:120, 0:200] / 7
    planes = [np.sin(rows + k) * np.cos(columns * (k + 1) / 3) for k in range(3)]
    grain = np.random.default_rng(0).normal(0, 2, (120, 200, 3))
    frame = (120 + 100 * np.stack(planes, -1) + grain).clip(0, 255).astype(np.uint8)
    write_still(frame, tmp_path / "a.webp")
    Image.fromarray(frame).save(tmp_path / "b.webp", lossless=True)
    size = (tmp_path / "a.webp").stat().st_size
    assert size < 0.5 * (tmp_path / "b.webp").stat().st_size
    heavier = []
    for quality in range(50, 97, 3):
        Image.fromarray(frame).save(tmp_path / "c.webp", quality=quality)
        seen = np.asarray(Image.open(tmp_path / "c.webp").convert("RGB"), np.float32)
        luma = [each @ np.array([0.299, 0.587, 0.114]) for each in (seen, frame)]
        if psnr(*luma) > 36:
            heavier.append((tmp_path / "c.webp").stat().st_size)
    assert size <= min(heavier)


def test_repeated_frames_are_enlarged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that is held costs as much as one frame."""
    first, last = (np.full((2, 2, 3), value, np.uint8) for value in (1, 2))
    enlarged = Mock(wraps=enlarge)
    monkeypatch.setattr("sitegen.media.encoder.enlarge", enlarged)
    found = list(encoder._enlarged([first, last, last, last], SPEC))
    assert [frame[0, 0, 0] for frame in found] == [1, 2, 2, 2]
    assert enlarged.call_count == 2
