"""Verifying: an encoded file that is not what went in is found, whatever its encoder said."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sitegen.core.errors import TargetError
from sitegen.media import ffmpeg
from sitegen.media.frames import Frame
from sitegen.media.verify import media_file, psnr, verified_gif, verified_mp4

X264 = ("-c:v", "libx264", "-profile:v", "high", "-pix_fmt", "yuv420p", "-vf")
CONVERT = "scale=out_color_matrix=bt709"
FAST = ("-movflags", "+faststart")


def picture(step: int) -> Frame:
    """A colourful gradient that moves."""
    rows, columns = np.mgrid[0:32, 0:48]
    channels = [columns * 5, rows * 7, (columns + rows + 9 * step) * 2 % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


FRAMES = [picture(step) for step in range(5)]
ENDS = (FRAMES[0], FRAMES[-1])


def encode(path: Path, arguments: Sequence[str], frames: Sequence[Frame] = FRAMES) -> Path:
    """Encode frames with ffmpeg arguments of the test's own."""
    height, width, _ = frames[0].shape
    source = ffmpeg.raw_input(width, height, Fraction(10))
    data = [frame.tobytes() for frame in frames]
    ffmpeg.feed([*source, *arguments, path.name], path.parent, data, width * height)
    return path


def test_good_mp4_is_described(tmp_path: Path) -> None:
    """A good file passes, and is described by its weight, digest, size, frames and rate."""
    path = encode(tmp_path / "a.mp4", [*X264, CONVERT, *FAST])
    file = verified_mp4(path, ENDS, 5, 10.0, 18)
    assert file == media_file(path, 48, 32, 5, 10.0)
    assert file.path == "a.mp4"
    assert file.bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*X264, CONVERT), "index at the end"),
        ((*X264, f"{CONVERT}:h=30", *FAST), "right size|within a frame"),
        ((*X264, f"{CONVERT},transpose", *FAST), "right size"),
        ((*X264, f"{CONVERT},select=gt(n\\,0)", *FAST), "has 4 frames, not 5"),
        ((*X264, "colorchannelmixer=0:0:1:0:0:1:0:0:1:0:0:0," + CONVERT, *FAST), "look like"),
        ((*X264, f"{CONVERT},vflip", *FAST), "look like"),
        ((*X264, f"{CONVERT},reverse", *FAST), "look like"),
        (("-c:v", "mpeg4", *FAST), "not H.264"),
        (("-c:v", "libx264", "-pix_fmt", "yuv444p", *FAST), "not H.264 High"),
        ((*X264, CONVERT, "-profile:v", "baseline", *FAST), "not H.264 High"),
    ],
)
def test_bad_mp4_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """Another size, count, order, codec, profile, channel order or layout of the file."""
    path = encode(tmp_path / "a.mp4", arguments)
    with pytest.raises(TargetError, match=words):
        verified_mp4(path, ENDS, 5, 10.0, 18)


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.98])
def test_cut_mp4_is_refused(tmp_path: Path, part: float) -> None:
    """A file that lacks its end is refused, with ffmpeg's words where it has any."""
    path = encode(tmp_path / "a.mp4", [*X264, CONVERT, *FAST])
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(TargetError):
        verified_mp4(path, ENDS, 5, 10.0, 18)


def test_noise_is_allowed_to_be_coarse(tmp_path: Path) -> None:
    """Pure noise, the start of other diffusion models, is a fair clip at a common quality."""
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(5)]
    path = encode(tmp_path / "a.mp4", [*X264, CONVERT, "-crf", "26", *FAST], frames)
    verified_mp4(path, (frames[0], frames[-1]), 5, 10.0, 23)
    with pytest.raises(TargetError, match="look like"):
        verified_mp4(path, (frames[-1], frames[0]), 5, 10.0, 23)


def test_gif_is_verified(tmp_path: Path) -> None:
    """A GIF must have its size and its number of frames, and be one."""
    path = encode(tmp_path / "a.gif", [])
    assert verified_gif(path, 48, 32, 5, 10.0) == media_file(path, 48, 32, 5, 10.0)
    for width, height, count in ((32, 48, 5), (48, 32, 4), (24, 32, 10), (48, 30, 5)):
        with pytest.raises(TargetError, match=r"a\.gif"):
            verified_gif(path, width, height, count, 10.0)
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(TargetError):
        verified_gif(path, 48, 32, 5, 10.0)


def test_psnr_is_known() -> None:
    """Equal is infinite; one level off everywhere is 48.13 dB."""
    zeros = np.zeros((4, 4), np.float32)
    assert psnr(zeros, zeros) == float("inf")
    assert psnr(zeros, zeros + 1) == pytest.approx(48.1308, abs=1e-4)
