"""Videos of the author: whether browsers play them, their size, and their first picture."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sitegen.core.errors import RefusedError
from sitegen.media.encoder import executable
from sitegen.media.frames import Frame

PLAYED = ("h264", "vp8", "vp9", "av1")
"""Codecs that current browsers play."""
# As in "Stream #0:0: Video: h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709), 64x48 [SAR".
_STREAM = re.compile(r"Video: (\w+)[^\n]*?, (\w+)(?:\([^)\n]*\))?, (\d{1,5})x(\d{1,5})[, ]")
_TURNED = re.compile(r"rotation of -?(90|270)\b")


class Video(NamedTuple):
    """Codec and format of the pixels, and size as displayed."""

    codec: str
    pixels: str
    width: int
    height: int


def read_video(path: Path) -> Video:
    """Return facts on a video; raise RefusedError, with a command, if browsers do not play it."""
    report = _ffmpeg("-i", str(path)).stderr.decode("utf-8", "replace")
    match = _STREAM.search(report)
    if match is None:
        raise RefusedError(f"{path}: holds no video that ffmpeg reads")
    codec, pixels, *size = match.groups()
    if codec not in PLAYED or (codec == "h264" and pixels not in ("yuv420p", "yuvj420p")):
        raise RefusedError(
            f"{path}: is of the codec {codec} with pixels {pixels}, which not all browsers play; "
            f"convert it: ffmpeg -i {path.name} -c:v libx264 -pix_fmt yuv420p -movflags +faststart "
            f"{path.stem}-h264.mp4"
        )
    width, height = map(int, reversed(size) if _TURNED.search(report) else size)
    return Video(codec, pixels, width, height)


def first_frame(path: Path, video: Video) -> Frame:
    """Return the first picture (H, W, 3) of a video; raise RefusedError if it cannot be decoded."""
    options = ("-i", str(path), "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    data = _ffmpeg("-v", "error", *options).stdout
    if len(data) != 3 * video.width * video.height:
        raise RefusedError(f"{path}: its first picture cannot be decoded; save it again")
    return np.frombuffer(data, np.uint8).reshape(video.height, video.width, 3)


def _ffmpeg(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    # A file must not make ffmpeg fetch another.
    command = [executable(), "-hide_banner", "-nostdin", "-protocol_whitelist", "file,pipe"]
    return subprocess.run([*command, *arguments], capture_output=True, check=False)
