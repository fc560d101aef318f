"""Frames into a clip: an MP4 to watch, a GIF for slides, and the last frame as a poster.

One pass over the frames, in memory that does not grow with their number: each goes to x264 as it
comes, and at native size onto a reel on disk, from which the GIF is made. Every file is opened and
decoded again before it counts, and nothing is left behind when something fails.

    clip.mp4    H.264 High, yuv420p, BT.709, enlarged by a whole number, even size, index in front
    clip.gif    native size, at most 15 frames a second and 2 MB
    clip.webp   the last frame, of exactly the size of the MP4
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib import metadata
from pathlib import Path

import numpy as np

from sitegen.core.errors import TargetError
from sitegen.core.files import platform_errors, temporary_folder
from sitegen.media import ffmpeg
from sitegen.media.frames import Colour, Frame, pad_to_even, upscale
from sitegen.media.manifest import MediaFile
from sitegen.media.verify import media_file, psnr, require, verified_gif, verified_mp4

GIF_BYTES = 2_000_000
"""What a GIF may weigh; frames are dropped until it does, or until one is left."""
REEL_BYTES = 256_000_000
"""What the native frames may take on disk; half of them are dropped whenever they take more."""

_GIF_FPS = 15
_LARGEST = 16383  # pixels a side; what WebP can hold
_KEYFRAME_EVERY = 10
_EXACT_PSNR = 40.0  # dB
_NAMES = {"mp4": "clip.mp4", "gif": "clip.gif", "poster": "clip.webp"}


@dataclass(frozen=True)
class ClipSpec:
    """How a clip is encoded.

    fps: frames a second, 0.1 to 240
    crf: quality of x264, 1 (best) to 51; 18 for small images, 20 to 23 for large ones
    factor: whole number that the MP4 and the poster are enlarged by
    background: colour of a row or column that pads an odd size, 0 to 255 each
    """

    fps: float
    crf: int
    factor: int
    background: Colour

    def __post_init__(self) -> None:
        """Raise ValueError where a field is out of its range."""
        valid = {
            "fps": 0.1 <= self.fps <= 240,
            "crf": 1 <= self.crf <= 51,
            "factor": self.factor >= 1,
            "background": all(0 <= value <= 255 for value in self.background),
        }
        for name, good in valid.items():
            if not good:
                raise ValueError(f"{name} {getattr(self, name)!r} is out of range")


@dataclass(frozen=True)
class _Take:
    """What one pass over the frames left: how many, and the first and last as they are shown."""

    count: int
    ends: tuple[Frame, Frame]


def encode_clip(frames: Iterable[Frame], spec: ClipSpec, folder: Path) -> dict[str, MediaFile]:
    """Encode (H, W, 3) frames of native size into `folder`: keys "mp4", "gif" and "poster".

    Iterates once, holding one frame at a time. Each `path` is the file's name in `folder`. Raises
    TargetError for no frames, frames of unequal size or a failing encoder, with its own words, and
    PlatformError if there is no encoder or no room; whatever happens, no part of a file is left.
    """
    stream = _checked(frames)
    first = next(stream, None)
    if first is None:
        raise TargetError("a clip needs at least one frame, and there was none")
    with temporary_folder(folder) as work:
        reel = _Reel(work / "reel", first.shape[:2], math.ceil(spec.fps / _GIF_FPS))
        take = _film(first, stream, spec, work, reel)
        files = {
            "mp4": verified_mp4(work / _NAMES["mp4"], take.ends, take.count, spec.fps, spec.crf),
            "gif": _gif(reel, take.count / spec.fps, work),
            "poster": write_still(take.ends[1], work / _NAMES["poster"]),
        }
        with platform_errors(folder):
            for file in files.values():
                (work / file.path).replace(folder / file.path)
    return files


def encoder_version() -> str:
    """What changes the bytes beside the frames and the spec, in one line; costs next to nothing.

    Imports neither imageio-ffmpeg nor Pillow. Raises PlatformError if there is no ffmpeg.
    """
    return f"{ffmpeg.version()}; pillow {metadata.version('pillow')}"


def preflight() -> None:
    """Raise PlatformError, before anything is sampled, unless ffmpeg and its libx264 are there."""
    ffmpeg.require_encoder("libx264")


class _Reel:
    """Native frames in a file: every `stride`-th one and the last, at most REEL_BYTES."""

    def __init__(self, path: Path, size: tuple[int, ...], stride: int) -> None:
        self._path = path
        self.height, self.width = size
        self._bytes = 3 * self.height * self.width
        self._stride, self._seen, self.count = stride, 0, 0

    def add(self, frame: Frame) -> None:
        """Keep a frame if it is its turn; the array must stay as it is."""
        self._last = frame
        if self._seen % self._stride == 0:
            self._append(frame)
        self._seen += 1
        if self.count * self._bytes > REEL_BYTES and self.count > 2:
            self._halve()

    def end(self) -> None:
        """Keep the last frame in any case."""
        if (self._seen - 1) % self._stride:
            self._append(self._last)

    def evenly(self, kept: int) -> Iterator[bytes]:
        """`kept` of the frames, evenly spaced; the last is always one of them."""
        with platform_errors(self._path, "read"), self._path.open("rb") as file:
            for index in _even_indices(self.count, kept):
                file.seek(index * self._bytes)
                yield file.read(self._bytes)

    def _append(self, frame: Frame) -> None:
        with platform_errors(self._path), self._path.open("ab") as file:
            file.write(frame.data)
        self.count += 1

    def _halve(self) -> None:
        """Drop every second frame, in place."""
        with platform_errors(self._path), self._path.open("r+b") as file:
            for index in range(0, self.count, 2):
                file.seek(index * self._bytes)
                frame = file.read(self._bytes)
                file.seek(index // 2 * self._bytes)
                file.write(frame)
            file.truncate()
        self.count, self._stride = -(-self.count // 2), self._stride * 2


def _even_indices(count: int, kept: int) -> Iterator[int]:
    """`kept` of the numbers 0 … count-1, evenly spaced, count-1 among them, and 0 if kept > 1."""
    if kept == 1:
        return iter([count - 1])
    return (step * (count - 1) // (kept - 1) for step in range(kept))


def _checked(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames as contiguous arrays of their own. Raises TargetError for one that is none."""
    shape: tuple[int, ...] | None = None
    for number, frame in enumerate(frames, 1):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise TargetError(
                f"frame {number} is {frame.shape} of {frame.dtype}, not (H, W, 3) of uint8"
            )
        if shape is not None and frame.shape != shape:
            raise TargetError(f"frame {number} is {frame.shape}, the ones before it are {shape}")
        shape = frame.shape
        yield np.array(frame, order="C")


def _shown(frame: Frame, spec: ClipSpec) -> Frame:
    """A native frame as the MP4 and the poster show it."""
    return pad_to_even(upscale(frame, spec.factor), spec.background)


def _film(first: Frame, rest: Iterator[Frame], spec: ClipSpec, work: Path, reel: _Reel) -> _Take:
    """The one pass: every frame to x264 and, in its turn, onto the reel."""
    count, last = 0, _shown(first, spec)
    height, width, _ = last.shape
    _check_sides(width, height)
    with ffmpeg.Ffmpeg(_mp4_arguments(width, height, spec), work, height * width) as process:
        for frame in itertools.chain([first], rest):
            last = _shown(frame, spec)
            process.write(last.data)
            reel.add(frame)
            count += 1
        process.finish()
    reel.end()
    return _Take(count, (_shown(first, spec), last))


def _check_sides(width: int, height: int) -> None:
    if max(height, width) > _LARGEST:
        raise TargetError(
            f"the clip would be {width} × {height} pixels, above {_LARGEST} a side; "
            "show fewer images in it"
        )


def _mp4_arguments(width: int, height: int, spec: ClipSpec) -> list[str]:
    """One thread and bit-exact, so that the same frames are the same bytes."""
    exact = "flags=area+accurate_rnd+full_chroma_int+bitexact"
    colours = "range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    convert = f"scale=out_color_matrix=bt709:out_range=tv:{exact},format=yuv420p"
    return [
        *("-loglevel", "error", "-filter_threads", "1"),
        *ffmpeg.raw_input(width, height, Fraction(spec.fps).limit_denominator(1001)),
        *("-vf", f"{convert},setparams={colours}", "-an", "-map_metadata", "-1"),
        *("-c:v", "libx264", "-profile:v", "high", "-preset", "slow", "-threads", "1"),
        *("-crf", str(spec.crf), "-g", str(_KEYFRAME_EVERY), "-flags:v", "+bitexact"),
        *("-fflags", "+bitexact", "-movflags", "+faststart", "-f", "mp4", _NAMES["mp4"]),
    ]


def _gif(reel: _Reel, seconds: float, work: Path) -> MediaFile:
    """Make the GIF, of fewer frames until it is light enough; it lasts as long as the MP4."""
    path, kept, pixels = work / _NAMES["gif"], reel.count, reel.width * reel.height
    source = ffmpeg.raw_input(reel.width, reel.height, Fraction(_GIF_FPS))
    quiet = ["-loglevel", "error", "-filter_threads", "1"]
    palette = ["-vf", "palettegen", "-f", "image2pipe", "-c:v", "png", "palette"]
    ffmpeg.feed([*quiet, *source, *palette], work, reel.evenly(kept), pixels)
    while True:
        rate = _gif_rate(seconds, kept)
        arguments = [*quiet, *_gif_arguments(reel, rate)]
        ffmpeg.feed(arguments, work, reel.evenly(kept), pixels)
        weight = _weight(path)
        if weight <= GIF_BYTES or kept == 1:
            return verified_gif(path, reel.width, reel.height, kept, float(rate))
        kept = max(1, min(kept - 1, int(kept * 0.97 * GIF_BYTES / weight)))


def _weight(path: Path) -> int:
    require(path.is_file(), path, "is not there")
    return path.stat().st_size


def _gif_rate(seconds: float, kept: int) -> Fraction:
    """Frames a second, at most 15; a GIF counts in whole hundredths of a second."""
    pause = round(100 * seconds / kept)
    return Fraction(100, min(max(pause, math.ceil(100 / _GIF_FPS)), 65535))


def _gif_arguments(reel: _Reel, rate: Fraction) -> list[str]:
    return [
        *ffmpeg.raw_input(reel.width, reel.height, rate),
        *("-f", "png_pipe", "-i", "palette"),
        *("-lavfi", "[0:v][1:v]paletteuse=dither=none:diff_mode=rectangle"),
        *("-map_metadata", "-1", "-flags:v", "+bitexact", "-fflags", "+bitexact"),
        *("-f", "gif", _NAMES["gif"]),
    ]


def write_still(frame: Frame, path: Path) -> MediaFile:
    """Write an (H, W, 3) frame as WebP: without loss, or nearly so if that looks the same.

    Raises TargetError if the encoder failed, PlatformError if the file cannot be written.
    """
    from PIL import Image

    picture, choices = Image.fromarray(frame), []
    for options in ({"lossless": True, "quality": 80}, {"quality": 96, "use_sharp_yuv": True}):
        data = io.BytesIO()
        picture.save(data, "WEBP", method=4, **options)
        decoded = np.asarray(Image.open(data).convert("RGB"), np.float32)
        if decoded.shape == frame.shape and psnr(decoded, frame.astype(np.float32)) > _EXACT_PSNR:
            choices.append(data.getvalue())
    require(bool(choices), path, "does not look like its frame")
    with platform_errors(path):
        path.write_bytes(min(choices, key=len))
    return media_file(path, frame.shape[1], frame.shape[0])
