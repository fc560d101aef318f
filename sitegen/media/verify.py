"""Opening an encoded file again, by decoding it whole: nothing counts because its maker said so."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import TargetError
from sitegen.core.files import digest, platform_errors
from sitegen.media import ffmpeg
from sitegen.media.frames import Frame
from sitegen.media.manifest import MediaFile

_GOOD_PSNR = 30.0  # dB, at CRF 23 or better
_GOOD_SHARE = 0.2  # of the contrast between neighbours: noise is coded worse than pictures


def verified_mp4(
    path: Path, ends: tuple[Frame, Frame], count: int, fps: float, crf: int
) -> MediaFile:
    """Describe an MP4, having decoded it and compared its first and last frame with `ends`.

    count: of frames that went in. Raises TargetError if the file is not H.264 High in yuv420p of
    the right size with its index in front, has another number of frames, or looks different.
    """
    height, width, _ = ends[0].shape
    size = width * height * 3 // 2
    decoded, frames, words = _decode(path, "yuv420p", size, width * height)
    described = rf"Video: h264 \(High\).* yuv420p\b.* {width}x{height}\b"
    require(bool(re.search(described, words)), path, "is not H.264 High of the right size")
    require(frames == count, path, f"has {frames} frames, not {count}")
    require(_index_is_in_front(path), path, "has its index at the end")
    for seen, source in zip(decoded, ends, strict=True):
        require(_looks_like(seen, source, crf), path, "does not look like its frames")
    return media_file(path, width, height, count, fps)


def verified_gif(path: Path, width: int, height: int, count: int, fps: float) -> MediaFile:
    """Describe a GIF, having decoded it. Raises TargetError for another size or frame count."""
    _, frames, _ = _decode(path, "rgb24", 3 * width * height, width * height)
    with platform_errors(path, "read"), path.open("rb") as file:
        head = file.read(10)
        file.seek(-1, io.SEEK_END)
        end = file.read(1)
    sides = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    require(end == b";", path, "is cut short")
    require(head == b"GIF89a" + sides, path, "is not a GIF of the right size")
    require(frames == count, path, f"has {frames} frames, not {count}")
    return media_file(path, width, height, count, fps)


def require(good: bool, path: Path, fault: str) -> None:
    """Raise TargetError, saying what is wrong with `path`, unless `good`."""
    if not good:
        raise TargetError(f"the encoder reported success, but {path.name} {fault}")


def media_file(
    path: Path, width: int, height: int, frames: int | None = None, fps: float | None = None
) -> MediaFile:
    """Describe a file under its plain name, with its weight and digest."""
    with platform_errors(path, "read"):
        size = path.stat().st_size
        return MediaFile(path.name, size, digest(path), width, height, frames, fps)


def psnr(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Likeness of two arrays in [0, 255] units, in dB; infinite if they are equal."""
    error = float(np.mean((first - second) ** 2, dtype=np.float64))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _decode(path: Path, pixels: str, size: int, area: int) -> tuple[tuple[bytes, bytes], int, str]:
    """Decode every frame: the first and last, `size` bytes each, their number, and the messages."""
    arguments = ["-loglevel", "info", "-xerror", "-i", path.name, "-fps_mode", "passthrough"]
    arguments += ["-f", "rawvideo", "-pix_fmt", pixels, "pipe:1"]
    count, first, last = 0, b"", b""
    with ffmpeg.Ffmpeg(arguments, path.parent, area) as process:
        while len(frame := process.read(size)) == size:
            first, last, count = first or frame, frame, count + 1
        words = process.finish()
    require(not frame, path, "ends within a frame, or has another size")
    return (first, last), count, words


def _index_is_in_front(path: Path) -> bool:
    """Whether the box `moov` comes before `mdat`, so that playing starts before all is there."""
    kinds: list[bytes] = []
    with platform_errors(path, "read"), path.open("rb") as file:
        while len(head := file.read(16)) >= 8:
            kinds.append(head[4:8])
            size = int.from_bytes(head[:4], "big")
            size = int.from_bytes(head[8:], "big") if size == 1 else size
            file.seek(max(size, 8) - len(head), io.SEEK_CUR)
    return b"mdat" in kinds and b"moov" in kinds[: kinds.index(b"mdat")]


def _looks_like(decoded: bytes, source: Frame, crf: int) -> bool:
    """Whether a yuv420p picture is an RGB frame, in brightness and colour, as CRF allows."""
    start = 0
    for expected in _planes(source):
        seen = np.frombuffer(decoded, np.uint8, expected.size, start).reshape(expected.shape)
        start += expected.size
        if not _is_close(expected, seen.astype(np.float32), crf):
            return False
    return True


def _planes(frame: Frame) -> list[NDArray[np.float32]]:
    """An RGB frame of even size as Y, and U and V of half the size, of BT.709 in video range."""
    colours = frame.astype(np.float32)
    luma = colours @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    blue, red = (colours[..., 2] - luma) / 1.8556, (colours[..., 0] - luma) / 1.5748
    height, width = luma.shape
    halves = [
        each.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) * (224 / 255) + 128
        for each in (blue, red)
    ]
    return [luma * (219 / 255) + 16, *halves]


def _is_close(expected: NDArray[np.float32], seen: NDArray[np.float32], crf: int) -> bool:
    """Whether the error is small in itself, or beside the contrast between neighbours."""
    error = float(np.mean((expected - seen) ** 2))
    contrast = float(np.mean(np.diff(expected, axis=0) ** 2)) if expected.shape[0] > 1 else 0.0
    likeness = psnr(expected, seen)
    return likeness > _GOOD_PSNR - 1.25 * max(0, crf - 23) or error < _GOOD_SHARE * contrast / 2
