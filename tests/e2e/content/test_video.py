"""The author's videos: measured as encoders write them and ffprobe measures them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from sitegen.content.embeds import read_video
from sitegen.core.site_files import SiteFolder

PICTURES = ["-f", "lavfi", "-i", "testsrc=size=64x36:rate=5:duration=1"]
SOUND = ["-f", "lavfi", "-i", "sine=duration=1"]
H264 = ["-c:v", "libx264"]
VP8 = ["-c:v", "libvpx", "-b:v", "100k"]


def size(folder: Path, name: str, *words: str) -> tuple[int, int]:
    """The size of a video that ffmpeg writes; ffprobe says the same."""
    path = folder / name
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
    subprocess.run([*ffmpeg, *words, str(path)], check=True)
    film = read_video(SiteFolder(folder).find(name))
    return film.width, film.height


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.mp4", [*PICTURES, *H264]),
        ("a.mp4", [*PICTURES, *H264, "-movflags", "+faststart"]),
        ("a.mp4", [*PICTURES, *H264, "-movflags", "frag_keyframe"]),
        ("a.mp4", [*SOUND, *PICTURES, "-map", "0", "-map", "1", *H264]),
        ("a.webm", [*PICTURES, *VP8]),
        ("a.webm", [*PICTURES, *VP8, "-live", "1", "-f", "webm"]),
    ],
)
def test_measured(tmp_path: Path, name: str, words: list[str]) -> None:
    """Wherever the index stands, where there is sound before it, and where no end is known."""
    assert size(tmp_path, name, *words) == (64, 36)
    probe = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries"]
    probe += ["stream=width,height", "-of", "csv=p=0", str(tmp_path / name)]
    done = subprocess.run(probe, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "64,36"


def test_turned_and_silent(tmp_path: Path) -> None:
    """A video of a phone that was held upright is high; a file of sound alone is no video."""
    size(tmp_path, "a.mp4", *PICTURES, *H264)
    turned = ["-display_rotation", "90", "-i", str(tmp_path / "a.mp4"), "-c", "copy"]
    assert size(tmp_path, "b.mp4", *turned) == (36, 64)
    with pytest.raises(ValueError, match="shows no pictures"):
        size(tmp_path, "c.mp4", *SOUND)
