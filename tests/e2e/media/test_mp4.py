"""What keeps browsers from playing a clip is found in its boxes, and ffprobe agrees."""

import json
import subprocess
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import pytest

from sitegen.media.mp4 import clip_faults
from tests.support.programs import program

FRONT = ("-movflags", "+faststart")
H264 = ("-c:v", "libx264", *FRONT)
YUV420P = ("-pix_fmt", "yuv420p")
# How a clip is made, and the words by which its fault is told.
CLIPS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "high": ((*H264, "-profile:v", "high", *YUV420P), None),
    "main": ((*H264, "-profile:v", "main", *YUV420P), None),
    "baseline": ((*H264, "-profile:v", "baseline", *YUV420P), None),
    "fragmented": (("-c:v", "libx264", *YUV420P, "-movflags", "+frag_keyframe+empty_moov"), None),
    "late": (("-c:v", "libx264", *YUV420P), "its index at the end"),
    "yuv444p": ((*H264, "-pix_fmt", "yuv444p"), "H.264 High 4:4:4 in yuv444p"),
    "yuv422p": ((*H264, "-pix_fmt", "yuv422p"), "H.264 High 4:2:2 in yuv422p"),
    "ten bits": ((*H264, "-pix_fmt", "yuv420p10le"), "H.264 High 10 in yuv420p10le"),
    "grey": ((*H264, "-pix_fmt", "gray"), "H.264 High in grey"),
    "mp4v": (("-c:v", "mpeg4", *FRONT), "the codec mp4v"),
    "hevc": (("-c:v", "libx265", "-x265-params", "log-level=none", *FRONT), "the codec hev1"),
    "odd": ((*H264, "-vf", "crop=31:23", "-pix_fmt", "yuv444p"), "is 31×23"),
}


def ffmpeg(*words: str | Path) -> None:
    """Run ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)


@cache
def made(name: str, folder: Path) -> Path:
    """A clip of half a second."""
    path = folder / f"{name}.mp4"
    source = ("-f", "lavfi", "-i", "testsrc=size=32x24:rate=12:duration=0.5")
    ffmpeg(*source, *CLIPS[name][0], path)
    return path


def mended(fault: str, path: Path, target: Path) -> Path:
    """Run the command that a fault tells, on a clip."""
    words = fault.partition(": ffmpeg ")[2].partition(", or")[0].split()
    words[words.index("IN.mp4")], words[words.index("OUT.mp4")] = str(path), str(target)
    ffmpeg(*words)
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the clips lie."""
    return tmp_path_factory.mktemp("clips")


@pytest.mark.parametrize("name", CLIPS)
def test_each_fault_is_found(folder: Path, tmp_path: Path, name: str) -> None:
    """A bad clip has the fault that was made, and is mended as is told; ffprobe agrees."""
    path, expected = made(name, folder), CLIPS[name][1]
    faults = clip_faults(path)
    assert (faults == []) == (expected is None)
    assert expected is None or any(expected in each and "ffmpeg -i" in each for each in faults)
    if name in ("late", "yuv444p", "mp4v"):
        assert clip_faults(mended(faults[0], path, tmp_path / "a.mp4")) == []
    ffprobe = program("ffprobe", package="ffmpeg")
    command = [ffprobe, "-v", "error", "-show_streams", "-of", "json", str(path)]
    told = subprocess.run(command, check=True, capture_output=True).stdout
    stream = json.loads(told)["streams"][0]
    even = stream["width"] % 2 == stream["height"] % 2 == 0
    plays = stream["codec_tag_string"] == "avc1" and stream["pix_fmt"] == "yuv420p" and even
    assert plays == (faults == []) or name == "late"


@pytest.mark.parametrize(
    ("codec", "told"),
    [("ac3", "sound in ac-3"), ("eac3", "sound in ec-3"), ("aac", None), ("libmp3lame", None)],
)
def test_codecs_of_sound(folder: Path, tmp_path: Path, codec: str, told: str | None) -> None:
    """Sound that browsers do not play is named and mended as told; alone it is no clip."""
    silence, pictures = ("-f", "lavfi", "-i", "anullsrc"), ("-i", made("high", folder))
    encode, path = ("-t", "0.5", "-c:a", codec, *FRONT), tmp_path / "a.mp4"
    ffmpeg(*silence, *encode, tmp_path / "only.mp4")
    assert "no pictures" in clip_faults(tmp_path / "only.mp4")[0]
    ffmpeg(*silence, *pictures, "-c:v", "copy", *encode, path)
    faults = clip_faults(path)
    assert (faults == []) == (told is None)
    if told:
        assert f"has {told}, which not every browser plays" in faults[0]
        assert clip_faults(mended(faults[0], path, tmp_path / "b.mp4")) == []


def test_whatever_is_cut_or_changed_is_told(folder: Path, tmp_path: Path) -> None:
    """Cut anywhere or with any byte of its index changed, a clip never raises and never hangs."""
    whole = made("high", folder).read_bytes()
    path = tmp_path / "bad.mp4"
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        assert clip_faults(path), end
    for at in range(0, whole.index(b"mdat"), 5):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        assert isinstance(clip_faults(path), list)
