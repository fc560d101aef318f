"""Sheets of pictures, each above its text: numbered samples to choose from, and moments of a clip.

Pictures are enlarged by an integer factor, so that no viewer interpolates them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from sitegen.core.errors import RefusedError
from sitegen.core.files import platform_errors
from sitegen.media.frames import INK, PAPER, Frame, sheet, upscale
from sitegen.media.manifest import Cells
from sitegen.media.typeface import font

MOST_PIXELS = 64_000_000
"""Pixels of the largest contact sheet."""
_WIDTH = 1600  # pixels of width that a contact sheet of small pictures may have
_LEAST = 64  # pixels per side of a picture in it, at least
_TEXT, _HEADING = 28, 24  # height of the text under a picture, and font size of the heading
_GAP, _MARGIN = 10, 24
_STRIP_WIDTH = 1200  # pixels, of an exported picture, at least


def contact_cells(count: int, width: int, height: int) -> Cells:
    """Return the arrangement of numbered pictures of that size, in rows of tens if possible."""
    factor = max(1, -(-_LEAST // width))
    columns = max(1, min(count, (_WIDTH - 2 * _MARGIN) // (factor * width + _GAP)))
    columns = columns // 10 * 10 or columns
    texts, size = tuple(map(str, range(count))), (factor * width, factor * height + _TEXT)
    return Cells(count, *size, columns, _GAP, texts=texts, strip=_TEXT)


def contact_size(cells: Cells) -> tuple[int, int]:
    """Return the width and the height of a contact sheet in pixels."""
    width, height = cells.size
    return width + 2 * _MARGIN, height + 3 * _MARGIN + _HEADING


def contact_sheet(pictures: Frame, heading: str) -> Frame:
    """Lay out samples (N, H, W, 3) in rows, each above its number from 0.

    heading: a line at the top, shrunk to the width of the sheet
    """
    count, height, width, _ = pictures.shape
    cells = contact_cells(count, width, height)
    size = contact_size(cells)
    drawn = sheet(upscale(pictures, cells.width // width), cells)
    image = Image.new("RGB", size, PAPER)
    image.paste(Image.fromarray(drawn), (_MARGIN, 2 * _MARGIN + _HEADING))
    fonts = (font(points) for points in range(_HEADING, 7, -1))
    room = size[0] - 2 * _MARGIN
    largest = next((f for f in fonts if f.getlength(heading) <= room), font(8))
    ImageDraw.Draw(image).text((_MARGIN, _MARGIN), heading, fill=INK, font=largest, anchor="lt")
    return np.asarray(image)


def strip(moments: Mapping[str, Frame]) -> Frame:
    """Return moments of a clip side by side, each above its label."""
    frames = np.stack([*moments.values()])
    count, height, width, _ = frames.shape
    texts = tuple(moments)
    cells = Cells(count, width, height + _TEXT, count, _GAP, texts=texts, strip=_TEXT)
    return sheet(frames, cells)


def png(frame: Frame, **options: Any) -> bytes:
    """Encode a frame as PNG; `options` are those of Pillow."""
    with io.BytesIO() as data:
        Image.fromarray(frame).save(data, "PNG", **options)
        return data.getvalue()


def read_frame(path: Path) -> Frame:
    """Read an image of the store as a frame (H, W, 3).

    Raises PlatformError for formats other than WebP and PNG, RefusedError for damaged or huge
    files.
    """
    try:
        # Formats are named, since Pillow runs Ghostscript for PostScript, whatever the suffix of a
        # file.
        with platform_errors(path, "read"), Image.open(path, formats=["WEBP", "PNG"]) as image:
            return np.asarray(image.convert("RGB"))
    except (ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise RefusedError(f"{path}: cannot be read as an image: {error}") from error


def write_frame(frame: Frame, path: Path) -> None:
    """Write an enlarged frame as PNG."""
    with platform_errors(path):
        enlarged = upscale(frame, -(-_STRIP_WIDTH // frame.shape[1]))
        path.write_bytes(png(enlarged, optimize=True))
