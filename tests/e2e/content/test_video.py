"""The author's videos, measured as encoders write them."""

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
    """The size of a video that ffmpeg writes."""
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
    subprocess.run([*ffmpeg, *words, str(folder / name)], check=True)
    film = read_video(SiteFolder(folder).find(name))
    return film.width, film.height


VIDEOS = {
    "plain": ("a.mp4", [*PICTURES, *H264]),
    "index first": ("a.mp4", [*PICTURES, *H264, "-movflags", "+faststart"]),
    "fragmented": ("a.mp4", [*PICTURES, *H264, "-movflags", "frag_keyframe"]),
    "sound first": ("a.mp4", [*SOUND, *PICTURES, "-map", "0", "-map", "1", *H264]),
    "webm": ("a.webm", [*PICTURES, *VP8]),
    "live": ("a.webm", [*PICTURES, *VP8, "-live", "1", "-f", "webm"]),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_measured(tmp_path: Path, name: str) -> None:
    """Wherever the index stands, where there is sound before it, and where no end is known."""
    file, words = VIDEOS[name]
    assert size(tmp_path, file, *words) == (64, 36)


def test_turned_and_silent(tmp_path: Path) -> None:
    """A video of a phone that was held upright is high; a file of sound alone is no video."""
    size(tmp_path, "a.mp4", *PICTURES, *H264)
    turned = ["-display_rotation", "90", "-i", str(tmp_path / "a.mp4"), "-c", "copy"]
    assert size(tmp_path, "b.mp4", *turned) == (36, 64)
    with pytest.raises(ValueError, match="shows no pictures"):
        size(tmp_path, "c.mp4", *SOUND)
