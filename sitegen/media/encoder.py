"""Encoding of frames as a clip: an MP4 to watch, a GIF for slides, and the last frame as a poster.

One pass over the frames, in constant memory: each goes to x264, and at native size into a file for
the GIF, which is made afterwards in a thread of its own. Every file is decoded again before it
counts, and nothing is left behind after an error.

    clip.mp4    H.264 High, yuv420p, BT.709, integer enlargement, even size, index in front
    clip.gif    native size, at most 15 frames a second and 2 MB
    clip.webp   the last frame, of exactly the size of the MP4
"""

import errno
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
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import IO, Annotated, Any, TypeAlias, TypeVar, cast

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from sitegen.core.errors import PlatformError, SitegenError, TargetError
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
_RUNNING: "set[_Ffmpeg]" = set()
_MACHINE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOMEM, errno.EIO, errno.EMFILE, errno.EAGAIN),
)
_LACKING = {
    os.strerror(errno.ENOSPC): "make room on the disk and try again",
    os.strerror(errno.ENOMEM): "there is too little memory",
    "pthread_create() failed": "no more threads may be started, or there is too little memory",
}
"""Errors of the machine that ffmpeg reports only in its messages, and what to do about each."""


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
        each.kill()


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
    with closing(_Ffmpeg(command, path.parent, 1, writes=True)) as ffmpeg:
        ffmpeg.finish()


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
    """Write RGB frames of `size` (width, height). Raises as `_Ffmpeg.call` does."""
    raw = ("-f", "rawvideo", "-vcodec", "rawvideo", "-s", f"{size[0]}x{size[1]}")
    exact = ("-filter_threads", "1", "-map_metadata", "-1", "-flags:v", "+bitexact")
    arguments = [
        *("-y", *raw, "-pix_fmt", "rgb24", "-r", str(fps), "-i", "-", "-an"),
        *("-vcodec", codec, "-pix_fmt", pix_fmt_out),
        *(*exact, "-fflags", "+bitexact", *output_params, str(path)),
    ]
    with closing(_Ffmpeg(arguments, path.parent, size[0] * size[1], writes=True)) as ffmpeg:
        for frame in frames:
            ffmpeg.call(ffmpeg.write, frame)
        ffmpeg.finish()


class _Ffmpeg:
    """Running ffmpeg with a timeout, which is fed or read, and its last messages.

    arguments: of the command line, after the program
    folder: for a temporary file with its messages
    pixels: of what one call reads or writes; more pixels get more time
    writes: whether it is fed frames; otherwise frames are read from it
    """

    def __init__(
        self, arguments: Iterable[str], folder: Path, pixels: int, *, writes: bool = False
    ) -> None:
        self._words = folder / f"words-{id(self)}"
        self._patience, self._stalled = STALL_SECONDS * max(1.0, pixels / 1e6), False
        command = [executable(), "-hide_banner", "-nostats", "-v", "error", *arguments]
        pipe, none = subprocess.PIPE, subprocess.DEVNULL
        try:
            with self._words.open("wb") as words:
                self._process = subprocess.Popen(
                    command,
                    stdin=pipe if writes else none,
                    stdout=none if writes else pipe,
                    stderr=words,
                    env={name: each for name, each in os.environ.items() if name != "FFREPORT"},
                    process_group=0,  # Ctrl-C goes to this process, which then stops ffmpeg
                )
        except OSError as error:
            self._words.unlink(missing_ok=True)
            raise PlatformError(f"cannot run {command[0]}: {error}; {GET_ENCODER}") from error
        _RUNNING.add(self)

    def write(self, frame: Frame | bytes) -> None:
        """Pass a frame to ffmpeg."""
        cast(IO[bytes], self._process.stdin).write(
            frame if isinstance(frame, bytes) else frame.data
        )

    def read(self) -> Frame | None:
        """Read a frame (H, W, 3), in PPM; return None after the last."""
        pipe = cast(IO[bytes], self._process.stdout)
        if not pipe.readline():
            return None
        width, height = (int(each) for each in pipe.readline().split())
        pipe.readline()
        data = pipe.read(3 * width * height)
        return np.frombuffer(data, np.uint8).reshape(height, width, 3)

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call `write` or `read`; only their own duration counts towards the timeout.

        Raises PlatformError if the machine stopped ffmpeg (disk full, no memory, killed, no such
        encoder, no progress), and TargetError with ffmpeg's messages for other failures.
        """
        with self._watch():
            try:
                return function(*arguments)
            except (OSError, ValueError) as error:  # the pipe broke; ffmpeg's messages say why
                broken = error
        self.finish()
        raise TargetError("ffmpeg ended before it had every frame") from broken

    def finish(self) -> None:
        """Close the input and wait for ffmpeg to end. Raises as `call` does."""
        with self._watch():
            self._close_pipes()
            code = self._process.wait()
        if not code and not self._stalled:
            return
        said = ""
        with suppress(OSError):
            text = self._words.read_bytes()[-_WORDS_BYTES:].decode("utf-8", "replace")
            lines = [line for line in text.split("\n") if line]
            said = "\n    ".join(["; it said:", *lines[-_WORDS_SHOWN:]]) if lines else ""
        if self._stalled:
            raise PlatformError(
                f"ffmpeg made no progress for {self._patience:.0f} seconds and was stopped; the "
                f"machine may be overloaded: try again{said}"
            )
        raise _failure(code, said)

    def close(self) -> None:
        """Stop ffmpeg if it still runs, and remove the file of its messages."""
        self.kill()
        self._process.wait()
        self._close_pipes()
        self._words.unlink(missing_ok=True)
        _RUNNING.discard(self)

    def kill(self, stalled: bool = False) -> None:
        """Kill ffmpeg; `stalled` means that it made no progress."""
        self._stalled |= stalled
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                end_group(self._process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            self._process.kill()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()

    @contextmanager
    def _watch(self) -> Iterator[None]:
        """Kill ffmpeg if the block takes too long."""
        watch = threading.Timer(self._patience, self.kill, [True])
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()


def _failure(code: int, said: str) -> SitegenError:
    """Return the error for a non-zero exit status: the machine's fault or the clip's, and why."""
    if code < 0:
        name = signal.strsignal(-code)
        why = f"was stopped by signal {-code} ({name}); check free memory and disk space"
    elif 256 - code in _MACHINE:
        why = f"could not go on: {os.strerror(256 - code)}; fix that and try again"
    elif lacks := [remedy for words, remedy in _LACKING.items() if words in said]:
        why = f"could not go on; {lacks[0]}"
    elif "Unknown encoder" in said:
        why = f"lacks an encoder; {GET_ENCODER}"
    else:
        return TargetError(f"ffmpeg failed (exit status {code}){said or ' and gave no reason'}")
    return PlatformError(f"ffmpeg {why}{said}")


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
    seen, first, last = 0, ends[0], ends[1]
    ends_only = f"eq(n,0)+gte(n,{count - 1})"
    for last in _decoded(path, height * width * count, ends_only):
        first, seen = (first if seen else last), seen + 1
    require(first.shape == last.shape == ends[0].shape, path, f"is not {width}×{height}")
    require(seen == min(count, 2), path, f"does not have {count} frames")
    alike = looks_like(first, ends[0], crf) and looks_like(last, ends[1], crf)
    require(alike, path, "does not look like its frames")
    return media_file(path, width, height, count, fps)


def _decoded(path: Path, pixels: int, select: str) -> Iterator[Frame]:
    """Decode a clip of `pixels` in all; yield the frames (H, W, 3) that ffmpeg selects."""
    arguments = ["-xerror", "-i", str(path), "-vf", f"select='{select}'", "-pix_fmt", "rgb24"]
    arguments += ["-fps_mode", "passthrough", "-vcodec", "ppm", "-f", "image2pipe", "-"]
    with closing(_Ffmpeg(arguments, path.parent, pixels)) as ffmpeg:
        while (frame := ffmpeg.call(ffmpeg.read)) is not None:
            yield frame
        ffmpeg.finish()


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
