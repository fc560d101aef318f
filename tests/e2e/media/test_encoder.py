"""Encoding: what comes out is, by an independent look, exactly the clip that went in.

The independent look is Debian's ffprobe and ffmpeg, another build than the one that encodes.
"""

import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image, ImageSequence

from sitegen.core.errors import PlatformError, SitegenError, TargetError
from sitegen.core.files import digest
from sitegen.media import encoder as encode
from sitegen.media.encoder import (
    ClipSpec,
    crf_for,
    encode_clip,
    media_file,
    preflight,
    stop_encoding,
    verified_gif,
    verified_mp4,
)
from sitegen.media.ffmpeg import encoder_version, executable
from sitegen.media.frames import Frame, enlarge, pad_to_even, upscale
from sitegen.media.likeness import looks_the_same
from sitegen.media.look import film, recorded
from sitegen.media.manifest import MediaFile
from tests.support.builders import children, run_python
from tests.support.programs import program

BACKGROUND = (20, 30, 40)
SPEC = ClipSpec(fps=24, crf=18, factor=4, background=BACKGROUND)
SMALL = ClipSpec(10, 18, 1, BACKGROUND)
COUNT = 25


def picture(step: int, height: int = 57, width: int = 83) -> Frame:
    """Sharp squares and letters' worth of edges, in colour, over a ramp; each step differs."""
    rows, columns = np.mgrid[0:height, 0:width]
    frame = np.stack([columns * 2, rows * 3, (rows + columns + step) % 200], axis=-1)
    frame[(rows // 4 + columns // 4 + step // 5) % 7 == 0] = (255, 255, 255)
    frame[(rows + 2 * columns) % 23 == 0] = (0, 0, 0)
    return frame.astype(np.uint8)


def moving_frames(count: int = COUNT, height: int = 57, width: int = 83) -> Iterator[Frame]:
    """Frames that can be had once, in one array that is overwritten, as a sampler may do."""
    shared = np.empty((height, width, 3), np.uint8)
    for step in range(count):
        shared[:] = picture(step, height, width)
        yield shared
        shared[:] = 99


def probe(path: Path, *arguments: str) -> Any:
    """What ffprobe says of the picture in a file."""
    ffprobe = program("ffprobe", package="ffmpeg")
    command = [ffprobe, "-v", "error", "-of", "json", *arguments, str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def stream(path: Path) -> dict[str, Any]:
    """The only stream of a file, its frames counted by decoding."""
    only: dict[str, Any]
    (only,) = probe(path, "-show_streams", "-count_frames")["streams"]
    return only


def decode(path: Path, file: MediaFile) -> Any:
    """All frames of a file in RGB, each pixel taken as it stands, by the independent ffmpeg."""
    convert = "scale=in_color_matrix=bt709:flags=neighbor+accurate_rnd+full_chroma_int"
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-vf", convert, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, file.height, file.width, 3)


def likeness(first: Any, second: Any) -> float:
    """PSNR in dB."""
    error = np.mean((first.astype(float) - second) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else np.inf


def shown(frame: Frame, factor: int) -> Frame:
    """A frame as the MP4 should show it."""
    return pad_to_even(upscale(frame, factor), BACKGROUND)


Files = dict[str, MediaFile]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the clip lies."""
    return tmp_path_factory.mktemp("clip")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Files:
    """25 frames of 83 × 57 pixels, enlarged four times."""
    return dict(encode_clip(moving_frames(), SPEC, folder))


def test_files_are_described(clip: Files, folder: Path) -> None:
    """Three files, described as they are; each frame, decoded elsewhere, is its source."""
    assert sorted(os.listdir(folder)) == ["clip.gif", "clip.mp4", "clip.webp"]
    about: dict[str, Any] = {
        "mp4": (332, 228, COUNT, 24.0),
        "gif": (83, 57, 13, 12.5),
        "poster": (332, 228),
    }
    for name, file in clip.items():
        path = folder / file.path
        assert file == MediaFile(path.name, path.stat().st_size, digest(path), *about[name])
    decoded = decode(folder / "clip.mp4", clip["mp4"])
    assert len(decoded) == COUNT
    for step in range(COUNT):
        assert likeness(decoded[step], shown(picture(step), 4)) > 30
        assert likeness(decoded[step], shown(picture((step + 5) % COUNT), 4)) < 30


def test_mp4_is_what_browsers_play(clip: Files, folder: Path) -> None:
    """H.264 High in avc1, yuv420p in BT.709, index first, a keyframe every ten frames."""
    path = folder / "clip.mp4"
    found = stream(path)
    expected = {
        "codec_name": "h264", "codec_tag_string": "avc1", "profile": "High", "pix_fmt": "yuv420p",
        "width": 332, "height": 228, "color_range": "tv", "color_space": "bt709",
        "color_transfer": "bt709", "color_primaries": "bt709", "avg_frame_rate": "24/1",
        "nb_read_frames": str(COUNT), "start_time": "0.000000"
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert float(found["duration"]) == pytest.approx(COUNT / 24, abs=1e-3)
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert [word in data for word in (b"Lavf", b"x264", b" threads=1 ")] == [False, True, True]
    packets = probe(path, "-show_entries", "packet=pts,flags")["packets"]
    ordered = sorted((packet["pts"], packet["flags"]) for packet in packets)
    keys = [index for index, (_, flags) in enumerate(ordered) if "K" in flags]
    assert keys[0] == 0
    assert max(np.diff([*keys, COUNT])) <= 10


def test_pictures_stay_crisp_and_colours_exact(tmp_path: Path) -> None:
    """A checkerboard of single pixels keeps its contrast, the purest colours come back."""
    board = np.indices((28, 28)).sum(axis=0)[..., None].repeat(3, 2) % 2 * 255
    corners = [tuple(value >> bit & 1 for bit in range(3)) for value in range(8)]
    colours = np.repeat(np.array(corners, np.uint8) * 255, 8, axis=0)
    frame = np.zeros((44, 64, 3), np.uint8)
    frame[:28, :28], frame[28:] = board, colours
    files = encode_clip([frame] * 3, ClipSpec(10, 12, 2, BACKGROUND), tmp_path)
    decoded = decode(tmp_path / "clip.mp4", files["mp4"])[-1].astype(int)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        sampled = decoded[row:56:2, column:56:2]
        assert sampled[board == 255].min() > 240
        assert sampled[board == 0].max() < 15
    assert np.abs(decoded[72, 8::16] - colours[4::8]).max() <= 2


def flat_states(count: int = 12, side: int = 64, cells: int = 6) -> Iterator[Frame]:
    """Rows of states that hardly differ from one colour, with a model's noise of 0.01."""
    generator = np.random.default_rng(0)
    coarse = generator.normal(0, 4, (cells, 4, 4, 3))
    colours = generator.uniform(60, 200, (cells, 1, 1, 3))
    basis = np.cos(np.pi * (np.arange(side)[:, None] + 0.5) * np.arange(4) / side)
    smooth = np.einsum("xi,yj,nijc->nxyc", basis, basis, coarse)
    for step in range(count):
        noise = generator.normal(0, 0.01 * 255, smooth.shape)
        states = colours + smooth * step / count + noise
        yield np.concatenate([*states.round().clip(0, 255).astype(np.uint8)], 1)


def edge_steps(frames: Any, side: int = 64, block: int = 8) -> float:
    """The size of nearly the largest step (95 %) from block to block, along vertical edges."""
    grey = np.asarray(frames, float).mean(-1)
    rows = grey.reshape(len(grey), -1, block, grey.shape[2]).mean(2)
    steps = np.abs(np.diff(rows, axis=2))
    columns = np.arange(1, grey.shape[2])
    inside = (columns % block == 0) & (columns % side != 0)
    return float(np.percentile(steps[..., inside], 95))


def test_flat_states_show_no_blocks(tmp_path: Path) -> None:
    """Steps along the edges of H.264's blocks are smaller than those of the states' own noise.

    The large view enlarges a state of 64 pixels seven times from such a clip.
    """
    frames = [*flat_states()]
    spec = ClipSpec(24, crf_for(64) + film.CRF_SMOOTH, 2, BACKGROUND, smooth=True)
    decoded = decode(tmp_path / "clip.mp4", encode_clip(frames, spec, tmp_path)["mp4"])
    native = decoded.reshape(len(frames), 64, 2, -1, 2, 3).mean((2, 4))
    assert edge_steps(native) < edge_steps(frames)


def test_gif_of_rounded_colours(tmp_path: Path) -> None:
    """The filter of recordings rounds the colours of the GIF, and those of nothing else."""
    frame = np.full((20, 20, 3), (1, 9, 250), np.uint8)
    frame[10:] = (130, 255, 0)
    files = encode_clip([frame], replace(SMALL, gif_filter=recorded.GIF_FILTER), tmp_path)
    with Image.open(tmp_path / files["gif"].path) as gif:
        assert {colour for _, colour in gif.convert("RGB").getcolors() or []} == {
            (4, 12, 252),
            (132, 252, 4),
        }
    (tmp_path / "plain").mkdir()
    plain = encode_clip([frame], SMALL, tmp_path / "plain")
    assert plain["mp4"] == files["mp4"]
    assert plain["gif"] != files["gif"]


def test_opens_on_the_last_frame_and_holds_it(tmp_path: Path) -> None:
    """A clip shows its last frame first and long in the end, in MP4 and GIF; its levels say so."""
    spec = ClipSpec(10, 18, 2, BACKGROUND, smooth=True, opening=10, ending=20)
    files = encode_clip(moving_frames(), spec, tmp_path)
    decoded = decode(tmp_path / "clip.mp4", files["mp4"])
    assert files["mp4"].frames == len(decoded) == COUNT + 30
    last = pad_to_even(enlarge(picture(COUNT - 1), 2, smooth=True), BACKGROUND)
    first = pad_to_even(enlarge(picture(0), 2, smooth=True), BACKGROUND)
    for at, wanted in ((0, last), (9, last), (10, first), (COUNT + 9, last), (-1, last)):
        assert likeness(decoded[at], wanted) > 28, at
    packets = probe(tmp_path / "clip.mp4", "-show_entries", "packet=pts_time")["packets"]
    times = sorted(float(packet["pts_time"]) for packet in packets)
    assert np.diff(times) == pytest.approx(0.1, abs=1e-3)
    levels = spec.levels(tuple(range(COUNT - 1, -1, -1)))
    assert (len(levels), levels[:11], levels[-21:]) == (
        COUNT + 30,
        (*[0] * 10, COUNT - 1),
        (0,) * 21,
    )
    gif = decode(tmp_path / "clip.gif", files["gif"])
    assert likeness(gif[0], picture(COUNT - 1)) > 28
    length = (files["gif"].frames or 0) / (files["gif"].fps or 1)
    assert length == pytest.approx((COUNT + 30) / 10, rel=0.06)


def test_gif_is_native_and_slow_enough(clip: Files, folder: Path) -> None:
    """Native size, 15 frames a second or fewer, endless, as long as the MP4, to the last frame."""
    path = folder / "clip.gif"
    found = stream(path)
    assert (found["codec_name"], found["width"], found["height"]) == ("gif", 83, 57)
    assert int(found["nb_read_frames"]) == 13
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        pauses = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
    assert pauses == [80] * 13
    assert sum(pauses) == pytest.approx(1000 * COUNT / 24, rel=0.05)
    decoded = decode(path, clip["gif"])
    assert likeness(decoded[0], picture(0)) > 28
    assert likeness(decoded[-1], picture(COUNT - 1)) > 28


def test_gif_drops_frames_to_be_light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above its weight it loses frames, no more than it must; it keeps its length and its end."""
    spec = ClipSpec(10, 30, 1, BACKGROUND)
    whole = encode_clip(moving_frames(), spec, tmp_path)["gif"]
    limit = int(0.6 * whole.bytes)
    monkeypatch.setattr(film, "GIF_BYTES", limit)
    file = encode_clip(moving_frames(), spec, tmp_path)["gif"]
    assert 0.75 * limit < file.bytes <= limit
    assert (file.frames or 0) / (file.fps or 1) == pytest.approx(2.5, rel=0.05)
    assert likeness(decode(tmp_path / "clip.gif", file)[-1], picture(COUNT - 1)) > 28
    monkeypatch.setattr(film, "GIF_BYTES", 10)
    assert encode_clip(moving_frames(), spec, tmp_path)["gif"].frames == 1


@pytest.mark.parametrize("case", [(1, 1, 1, 10), (2, 2, 2, 60), (1, 9, 3, 10)], ids=str)
def test_tiny_clips(tmp_path: Path, case: tuple[int, int, int, int]) -> None:
    """The smallest sizes, a single frame, and frames that are equal or fast are clips too."""
    height, width, count, fps = case
    frames = [np.full((height, width, 3), 9, np.uint8)] * count
    gif = encode_clip(frames, ClipSpec(fps, 18, 1, BACKGROUND), tmp_path)["gif"]
    assert int(stream(tmp_path / "clip.mp4")["nb_read_frames"]) == gif.frames == count
    assert (gif.fps or 99) < 15


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np, tests.e2e.media.test_encoder as t
def peaks(count):
    frames = (np.full((160, 160, 3), step * 200 // count, np.uint8) for step in range(count))
    t.encode_clip(frames, t.ClipSpec(60, 40, 1, t.BACKGROUND), Path(sys.argv[1]))
    whom = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return [resource.getrusage(each).ru_maxrss for each in whom]
short = peaks(60)
print(*(long - each for long, each in zip(peaks(600), short)))
"""


def test_memory_does_not_grow(tmp_path: Path) -> None:
    """Ten times the frames, 46 MB of them, take no more memory, neither here nor in ffmpeg."""
    here, children = map(int, run_python("-c", MEMORY, str(tmp_path)).stdout.split())
    assert here < 6_000  # KiB
    assert children < 12_000


def frames_then(last: Any) -> Iterator[Any]:
    """Two good frames and another one, or an error."""
    yield from (picture(0), picture(1))
    if isinstance(last, BaseException):
        raise last
    yield last


BAD_FRAMES: list[tuple[Any, type[BaseException], str]] = [
    ([], TargetError, "at least one frame"),
    (frames_then(picture(2, 57, 84)), TargetError, r"frame 3 is \(57, 84, 3\)"),
    (frames_then(picture(2).astype(float)), TargetError, "frame 3 is .* of float64"),
    (frames_then(picture(2)[..., :1]), TargetError, "frame 3"),
    (frames_then(picture(2)[0]), TargetError, "frame 3"),
    ([np.zeros((0, 5, 3), np.uint8)], TargetError, "frame 1"),
    ([np.zeros((2, 16384, 3), np.uint8)], TargetError, "16384 × 2.*fewer images"),
    (frames_then(ZeroDivisionError("half way")), ZeroDivisionError, "half way"),
    (frames_then(KeyboardInterrupt("half way")), KeyboardInterrupt, "half way"),
]


@pytest.mark.parametrize("case", BAD_FRAMES, ids=lambda case: case[2])
def test_bad_frames_leave_nothing(tmp_path: Path, case: Any) -> None:
    """No frames, odd ones, a failing sampler, Ctrl-C: the right error, no file and no process."""
    (frames, error, words), before = case, children()
    with pytest.raises(error, match=words):
        encode_clip(frames, SMALL, tmp_path)
    assert (list(tmp_path.iterdir()), children()) == ([], before)


Stand = Callable[[str], Path]


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Put a script (with `say`, ffmpeg's messages) before the $real ffmpeg; an empty folder."""
    path, folder = tmp_path / "stand-in", tmp_path / "out"
    folder.mkdir()
    real = executable()

    def make(script: str) -> Path:
        say = 'say() { echo "$1" >&2; }'
        path.write_text(f"#!/bin/sh\nreal='{real}'\n{say}\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
        return folder

    return make


LACKING = 'exec "$real" "$@" -c:v libnothing x.mp4'
HALF = 'case "$*" in *xerror*) "$real" "$@" | head -c 99;; *) exec "$real" "$@";; esac'
NO_GIF = 'case "$*" in *palette*) cat >/dev/null;; *) exec "$real" "$@";; esac'
FAILING: list[tuple[str, type[SitegenError], str]] = [
    (LACKING, PlatformError, "status 8.*pip install[^$]*libnothing"),
    ('exec "$real" -badly "$@"', PlatformError, "Unrecognized option 'badly'"),
    ('head -c 60000 | "$real" "$@"', TargetError, "does not have 9 frames"),
    ("cat > /dev/null", TargetError, r"clip\.mp4 is not there"),
    (NO_GIF, TargetError, r"clip\.gif is damaged"),
    ('"$real" "$@"; case "$*" in *faststart*) exit 228;; esac', PlatformError, "status 228"),
    ("say 'width not divisible by 2'; exit 187", PlatformError, "187[^$]*width not divisible"),
    ("exit 0", TargetError, r"clip\.mp4 is not there"),
    (HALF, TargetError, r"clip\.mp4 was decoded in part"),
    ("cat > /dev/null; exit 3", PlatformError, "status 3.*check disk space.*pip install"),
    ("say 'x: No space left on device'; exit 1", PlatformError, "No space left on device"),
    ("cat > /dev/null; kill -9 $$", PlatformError, "signal 9"),
]


@pytest.mark.parametrize("case", FAILING, ids=lambda case: case[2])
def test_failing_ffmpeg_leaves_nothing(stand_in: Stand, case: Any) -> None:
    """What ffmpeg does wrong, or the machine lacks (exit code 4), is told in its own words."""
    (script, error, words), before = case, children()
    out = stand_in(script)
    with pytest.raises(error, match=words):
        encode_clip(moving_frames(), SMALL, out)
    assert (list(out.iterdir()), children()) == ([], before)


READ_HALF = '"$real" "$@" > /dev/null; printf %99s >&2; sleep 3600'
HANGING = {
    "idle": "sleep 3600",
    "reading": "cat > /dev/null; sleep 3600",
    "waiting": "sleep 3600 & wait",
    "looking again": f'case "$*" in *xerror*) {READ_HALF};; *) exec "$real" "$@";; esac',
}


@pytest.mark.parametrize("name", HANGING)
def test_hang_is_ended(stand_in: Stand, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An ffmpeg that never ends, writing or reading, is killed with what it started."""
    monkeypatch.setattr(encode, "STALL_SECONDS", 5.0)
    out, before = stand_in(f"say thinking; {HANGING[name]}"), children()
    with pytest.raises(PlatformError, match="no progress") as told:
        encode_clip(moving_frames(200 if name != "looking again" else 3), SMALL, out)
    assert "thinking" in str(told.value) or name == "looking again"
    assert (list(out.iterdir()), children()) == ([], before)


def test_slow_frames_are_no_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only ffmpeg's own time counts: a sampler may take as long as it likes for a frame."""

    def slow() -> Iterator[Frame]:
        for frame in moving_frames(3):
            time.sleep(2.5)
            yield frame

    monkeypatch.setattr(encode, "STALL_SECONDS", 6.0)
    assert encode_clip(slow(), SMALL, tmp_path)["mp4"].frames == 3


def test_odd_folder_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder names become no arguments, no report is left, and an odd clip keeps its look."""
    odd = tmp_path / "-i %03d; $(touch x) 'é:\\\n.zip"
    odd.mkdir()
    executable()  # imageio tries the encoder once, in the user's own environment
    monkeypatch.setenv("FFREPORT", "file=report.txt")
    monkeypatch.chdir(odd)
    files = encode_clip(moving_frames(2), SMALL, Path("."))
    assert (files["mp4"].width, files["mp4"].height) == (84, 58)
    poster = np.asarray(Image.open(odd / "clip.webp").convert("RGB"))
    assert looks_the_same(poster, shown(picture(1), 1))
    assert os.environ["FFREPORT"] == "file=report.txt"  # which is the user's
    assert sorted(os.listdir(odd)) == ["clip.gif", "clip.mp4", "clip.webp"]
    assert os.listdir(tmp_path) == [odd.name]


X264 = ("-profile:v", "high", "-movflags", "+faststart", "-vf")
CONVERT = "scale=out_color_matrix=bt709"


_ROWS, _COLUMNS = np.mgrid[0:32, 0:48]
SUM = _ROWS + _COLUMNS
FRAMES = [  # a colourful gradient that moves
    np.stack([_COLUMNS * 5, _ROWS * 7, (SUM + 9 * n) * 2 % 256], -1).astype(np.uint8)
    for n in range(5)
]
ENDS = (FRAMES[0], FRAMES[-1])


def encoded(
    path: Path, *arguments: str, codec: str = "libx264", pixels: str = "yuv420p", frames: Any = None
) -> Path:
    """Encode frames with ffmpeg arguments of the test's own."""
    options: dict[str, Any] = {"codec": codec, "pix_fmt_out": pixels, "fps": 10}
    encode._write(path, frames or FRAMES, (48, 32), output_params=arguments, **options)
    return path


BAD_CLIPS: list[tuple[tuple[str, ...], str]] = [
    (("-vf", CONVERT), "index at the end"),  # what else is in `test_mp4.py`
    ((*X264, f"{CONVERT}:h=30"), "is not 48×32"),
    ((*X264, f"{CONVERT},transpose"), "is not 48×32"),
    ((*X264, f"{CONVERT},select=gt(n\\,0)"), "does not have 5 frames"),
    ((*X264, "colorchannelmixer=0:0:1:0:0:1:0:0:1:0:0:0," + CONVERT), "look like"),
    ((*X264, f"{CONVERT},vflip"), "look like"),
    ((*X264, f"{CONVERT},reverse"), "look like"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_CLIPS)
def test_bad_mp4_is_refused(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    """Another size, count, order, channel order or layout of the file."""
    path = encoded(tmp_path / "a.mp4", *arguments)
    with pytest.raises(TargetError, match=words):
        verified_mp4(path, ENDS, 5, 10.0, 18)


def test_noise_is_allowed_to_be_coarse(tmp_path: Path) -> None:
    """Pure noise, the start of other diffusion models, is a fair clip at a common quality."""
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(5)]
    path = encoded(tmp_path / "a.mp4", "-crf", "26", *X264, CONVERT, frames=frames)
    verified_mp4(path, (frames[0], frames[-1]), 5, 10.0, 23)
    with pytest.raises(TargetError, match="look like"):
        verified_mp4(path, (frames[-1], frames[0]), 5, 10.0, 23)


def test_gif_is_verified(tmp_path: Path) -> None:
    """A GIF must have its size and its number of frames, and be one."""
    path = encoded(tmp_path / "a.gif", codec="gif", pixels="rgb8")
    assert verified_gif(path, 48, 32, 5, 10.0) == media_file(path, 48, 32, 5, 10.0)
    for wrong in ((32, 48, 5), (48, 32, 4), (48, 30, 5), (48, 32, 5)):
        if wrong == (48, 32, 5):  # right, but cut
            path.write_bytes(path.read_bytes()[:-800])
        with pytest.raises(TargetError, match=r"a\.gif"):
            verified_gif(path, *wrong, 10.0)


def test_no_room_leaves_nothing(tmp_path: Path) -> None:
    """A real limit on the size of files, met by the encoder or by us, is a PlatformError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(PlatformError, match=r"too large|too low|disk space"):
            encode_clip(moving_frames(), ClipSpec(10, 18, 2, BACKGROUND), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(PlatformError, match="file"):
        encode_clip(moving_frames(2), SPEC, tmp_path / "file")


def test_preflight(stand_in: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's ffmpeg passes; without one, or without its x264, sampling never begins."""

    def refused(words: str, use: Callable[[], object] = preflight) -> None:
        with pytest.raises(PlatformError, match=words):
            use()

    preflight()
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", executable())
    assert re.match(r"ffmpeg \S*\d\S*; pillow ", encoder_version())
    place = stand_in(LACKING).parent
    refused("Unknown encoder")
    stand_in("cat > /dev/null")
    refused(r"not work: .*clip\.mp4 is not there; `pip install")
    (place / "plain").write_bytes(b"\x00")
    (place / "plain").chmod(0o755)
    for name in ("missing", "plain"):
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(place / name))
        refused("pip install")
        refused("pip install", encoder_version)
    monkeypatch.setitem(sys.modules, "imageio.plugins.ffmpeg", None)
    refused("pip install")


def test_stopped_by_another_thread(tmp_path: Path) -> None:
    """Whoever waits for ffmpeg, a frame before its end, waits no longer, and leaves nothing."""
    waits, goes_on = threading.Event(), threading.Event()

    def frames() -> Iterator[Frame]:
        yield np.zeros((16, 16, 3), np.uint8)
        waits.set()
        assert goes_on.wait(60)
        for _ in range(10_000):
            yield np.zeros((16, 16, 3), np.uint8)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(encode_clip, frames(), ClipSpec(24.0, 18, 2, (0, 0, 0)), tmp_path)
        assert waits.wait(60)
        stop_encoding()
        goes_on.set()
        with pytest.raises(PlatformError, match="stopped by signal 9"):
            future.result(60)
    assert list(tmp_path.iterdir()) == []


def test_stopped_while_files_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GIF without end stops as well, when the film is there; nothing runs or is left."""
    begun = threading.Event()

    def endless(_native: object, _spec: object, path: Path) -> NoReturn:
        source = ["-re", "-f", "lavfi", "-i", "color=s=16x16", "-f", "null", "-"]
        begun.set()
        encode._ffmpeg(source, path.parent, 256)
        raise AssertionError("it has no end")

    monkeypatch.setattr(encode, "_gif", endless)
    frames = [np.zeros((16, 16, 3), np.uint8)] * 3
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(encode_clip, frames, ClipSpec(24.0, 18, 2, (0, 0, 0)), tmp_path)
        assert begun.wait(60)
        while not future.done():
            stop_encoding()
            time.sleep(0.01)
        with pytest.raises(PlatformError, match="stopped by signal 9"):
            future.result()
    assert list(tmp_path.iterdir()) == []
    assert not encode._RUNNING
