"""Encoding of a clip: an MP4 to watch, a GIF for slides, a poster and a filmstrip.

States are stored in a file as they arrive, so memory does not grow with the length of a clip, and
the finished pictures are known before the first frame is drawn.

    clip.mp4     H.264 High, yuv420p, BT.709, index in front
    clip.gif     one pixel for a pixel of the images, at most 15 frames a second and 1 MB
    clip.avif    the finished pictures, 4:4:4; clip.webp is the same for older browsers
    film.webp    six moments side by side, from the first state to the last
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np

from sitegen.core.errors import PlatformError, TargetError
from sitegen.core.files import digest, platform_errors, require_space, temporary_folder
from sitegen.media.frames import Frame, enlarge, sheet
from sitegen.media.manifest import Cells, ClipSource, MediaFile

GET_ENCODER = "`pip install --force-reinstall imageio-ffmpeg` installs a working ffmpeg"
NONE_STARTS = f"no ffmpeg starts here: %s; {GET_ENCODER}, unless memory or processes are short"
CRF, KEYFRAMES = 25, 10
"""Quality of x264, and the frames that differ from a keyframe to the next.

Last frames are then at least 37 dB from the samples, measured over all figures of the paper's page.
"""
# Measured on a teaser of faces: a WebP of 18 kB is 30 dB from the samples and turns green eyes
# brown. AVIF without subsampling needs 26 kB for 37 dB (at 80), WebP 37 kB for 35 dB.
AVIF_QUALITY, WEBP_QUALITY, FILM_QUALITY = 78, 88, 80
AVIF_SPEED, WEBP_METHOD = 6, 6
"""Effort: 0 (slowest) to 10, and 0 to 6 (slowest)."""
GIF_FPS, GIF_BYTES = 15, 1_000_000
FAINT = 0.15
"""Opacity of the finished pictures of a tree's branches that have not begun."""
MOMENTS, MOMENT_CELLS, MOMENT_SIDE = 6, 3, 64
"""Moments of a filmstrip; cells of a grid in each, at most; and the height of it in pixels."""
_LARGEST_SIDE = 16383  # pixels; the limit of WebP
# Safari plays no yuv444p. With several threads x264 writes other bytes. Without faststart a browser
# loads the whole file before it plays.
_X264 = [
    *("-profile:v", "high", "-preset", "medium", "-threads", "1", "-crf", str(CRF), "-g", "9999"),
    "-vf",
    "scale=out_color_matrix=bt709:out_range=tv:flags=area+accurate_rnd+full_chroma_int+bitexact,"
    "format=yuv420p,setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
    *("-movflags", "+faststart", "-map_metadata", "-1", "-flags:v", "+bitexact"),
    *("-fflags", "+bitexact"),
]
# Without fewer colours, the palette of coloured noise takes minutes.
_GIF = [
    "-filter_complex",
    "split[a][b];[a]lutrgb=" + ":".join(f"{c}='bitor(bitand(val,248),4)'" for c in "rgb") + ","
    "palettegen[palette];[b][palette]paletteuse=dither=none:diff_mode=rectangle",
    *("-filter_threads", "1", "-flags:v", "+bitexact", "-fflags", "+bitexact"),
]


def encode_clip(
    clip: ClipSource, folder: Path, check: Callable[[], None] = lambda: None
) -> dict[str, MediaFile]:
    """Encode a clip into `folder`: keys "mp4", "gif", "poster", "poster-webp" and "film".

    Each `path` is the file's name in `folder`. `check` is called before each frame and may raise,
    which ends the encoder at once. Raises TargetError if there are no states or the
    encoder fails, PlatformError if there is no encoder or no disk space.
    """
    width, height = clip.cells.size
    if max(width, height) > _LARGEST_SIDE:
        raise TargetError(
            f"the clip would be {width} × {height} pixels, above {_LARGEST_SIDE} per side; "
            "show fewer images in it"
        )
    with temporary_folder(folder.absolute()) as work, platform_errors(work):
        with (work / "states").open("w+b") as storage:
            states = _States(storage, clip.cells, check)
            for pictures in clip.states:
                states.add(pictures)
            states.finish()
            # The finished pictures open the clip, so all states are sampled before the first frame
            # is encoded. A clip that comes back ends, as it begins, at its first state.
            at_rest = _frame(states.at(clip.order[-1]), clip)
            files = {
                "mp4": _mp4(states, clip, work / "clip.mp4"),
                "gif": _gif(states, clip, work / "clip.gif"),
                "poster": write_still(at_rest, work / "clip.avif"),
                "poster-webp": write_still(at_rest, work / "clip.webp"),
                "film": write_still(states.film(), work / "film.webp", FILM_QUALITY),
            }
        for file in files.values():
            (work / file.path).replace(folder / file.path)
    return files


def executable() -> str:
    """Return the path of the ffmpeg to use. Raises PlatformError if there is none."""
    try:
        from imageio.plugins.ffmpeg import get_exe

        program = str(get_exe())  # type: ignore[no-untyped-call]
    except (ImportError, RuntimeError) as error:
        raise PlatformError(NONE_STARTS % error) from error
    if shutil.which(program) is None:
        raise PlatformError(f"{program} cannot be run as ffmpeg; {GET_ENCODER}")
    return program


def write_still(frame: Frame, path: Path, quality: int | None = None) -> MediaFile:
    """Write a frame (H, W, 3) as AVIF or WebP, by the suffix of `path`.

    AVIF stores the colour of each pixel; WebP that of 2 × 2, which in a clip's poster are one pixel
    of an image. Raises PlatformError if the file cannot be written.
    """
    from PIL import Image

    image = Image.fromarray(frame)
    with platform_errors(path):
        if path.suffix == ".avif":
            image.save(
                path,
                quality=quality or AVIF_QUALITY,
                subsampling="4:4:4",
                speed=AVIF_SPEED,
                max_threads=1,
            )
        else:
            image.save(path, quality=quality or WEBP_QUALITY, method=WEBP_METHOD)
    return media_file(path, frame.shape[1], frame.shape[0])


class _States:
    """The states of a clip in a file, and the pictures of all its cells at each of them."""

    def __init__(self, file: IO[bytes], cells: Cells, check: Callable[[], None]) -> None:
        self._file, self._cells, self._check = file, cells, check
        self._spans: list[tuple[int, int]] = []  # first cell and number of pictures, of each state
        self._offsets = [0]
        self._shape: tuple[int, ...] = ()

    def add(self, pictures: Frame) -> None:
        """Store a state. Raises TargetError for pictures of another size or number."""
        count, shape = len(pictures), pictures.shape[1:]
        first = count - 1 if self._cells.nodes else 0  # generations have 1, 2, 4, … pictures
        cells = self._cells
        whole = first + count <= cells.count if cells.nodes else count == cells.count
        self._shape = self._shape or shape
        if pictures.dtype != np.uint8 or len(shape) != 3 or shape != self._shape or not whole:
            state = f"state {len(self._spans) + 1} is {pictures.shape} of {pictures.dtype}"
            raise TargetError(
                f"{state}, not the uint8 pictures (N, H, W, 3) of {cells.count} cells"
            )
        self._spans.append((first, count))
        self._offsets.append(
            self._offsets[-1] + self._file.write(np.ascontiguousarray(pictures).data)
        )

    def finish(self) -> None:
        """Collect the last picture of each cell. Raises TargetError if there are no states."""
        if not self._spans:
            raise TargetError("a clip needs at least one state, but there was none")
        self.finished = np.zeros((self._cells.count, *self._shape), np.uint8)
        # A dict keeps the last state of each span: only the last pictures of a cell are read.
        for number in {span: number for number, span in enumerate(self._spans)}.values():
            first, count = self._spans[number]
            self.finished[first : first + count] = self._read(number)
        self._faint = (self.finished * FAINT + 255 * (1 - FAINT)).round().astype(np.uint8)

    def at(self, number: int) -> Frame:
        """Return the pictures of all cells, (N, H, W, 3), at a state.

        A branch of a tree that has not begun is faint, and one that has ended stays.
        """
        self._check()
        first, count = self._spans[number]
        pictures = self.finished.copy()
        pictures[first : first + count] = self._read(number)
        pictures[first + count :] = self._faint[first + count :]
        return pictures

    def film(self) -> Frame:
        """Return moments side by side: the first cells of a grid, the first branch of a tree."""
        from PIL import Image

        last = len(self._spans) - 1
        shown = [self._read(round(n * last / (MOMENTS - 1))) for n in range(MOMENTS)]
        width = min(MOMENT_CELLS, max(1, self._cells.columns))
        pictures = [picture for state in shown for picture in state[:width]]
        # The page's style knows moments of one to three squares; other pictures have their middle.
        side = min(pictures[0].shape[:2])
        top, left = ((length - side) // 2 for length in pictures[0].shape[:2])
        squares = [picture[top : top + side, left : left + side] for picture in pictures]
        row, size = np.concatenate(squares, axis=1), (MOMENT_SIDE * len(squares), MOMENT_SIDE)
        return np.asarray(Image.fromarray(row).resize(size, Image.Resampling.LANCZOS))

    def _read(self, number: int) -> Frame:
        self._file.seek(self._offsets[number])
        data = self._file.read(self._offsets[number + 1] - self._offsets[number])
        return np.frombuffer(data, np.uint8).reshape(-1, *self._shape)


def _frame(pictures: Frame, clip: ClipSource) -> Frame:
    return sheet(enlarge(pictures, clip.factor, smooth=clip.smooth), clip.cells)


def _mp4(states: _States, clip: ClipSource, path: Path) -> MediaFile:
    # The opening and the ending repeat a state, which is then drawn only once.
    shown: tuple[int, Frame] = -1, states.finished

    def frames() -> Iterator[Frame]:
        nonlocal shown
        for number in clip.order:
            if number != shown[0]:
                shown = number, _frame(states.at(number), clip)
            yield shown[1]

    # Without keyframes, scrubbing jumps. Those of pictures that stay were half of a clip's bytes.
    keyframes, order = [0], clip.order
    for number in range(1, len(order)):
        stays = order[number] in order[number + 1 : number + 2]
        due = stays or number - keyframes[-1] >= KEYFRAMES
        if due and order[number] != order[number - 1]:
            keyframes.append(number)
    times = ",".join(f"{max(0, number - 0.5) / clip.fps:.6f}" for number in keyframes)
    options = [*_X264, "-force_key_frames", times]
    _write(path, frames(), clip.cells.size, clip.fps, "libx264", "yuv420p", options)
    return media_file(path, *clip.cells.size, len(order), clip.fps)


def _gif(states: _States, clip: ClipSource, path: Path) -> MediaFile:
    """Write the GIF, with fewer frames until it is small enough; it lasts as long as the MP4."""
    native, seconds = clip.cells.enlarged(Fraction(1, clip.factor)), len(clip.order) / clip.fps
    count = max(1, min(len(clip.order), int(seconds * GIF_FPS)))
    while True:
        # Counted from the end, so that the finished pictures are always the last frame.
        chosen = [clip.order[-1 - n * len(clip.order) // count] for n in reversed(range(count))]
        frames = (sheet(states.at(number), native) for number in chosen)
        fps = Fraction(100, max(7, round(100 * seconds / count)))  # whole hundredths of a second
        _write(path, frames, native.size, fps, "gif", "pal8", _GIF)
        file = media_file(path, *native.size, count, float(fps))
        if file.bytes <= GIF_BYTES or count == 1:
            return file
        count = max(1, min(count - 1, int(0.9 * count * GIF_BYTES / file.bytes)))


def _write(
    path: Path,
    frames: Iterable[Frame],
    size: tuple[int, int],
    fps: float | Fraction,
    codec: str,
    pixels: str,
    options: Sequence[str],
) -> None:
    """Write RGB frames of `size` (width, height) with ffmpeg."""
    import imageio_ffmpeg

    executable()
    # imageio-ffmpeg's default macro_block_size, 16, resizes frames to multiples of 16.
    rate = Fraction(fps).limit_denominator(1001)
    writer = imageio_ffmpeg.write_frames(
        path, size, fps=rate, codec=codec, pix_fmt_out=pixels, macro_block_size=1,
        ffmpeg_log_level="error", output_params=list(options),
    )  # fmt: skip
    complete = False
    try:
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
        complete = True
    # The end of ffmpeg shows here as a broken pipe only, and a full disk is a common cause of it.
    except OSError as error:
        require_space(path.parent)
        raise PlatformError(f"ffmpeg failed: {error}; {GET_ENCODER}") from error
    finally:
        if not complete:
            # close() waits until ffmpeg has finished the clip; only an interruption kills it.
            with suppress(KeyboardInterrupt):
                writer.throw(KeyboardInterrupt)
        writer.close()


def frames_at(path: Path, numbers: Iterable[int], size: tuple[int, int]) -> dict[int, Frame]:
    """Decode frames (H, W, 3) of a clip of `size` (width, height) by their numbers from 0.

    Raises TargetError if there are fewer frames.
    """
    chosen = sorted(set(numbers))
    select = "+".join(f"eq(n,{number})" for number in chosen)
    # imageio_ffmpeg.read_frames leaves its pipes open.
    command = [executable(), "-v", "error", "-i", str(path), "-vf", f"select='{select}'"]
    command += ["-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    data = subprocess.run(command, capture_output=True, check=False).stdout
    if len(data) != len(chosen) * size[0] * size[1] * 3:
        raise TargetError(f"{path.name} has fewer frames than expected")
    frames = np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0], 3)
    return dict(zip(chosen, frames, strict=True))


def media_file(
    path: Path, width: int, height: int, frames: int | None = None, fps: float | None = None
) -> MediaFile:
    """Describe a file under its plain name, with its size and digest.

    Raises PlatformError for a clip that does not have that number of frames.
    """
    if frames is not None:
        import imageio_ffmpeg

        try:
            # ffmpeg's exit code proves nothing: without input it is 0, with a file of 261 bytes,
            # and a last frame that is cut short is dropped with 0 as well.
            count = int(imageio_ffmpeg.count_frames_and_secs(path)[0]) if path.is_file() else 0
        except RuntimeError as error:
            require_space(path.parent)
            raise PlatformError(f"{path.name} cannot be decoded: {error}; {GET_ENCODER}") from error
        if count != frames:
            require_space(path.parent)
            fault = f"ffmpeg wrote {count} of {frames} frames; check disk space and free memory"
            raise PlatformError(f"{fault}, and try again; {GET_ENCODER}")
    with platform_errors(path, "read"):
        size = path.stat().st_size
        return MediaFile(path.name, size, digest(path), width, height, frames, fps)
