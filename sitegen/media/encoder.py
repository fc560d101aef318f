"""Encoding of frames as a clip: an MP4 to watch, a GIF for slides, and the last frame as a poster.

One pass over the frames, in constant memory: each goes to x264, and at native size into a file for
the GIF, which is made afterwards in a thread of its own. Every file is decoded again before it
counts, and nothing is left behind after an error.

    clip.mp4    H.264 High, yuv420p, BT.709, integer enlargement, even size, index in front
    clip.gif    native size, at most 15 frames a second and 2 MB
    clip.webp   the last frame, of exactly the size of the MP4
"""

import io
import itertools
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, Annotated, Any, TypeAlias, TypeVar, cast

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from sitegen.core.errors import PlatformError, TargetError
from sitegen.core.files import digest, platform_errors, temporary_folder
from sitegen.core.signals import end_group
from sitegen.media.ffmpeg import GET_ENCODER, executable
from sitegen.media.frames import Frame, enlarge, pad_to_even
from sitegen.media.likeness import looks_like, looks_the_same
from sitegen.media.look import film, stills
from sitegen.media.manifest import MediaFile
from sitegen.media.mp4 import clip_faults

STALL_SECONDS = 120.0
"""Seconds that ffmpeg may take without progress, for each million pixels of a call."""

T = TypeVar("T")
_Byte: TypeAlias = Annotated[int, Field(ge=0, le=255)]
_LARGEST = 16383  # pixels per side; the limit of WebP

_WORDS_SHOWN, _WORDS_BYTES = 6, 6000
_REMEDY = f"check disk space, free memory and permissions, and try again; {GET_ENCODER}"
_RUNNING: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class ClipSpec:
    """Encoding of a clip. Raises ValueError for invalid values.

    fps: frames per second
    crf: quality of x264, 1 (best) to 51
    factor: integer factor by which the MP4 and the poster are enlarged
    background: colour of a row or column that pads an odd size
    smooth: whether it is enlarged smoothly, or each pixel as a square
    opening, ending: frames for which the last picture is shown before the first, and held
    gif: whether a GIF is made as well
    gif_filter: start of the chain of ffmpeg's filters that makes the GIF, such as "hflip,"
    gif_share: share of the largest size that the next GIF should have if one is too large
    preset: of x264
    """

    fps: Annotated[int | float, Field(ge=0.1, le=240)]
    crf: Annotated[int, Field(ge=1, le=51)]
    factor: Annotated[int, Field(ge=1)]
    background: tuple[_Byte, _Byte, _Byte]
    smooth: bool = False
    opening: Annotated[int, Field(ge=0)] = 0
    ending: Annotated[int, Field(ge=0)] = 0
    gif: bool = True
    gif_filter: str = ""
    gif_share: Annotated[float, Field(gt=0, lt=1)] = 0.97
    preset: str = film.PRESET

    def levels(self, levels: tuple[int, ...]) -> tuple[int, ...]:
        """Return the level of each frame of a clip, from those of the frames that are drawn."""
        return (*levels[-1:] * self.opening, *levels, *levels[-1:] * self.ending)


def crf_for(image_size: int) -> int:
    """Return the CRF for clips of images of that many pixels per side: lower for small ones."""
    return film.CRF_SMALL if image_size <= film.SMALL else film.CRF


def encode_clip(frames: Iterable[Frame], spec: ClipSpec, folder: Path) -> dict[str, MediaFile]:
    """Encode (H, W, 3) frames of native size into `folder`: keys "mp4", "gif" and "poster".

    Iterates once, holding one frame at a time. Each `path` is the file's name in `folder`. Raises
    TargetError, with the encoder's messages, if there are no frames, if their sizes differ or if
    the encoder fails; PlatformError if there is no encoder or no disk space. Partial files are
    always removed.
    """
    stream = _checked(frames)
    first = next(stream, None)
    if first is None:
        raise TargetError("a clip needs at least one frame, but there was none")
    with temporary_folder(folder.absolute()) as work:
        stride = math.ceil(spec.fps / film.GIF_FPS) if spec.gif else sys.maxsize
        native = _NativeFrames(work, first, stride)
        stream = native.keeping(_held(itertools.chain([first], stream), spec.ending))
        body = work / ("body.mp4" if spec.opening else "clip.mp4")
        _film(_enlarged(stream, spec), _shown(first, spec).shape, spec, body)
        with ThreadPoolExecutor() as pool:
            made = {"mp4": pool.submit(_mp4, native, spec, work / "clip.mp4")}
            if spec.gif:
                made["gif"] = pool.submit(_gif, native, spec, work / "clip.gif")
            made["poster"] = pool.submit(write_still, _shown(native.last, spec), work / "clip.webp")
            files = {name: each.result() for name, each in made.items()}
        with platform_errors(folder):
            for file in files.values():
                (work / file.path).replace(folder / file.path)
    return files


def stop_encoding() -> None:
    """Kill every ffmpeg that runs for a thread of this process; their calls then fail."""
    for each in list(_RUNNING):
        _kill(each)


def write_still(frame: Frame, path: Path) -> MediaFile:
    """Write an (H, W, 3) frame as the smallest WebP that looks the same, if necessary lossless.

    Lossy WebP stores one colour for four pixels, as clips do. Raises TargetError if the encoder
    fails, PlatformError if the file cannot be written.
    """
    qualities = range(*stills.QUALITIES)
    enough = bisect_left(qualities, True, key=lambda each: bool(_webp(frame, quality=each)))
    options: list[dict[str, Any]] = [{"lossless": True, "quality": stills.LOSSLESS_QUALITY}]
    options += ({"quality": each} for each in qualities[enough : enough + 1])
    options += [each | {"method": stills.METHOD} for each in options[1:]]  # slower, 2 % smaller
    choices = [data for each in options if (data := _webp(frame, **each))]
    require(bool(choices), path, "does not look like its frame")
    with platform_errors(path):
        path.write_bytes(min(choices, key=len))
    return media_file(path, frame.shape[1], frame.shape[0])


def _webp(frame: Frame, **options: Any) -> bytes:
    """Return the frame as WebP, or b"" if the result does not look the same."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(frame).save(data, "WEBP", **options)
    decoded = np.asarray(Image.open(data, formats=["WEBP"]).convert("RGB"))
    same = decoded.shape == frame.shape and looks_the_same(decoded, frame)
    return data.getvalue() if same else b""


def preflight() -> None:
    """Encode a minimal clip. Raises PlatformError, before anything is sampled, if that fails."""
    smallest = np.zeros((2, 2, 3), np.uint8)
    try:
        with tempfile.TemporaryDirectory() as folder:
            encode_clip([smallest], ClipSpec(10, 20, 1, (0, 0, 0)), Path(folder))
    except TargetError as error:
        raise PlatformError(f"the encoder does not work: {error}; {GET_ENCODER}") from error


class _NativeFrames:
    """Native frames, one file each: every `stride`-th and the last, within `film.NATIVE_BYTES`."""

    def __init__(self, folder: Path, first: Frame, stride: int) -> None:
        self._folder, self._stride = folder, stride
        self.first = self.last = first
        self.seen = 0
        self.kept: list[int] = []

    def keeping(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Pass the frames on, and store every `stride`-th one; callers must not change them."""
        for self.last in frames:
            if self.seen % self._stride == 0:
                self._keep()
            self.seen += 1
            while len(self.kept) * self.last.nbytes > film.NATIVE_BYTES and len(self.kept) > 2:
                for number in self.kept[1::2]:
                    self._path(number).unlink()
                self.kept, self._stride = self.kept[::2], self._stride * 2
            yield self.last
        if (self.seen - 1) % self._stride:
            self._keep()

    def evenly(self, count: int) -> Iterator[bytes]:
        """Yield `count` of the stored frames, evenly spaced and including the last."""
        for step in range(count):
            at = step * (len(self.kept) - 1) // (count - 1) if count > 1 else -1
            with platform_errors(self._folder, "read"):
                data = self._path(self.kept[at]).read_bytes()
            yield data

    def _keep(self) -> None:
        with platform_errors(self._folder):
            self._path(self.seen).write_bytes(self.last.data)
        self.kept.append(self.seen)

    def _path(self, number: int) -> Path:
        return self._folder / f"frame-{number}"


def _checked(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the frames as contiguous copies. Raises TargetError for an invalid frame."""
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
    return pad_to_even(enlarge(frame, spec.factor, smooth=spec.smooth), spec.background)


def _held(frames: Iterable[Frame], count: int) -> Iterator[Frame]:
    """Pass the frames on, and repeat the last one."""
    for last in frames:
        yield last
    yield from itertools.repeat(last, count)


def _enlarged(frames: Iterable[Frame], spec: ClipSpec) -> Iterator[Frame]:
    """Yield the frames as they are shown; one that is repeated is enlarged once."""
    last: Frame | None = None
    for frame in frames:
        if frame is not last:
            last, shown = frame, _shown(frame, spec)
        yield shown


def _film(frames: Iterable[Frame], shape: tuple[int, ...], spec: ClipSpec, path: Path) -> None:
    """Encode frames of a shape: one thread and bit-exact, so equal frames give equal bytes."""
    height, width, _ = shape
    if max(height, width) > _LARGEST:
        raise TargetError(
            f"the clip would be {width} × {height} pixels, above {_LARGEST} per side; "
            "show fewer images in it"
        )
    filters = f"scale={film.SCALE},format=yuv420p,setparams={film.COLOURS}"
    arguments = [
        *("-vf", filters, "-profile:v", film.PROFILE, "-preset", spec.preset, "-threads", "1"),
        *("-crf", str(spec.crf), "-g", str(film.KEYFRAME_EVERY)),
        *("-movflags", "+faststart", "-f", "mp4"),
    ]
    rate = Fraction(spec.fps).limit_denominator(1001)
    options = {"codec": "libx264", "pix_fmt_out": "yuv420p"}
    _write(path, frames, (width, height), fps=rate, output_params=arguments, **options)


def _mp4(native: _NativeFrames, spec: ClipSpec, path: Path) -> MediaFile:
    """Put the opening before the body of the MP4, and verify the whole."""
    first, last = _shown(native.first, spec), _shown(native.last, spec)
    if spec.opening:
        opening, first = path.with_name("opening.mp4"), last
        _film(itertools.repeat(last, spec.opening), last.shape, spec, opening)
        _join([opening, path.with_name("body.mp4")], path)
    count = spec.opening + native.seen
    return verified_mp4(path, (first, last), count, spec.fps, spec.crf)


def _join(parts: Sequence[Path], path: Path) -> None:
    """Write clips of the same encoding one after the other into one file, as they are."""
    names = path.with_name("parts")
    names.write_text("".join(f"file '{part.name}'\n" for part in parts), encoding="utf-8")
    exact = ["-map_metadata", "-1", "-flags:v", "+bitexact", "-fflags", "+bitexact"]
    command = ["-y", "-f", "concat", "-i", str(names), "-c", "copy", *exact]
    command += ["-movflags", "+faststart", "-f", "mp4", str(path)]
    _ffmpeg(command, path.parent, 1)


def _gif(native: _NativeFrames, spec: ClipSpec, path: Path) -> MediaFile:
    """Make the GIF, with fewer frames until it is small enough; it lasts as long as the MP4.

    ffmpeg reads the frames twice: once for the palette, and once to map them to it.
    """
    kept, (height, width, _) = len(native.kept), native.last.shape
    seconds = (spec.opening + native.seen) / spec.fps
    while True:
        opening = round(kept * spec.opening / native.seen)
        count = opening + kept
        # at most 15 per second, each for a whole number of hundredths of a second
        pause = max(round(100 * seconds / count), math.ceil(100 / film.GIF_FPS))
        still: list[Frame | bytes] = [native.last] * opening
        twice = itertools.chain(still, native.evenly(kept), still, native.evenly(kept))
        file = paletted(twice, count, (width, height), pause, path, spec.gif_filter)
        if file.bytes <= film.GIF_BYTES or kept == 1:
            return file
        kept = max(1, min(kept - 1, int(kept * spec.gif_share * film.GIF_BYTES / file.bytes)))


def paletted(
    twice: Iterable[Frame | bytes],
    count: int,
    size: tuple[int, int],
    pause: int,
    path: Path,
    first: str = "",
) -> MediaFile:
    """Make a GIF of `count` frames, each shown for `pause` hundredths of a second, one palette."""
    filters = (
        f"{first}split[a][b];[a]trim=end_frame={count},palettegen[palette];"
        f"[b]trim=start_frame={count},setpts=PTS-STARTPTS[shown];"
        f"[shown][palette]paletteuse=dither={film.DITHER}"
    )
    rate = Fraction(100, min(pause, 65535))
    options = {"codec": "gif", "pix_fmt_out": "pal8"}
    arguments = ["-filter_complex", filters, "-f", "gif"]
    _write(path, twice, size, fps=rate, output_params=arguments, **options)
    return verified_gif(path, *size, count, float(rate))


def frames_at(path: Path, numbers: Iterable[int], pixels: int) -> dict[int, Frame]:
    """Decode frames (H, W, 3) of an MP4 by their numbers from 0, in one pass.

    `pixels` is the size of a frame. Raises TargetError if there are fewer frames, PlatformError if
    ffmpeg cannot be run.
    """
    wanted = sorted(set(numbers))
    select = "+".join(f"eq(n,{at})" for at in wanted)
    found = dict(zip(wanted, _decoded(path, pixels * (wanted[-1] + 1), select), strict=False))
    require(len(found) == len(wanted), path, "has fewer frames than expected")
    return found


def _write(
    path: Path,
    frames: Iterable[Frame | bytes],
    size: tuple[int, int],
    *,
    codec: str,
    pix_fmt_out: str,
    fps: Fraction | int,
    output_params: Iterable[str],
) -> None:
    """Write RGB frames of `size` (width, height). Raises as `_ffmpeg` does."""
    raw = ("-f", "rawvideo", "-vcodec", "rawvideo", "-s", f"{size[0]}x{size[1]}")
    exact = ("-filter_threads", "1", "-map_metadata", "-1", "-flags:v", "+bitexact")
    arguments = [
        *("-y", *raw, "-pix_fmt", "rgb24", "-r", str(fps), "-i", "-", "-an"),
        *("-vcodec", codec, "-pix_fmt", pix_fmt_out),
        *(*exact, "-fflags", "+bitexact", *output_params, str(path)),
    ]
    _ffmpeg(arguments, path.parent, size[0] * size[1], frames)


def _ffmpeg(
    arguments: Iterable[str], folder: Path, pixels: int, frames: Iterable[Frame | bytes] = ()
) -> bytes:
    """Run ffmpeg, pass it the frames, and return what it writes to its standard output.

    `pixels` are those of a frame, or of all that it reads: more pixels get more time without
    progress, in which only ffmpeg's own time counts. `folder` is for a temporary file with its
    messages. Raises PlatformError with the last messages if ffmpeg fails, makes no progress or
    cannot be started.
    """
    patience, stalled = STALL_SECONDS * max(1.0, pixels / 1e6), threading.Event()
    with platform_errors(folder):
        messages = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    with messages, _started(arguments, messages) as process:

        def stop() -> None:
            stalled.set()
            _kill(process)

        def watched(function: Callable[..., T], *data: object) -> T:
            watch = threading.Timer(patience, stop)
            watch.daemon = True
            watch.start()
            try:
                return function(*data)
            finally:
                watch.cancel()

        for frame in frames:
            data = frame if isinstance(frame, bytes) else frame.data
            try:
                watched(cast(IO[bytes], process.stdin).write, data)
            except OSError:  # the pipe broke; the messages say why
                break
        output, _ = watched(process.communicate)
        if stalled.is_set():
            why = f"made no progress for {patience:.0f} seconds and was stopped"
        elif process.returncode < 0:
            why = f"was stopped by signal {-process.returncode}"
        elif process.returncode:
            why = f"failed (exit status {process.returncode})"
        else:
            return bytes(output)
        messages.seek(max(0, messages.tell() - _WORDS_BYTES))
        lines = [line for line in messages.read().decode("utf-8", "replace").split("\n") if line]
        said = "\n    ".join(["; it said:", *lines[-_WORDS_SHOWN:]]) if lines else ""
        raise PlatformError(f"ffmpeg {why}; {_REMEDY}{said}")


@contextmanager
def _started(arguments: Iterable[str], messages: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Start ffmpeg, and kill it at the end if it still runs."""
    command = [executable(), "-hide_banner", "-nostats", "-v", "error", *arguments]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            env={name: each for name, each in os.environ.items() if name != "FFREPORT"},
            process_group=0,  # Ctrl-C goes to this process, which then stops ffmpeg
        )
    except OSError as error:
        raise PlatformError(f"cannot run {command[0]}: {error}; {GET_ENCODER}") from error
    _RUNNING.add(process)
    try:
        yield process
    finally:
        _kill(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                cast(IO[bytes], pipe).close()
        _RUNNING.discard(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill ffmpeg, and what it started, if it still runs."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            end_group(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        process.kill()


def verified_mp4(
    path: Path, ends: tuple[Frame, Frame], count: int, fps: float, crf: int
) -> MediaFile:
    """Decode an MP4, compare its first and last frame with `ends`, and describe it.

    count: expected number of frames

    Raises TargetError if the file is not H.264 in yuv420p of the right size with its index in
    front, has another number of frames, or looks different.
    """
    require(path.is_file(), path, "is not there")
    with platform_errors(path, "read"):
        fault = next(iter(clip_faults(path)), "")
    require(not fault, path, fault.partition(";")[0])
    height, width, _ = ends[0].shape
    frames = _decoded(path, height * width * count, f"eq(n,0)+gte(n,{count - 1})")
    same = all(frame.shape == ends[0].shape for frame in frames)
    require(same, path, f"is not {width}×{height}")
    require(len(frames) == min(count, 2), path, f"does not have {count} frames")
    first, last = frames[0], frames[-1]
    alike = looks_like(first, ends[0], crf) and looks_like(last, ends[1], crf)
    require(alike, path, "does not look like its frames")
    return media_file(path, width, height, count, fps)


def _decoded(path: Path, pixels: int, select: str) -> list[Frame]:
    """Decode a clip of `pixels` in all; return the frames (H, W, 3) that ffmpeg selects."""
    arguments = ["-xerror", "-i", str(path), "-vf", f"select='{select}'", "-pix_fmt", "rgb24"]
    arguments += ["-fps_mode", "passthrough", "-vcodec", "ppm", "-f", "image2pipe", "-"]
    output, frames = io.BytesIO(_ffmpeg(arguments, path.parent, pixels)), list[Frame]()
    while output.readline():
        width, height = (int(each) for each in output.readline().split())
        output.readline()
        data = output.read(3 * width * height)
        require(len(data) == 3 * width * height, path, "was decoded in part")
        frames.append(np.frombuffer(data, np.uint8).reshape(height, width, 3))
    return frames


def verified_gif(path: Path, width: int, height: int, count: int, fps: float) -> MediaFile:
    """Decode a GIF and describe it. Raises TargetError for another size or frame count."""
    import imageio.v3 as imageio

    shapes: list[object] = []
    try:
        shapes.extend(frame.shape[:2] for frame in imageio.imiter(path, plugin="pillow"))
    except (OSError, EOFError, SyntaxError, ValueError) as error:
        require(False, path, f"is damaged: {error}")
    require(set(shapes) == {(height, width)}, path, f"is not {width}×{height}")
    require(len(shapes) == count, path, f"has {len(shapes)} frames, not {count}")
    return media_file(path, width, height, count, fps)


def require(good: bool, path: Path, fault: str) -> None:
    """Raise TargetError with the fault of `path`, unless `good`."""
    if not good:
        raise TargetError(f"the encoder reported success, but {path.name} {fault}")


def media_file(
    path: Path, width: int, height: int, frames: int | None = None, fps: float | None = None
) -> MediaFile:
    """Describe a file under its plain name, with its size and digest."""
    with platform_errors(path, "read"):
        size = path.stat().st_size
        return MediaFile(path.name, size, digest(path), width, height, frames, fps)
