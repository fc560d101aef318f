"""Images for slides and papers: PNG of frames, and strips of moments of a clip.

Frames are enlarged by an integer factor, so that no viewer interpolates them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sitegen.core.errors import RefusedError
from sitegen.core.files import platform_errors
from sitegen.media.frames import Frame, upscale
from sitegen.media.labels import write_label

_WIDTH = 1200
"""Smallest width of an exported frame in pixels."""
_GAP, _FONT = 8, 22


def read_frame(path: Path) -> Frame:
    """Read an image of the store as a frame (H, W, 3).

    Raises PlatformError for formats other than WebP and PNG, RefusedError for damaged or huge
    files.
    """
    from PIL import Image

    try:
        # Formats are named, since Pillow runs Ghostscript for PostScript, whatever the suffix of a
        # file.
        with platform_errors(path, "read"), Image.open(path, formats=["WEBP", "PNG"]) as image:
            return np.asarray(image.convert("RGB"))
    except (ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise RefusedError(f"{path}: cannot be read as an image: {error}") from error


def write_frame(frame: Frame, path: Path) -> None:
    """Write an enlarged frame as PNG."""
    from PIL import Image

    with platform_errors(path):
        enlarged = upscale(frame, -(-_WIDTH // frame.shape[1]))
        Image.fromarray(enlarged).save(path, "PNG", optimize=True)


def labelled_strip(moments: Sequence[tuple[str, Frame]]) -> Frame:
    """Return moments of a clip side by side on white, each below its label."""
    height, width, _ = moments[0][1].shape
    head = _FONT + _FONT // 2
    across = len(moments) * (width + _GAP) - _GAP
    sheet = np.full((height + head, across, 3), 255, np.uint8)
    for number, (label, frame) in enumerate(moments):
        x = number * (width + _GAP)
        sheet[head:, x : x + width] = frame
        sheet = write_label(sheet, label, (x + width // 2, _FONT), _FONT, (29, 33, 48))
    return sheet
