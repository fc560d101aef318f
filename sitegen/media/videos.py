"""Videos of the author: whether browsers play them, their size, and their first picture."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sitegen.core.errors import RefusedError
from sitegen.core.files import platform_errors
from sitegen.core.site_files import video_fault
from sitegen.media.encoder import executable
from sitegen.media.frames import Frame

# As in "Stream #0:0: Video: h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709), 64x48 [SAR".
_SIZE = re.compile(r"Video: [^\n]*?, (\d{1,5})x(\d{1,5})[, ]")
_TURNED = re.compile(r"rotation of -?(90|270)\b")


class Video(NamedTuple):
    """Size as displayed."""

    width: int
    height: int


def read_video(path: Path) -> Video:
    """Return the size of a video; raise RefusedError if browsers do not play it."""
    with platform_errors(path, "read"):
        fault = video_fault(path, path.read_bytes())
    report = _ffmpeg("-i", str(path)).stderr.decode("utf-8", "replace")
    match = _SIZE.search(report)
    if fault or match is None:
        raise RefusedError(f"{path}: {fault or 'holds no video that ffmpeg reads'}")
    size = match.groups()
    return Video(*map(int, reversed(size) if _TURNED.search(report) else size))


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
