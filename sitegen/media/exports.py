"""Images for slides and papers: PNG and PDF of frames and drawings, and strips of moments.

Frames are enlarged by an integer factor, so that no viewer interpolates them. Drawings are
converted to PNG or PDF by an installed browser, which renders them as readers see them.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sitegen.core.errors import PlatformError, RefusedError, TargetError
from sitegen.core.files import platform_errors
from sitegen.media.encoder import paletted
from sitegen.media.frames import Frame, upscale
from sitegen.media.labels import write_label
from sitegen.media.manifest import MediaFile

if TYPE_CHECKING:
    from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Programs that can draw; the first one found is used."""

LARGE_GIF_BYTES = 5_000_000
"""Largest enlarged GIF in bytes; the factor is reduced until it fits."""
_LARGE_GIF = 480  # pixels of width
_WIDE = 1200  # pixels of width of an exported frame, at least
_POINTS = 396.0  # width of a PDF: 5.5 inches, one and a half columns
_GAP, _FONT = 8, 22
_SHARPER = 3  # pixels of a PNG per pixel of a drawing
_PATIENCE = 120  # seconds
_DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{.*?\n\}\n?(?=</style>)", re.DOTALL)


def read_picture(path: Path) -> Image.Image:
    """Read an image of the store as RGB, without starting another program.

    Raises PlatformError for formats other than WebP and PNG, RefusedError for damaged or huge
    files.
    """
    from PIL import Image

    try:
        with platform_errors(path, "read"), Image.open(path, formats=["WEBP", "PNG"]) as picture:
            return picture.convert("RGB")
    except (ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise RefusedError(f"{path}: cannot be read as an image: {error}") from error


def read_frame(path: Path) -> Frame:
    """Read an image of the store as a frame (H, W, 3). Raises as `read_picture` does."""
    return np.asarray(read_picture(path))


def write_frame(frame: Frame, path: Path) -> None:
    """Write an enlarged frame as PNG or PDF, by the suffix."""
    from PIL import Image

    frame = upscale(frame, -(-_WIDE // frame.shape[1]))
    with platform_errors(path):
        if path.suffix == ".pdf":
            path.write_bytes(pdf(frame))
        else:
            Image.fromarray(frame).save(path, "PNG", optimize=True)


def enlarge_gif(source: Path, target: Path, fps: float | None = None) -> MediaFile:
    """Write an enlarged copy of a GIF, each pixel a square, at least 480 pixels wide.

    The factor is smaller if the result would exceed 5 MB. The frame rate is `fps`, rounded to
    hundredths of a second per frame, or that of the source. Raises TargetError as `encode_clip`.
    """
    from PIL import Image, ImageSequence

    with platform_errors(source, "read"), Image.open(source, formats=["GIF"]) as image:
        count, size = int(getattr(image, "n_frames", 1)), image.size
        pause = max(1, round(int(image.info.get("duration", 100)) / 10))
    pause = pause if fps is None else max(2, round(100 / fps))  # browsers slow down faster ones

    def frames(factor: int) -> Iterator[Frame]:
        with Image.open(source, formats=["GIF"]) as image:
            for each in ImageSequence.Iterator(image):
                yield upscale(np.asarray(each.convert("RGB")), factor)

    for factor in range(max(1, -(-_LARGE_GIF // size[0])), 0, -1):
        twice = itertools.chain(frames(factor), frames(factor))
        large = (size[0] * factor, size[1] * factor)
        file = paletted(twice, count, large, pause, target)
        if file.bytes <= LARGE_GIF_BYTES:
            break
    return file


def pdf(frame: Frame) -> bytes:
    """Return a lossless one-page PDF of a frame (H, W, 3); equal frames give equal bytes.

    Pillow would compress it as JPEG.
    """
    height, width, _ = frame.shape
    across, down = _POINTS, _POINTS * height / width
    drawn = f"q {across:.2f} 0 0 {down:.2f} 0 0 cm /Picture Do Q".encode()
    data = zlib.compress(np.ascontiguousarray(frame).tobytes(), 9)
    image = (
        f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /DeviceRGB "
        "/BitsPerComponent 8 /Interpolate false /Filter /FlateDecode"
    )
    page = (
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {across:.2f} {down:.2f}] "
        "/Resources << /XObject << /Picture 5 0 R >> >> /Contents 4 0 R >>"
    )
    bodies = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page.encode(),
        _stream("", drawn),
        _stream(image, data),
    )
    text, starts = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(bodies, 1):
        starts.append(len(text))
        text += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{start:010} 00000 n \n" for start in starts)
    end = f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}"
    end += f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{len(text)}\n%%EOF\n"
    return text + end.encode()


def _stream(about: str, data: bytes) -> bytes:
    head = f"<< {about} /Length {len(data)} >>\nstream\n".encode()
    return head + data + b"\nendstream"


def labelled_strip(moments: Sequence[tuple[str, Frame]]) -> Frame:
    """Return moments of a clip side by side on white, each below its label."""
    height, width, _ = moments[0][1].shape
    head = _FONT + _FONT // 2
    across = len(moments) * (width + _GAP) - _GAP
    sheet = np.full((height + head, across, 3), 255, np.uint8)
    for at, (words, frame) in enumerate(moments):
        left = at * (width + _GAP)
        sheet[head:, left : left + width] = frame
        sheet = write_label(sheet, words, (left + width // 2, _FONT), _FONT, (29, 33, 48))
    return sheet


def draw_files(svg: Path, size: tuple[int, int], targets: Iterable[Path]) -> None:
    """Draw an SVG of a size in pixels, in its light version, into PNG and PDF files.

    Raises PlatformError if no browser is installed, TargetError if it fails.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise PlatformError(
            f"{svg.name}: converting a drawing to PNG or PDF needs a browser, and none of "
            f"{', '.join(BROWSERS)} was found; install Chromium, or use --format svg"
        )
    for target in targets:
        page = target.with_suffix(".html")
        page.write_text(_page(svg.read_text("utf-8"), size), encoding="utf-8")
        _browse(found, page, target, size)
        page.unlink()


def _page(text: str, size: tuple[int, int]) -> str:
    """Return a page that contains only the drawing, without its dark version."""
    width, height = size
    rules = f"@page {{ size: {width}px {height}px; margin: 0 }} body {{ margin: 0 }}"
    rules += f" svg {{ display: block; width: {width}px; height: {height}px }}"
    drawing = _DARK.sub("", text).replace("color-scheme: light dark", "color-scheme: light")
    return f'<!DOCTYPE html><meta charset="utf-8"><style>{rules}</style>{drawing}'


def _browse(program: str, page: Path, target: Path, size: tuple[int, int]) -> None:
    options: Mapping[str, list[str]] = {
        ".pdf": [f"--print-to-pdf={target}", "--no-pdf-header-footer"],
        ".png": [
            f"--screenshot={target}",
            f"--window-size={size[0]},{size[1]}",
            f"--force-device-scale-factor={_SHARPER}",
            "--hide-scrollbars",
        ],
    }
    quiet = ["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    quiet += ["--no-sandbox"] if _is_root() else []  # otherwise it does not run as root
    profile = f"--user-data-dir={target.parent / 'profile'}"
    command = [program, *quiet, profile, *options[target.suffix], page.absolute().as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PlatformError(f"cannot draw {target.name} with {program}: {error}") from error
    if done.returncode or not target.is_file():
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise TargetError(f"{program} did not draw {target.name}: {' '.join(said)}")


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
