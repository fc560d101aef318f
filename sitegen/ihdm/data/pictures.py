"""One picture from a file: grey or colour, eight bits, or a refusal that names the file."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sitegen.core.errors import RefusedError

Picture = NDArray[np.uint8]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
_DAMAGE = (
    EOFError,
    Image.DecompressionBombError,
    IndexError,
    KeyError,
    OSError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What PIL raises for files that are damaged."""


def find_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and below, sorted; hidden files and folders do not count."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in found if path.is_file() and not _is_hidden(path, folder))


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def picture_size(file: Path) -> tuple[int, int]:
    """Height and width of a picture as it is stored, from its header alone.

    Raises RefusedError for a file that is no picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as opened:
                return opened.height, opened.width
    except _DAMAGE as error:
        raise RefusedError(f"{file}: cannot be read as an image: {error}") from error


def read_picture(file: Path, image_size: int | None = None) -> Picture:
    """A picture, (H, W) when it has no colour, else (H, W, 3).

    With `image_size` its middle square is scaled to that side. Raises RefusedError for a file that
    cannot be read, and for pixels that have no one meaning: transparent, or of 32 bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd but readable files; what is not readable raises
            with Image.open(file) as opened:
                picture = _eight_bits(ImageOps.exif_transpose(opened))
    except _DAMAGE as error:
        raise RefusedError(f"{file}: cannot be read as an image: {error}") from error
    return scaled(_without_needless_colour(np.asarray(picture)), image_size)


def scaled(picture: Picture, image_size: int | None) -> Picture:
    """The middle square of a picture at another size; the picture itself without `image_size`."""
    height, width = picture.shape[:2]
    if image_size is None or (height, width) == (image_size, image_size):
        return picture
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(picture[top : top + side, left : left + side])
    # Whole blocks are averaged exactly; other sizes take a filter that is good both ways.
    method = Image.Resampling.BICUBIC if side % image_size else Image.Resampling.BOX
    return np.asarray(square.resize((image_size, image_size), method))


def _eight_bits(picture: Image.Image) -> Image.Image:
    """The picture in mode L or RGB."""
    if picture.mode.startswith("I;16"):
        sixteen = np.asarray(picture).astype(np.uint32)
        return Image.fromarray(((sixteen + 128) // 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; save it with 8 or 16")
    if picture.has_transparency_data:
        lowest = picture.convert("RGBA").getchannel("A").getextrema()[0]
        if lowest != 255:
            raise ValueError("it has transparent pixels; put it on a background first")
    return picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")


def _without_needless_colour(picture: Picture) -> Picture:
    if picture.ndim == 3 and bool((picture == picture[..., :1]).all()):
        return picture[..., 0]
    return picture
