"""The author's videos: recognised and measured as ffprobe measures them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from sitegen.content.video import read_video
from sitegen.core.site_files import SiteFolder

INPUT = ["-f", "lavfi", "-i", "testsrc=size=64x36:rate=5:duration=1"]
CODECS = {".mp4": ["-c:v", "libx264"], ".webm": ["-c:v", "libvpx", "-b:v", "100k"]}


def ffmpeg(*arguments: str) -> None:
    """Run the encoder."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *arguments]
    subprocess.run(command, check=True)


def encode(path: Path, *more: str) -> Path:
    """Make a video of 64×36 pixels."""
    ffmpeg(*INPUT, *CODECS[path.suffix], *more, str(path))
    return path


def probe(path: Path) -> tuple[int, int]:
    """The size of a video as ffprobe says."""
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0"]
    command += ["-show_entries", "stream=width,height", "-of", "csv=p=0", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    width, height = done.stdout.strip().split("\n")[0].split(",")[:2]
    return int(width), int(height)


@pytest.mark.parametrize("more", [[], ["-movflags", "+faststart"], ["-movflags", "frag_keyframe"]])
def test_mp4(tmp_path: Path, more: list[str]) -> None:
    """An MP4 is measured wherever its index stands, and also where there is sound before it."""
    path = encode(tmp_path / "a.mp4", *more)
    film = read_video(SiteFolder(tmp_path), "a.mp4")
    assert (film.width, film.height) == probe(path) == (64, 36)
    assert film.type == "video/mp4"
    assert film.file.uri == f"media/a-{film.file.sha256[:8]}.mp4"
    sound = ["-f", "lavfi", "-i", "sine=duration=1", "-i", str(path)]
    ffmpeg(*sound, "-map", "0", "-map", "1", "-c:v", "copy", str(tmp_path / "b.mp4"))
    film = read_video(SiteFolder(tmp_path), "b.mp4")
    assert (film.width, film.height) == (64, 36)


def test_webm(tmp_path: Path) -> None:
    """A WebM is measured."""
    path = encode(tmp_path / "A b.webm")
    film = read_video(SiteFolder(tmp_path), "A b.webm")
    assert (film.width, film.height) == probe(path) == (64, 36)
    assert film.type == "video/webm"
    assert film.file.uri.startswith("media/a-b-")


def test_webm_of_unknown_length(tmp_path: Path) -> None:
    """A recording that did not know its end when it began is measured too."""
    ffmpeg(*INPUT, *CODECS[".webm"], "-live", "1", "-f", "webm", str(tmp_path / "a.webm"))
    film = read_video(SiteFolder(tmp_path), "a.webm")
    assert (film.width, film.height) == (64, 36)


def test_turned(tmp_path: Path) -> None:
    """A video of a phone that was held upright is higher than it is wide."""
    path = encode(tmp_path / "a.mp4")
    turned = tmp_path / "b.mp4"
    ffmpeg("-display_rotation", "90", "-i", str(path), "-c", "copy", str(turned))
    film = read_video(SiteFolder(tmp_path), "b.mp4")
    assert (film.width, film.height) == (36, 64)


def fault(folder: Path, data: bytes) -> str:
    """Why a video with these bytes cannot be shown."""
    (folder / "x.mp4").write_bytes(data)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read_video(SiteFolder(folder), "x.mp4")
    return str(caught.value)


def test_no_video(tmp_path: Path) -> None:
    """Other files are refused, with what would do."""
    for data in (b"abc", b"RIFF....AVI ", b"\x89PNG\r\n\x1a\n"):
        assert "is no MP4 or WebM video" in fault(tmp_path, data)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_cut_short(tmp_path: Path, name: str) -> None:
    """Wherever a file ends too early, it is measured or refused, and nothing else happens."""
    data = encode(tmp_path / name).read_bytes()
    assert "is damaged, or shows no pictures" in fault(tmp_path, data[:60])
    for length in range(8, len(data), 7):
        (tmp_path / "x.mp4").write_bytes(data[:length])
        try:
            film = read_video(SiteFolder(tmp_path), "x.mp4")
        except ValueError:
            continue
        assert (film.width, film.height) == (64, 36)


def test_sound_alone(tmp_path: Path) -> None:
    """A file without pictures is no video."""
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", str(tmp_path / "a.mp4"))
    with pytest.raises(ValueError, match="shows no pictures"):
        read_video(SiteFolder(tmp_path), "a.mp4")
