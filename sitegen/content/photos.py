"""Pictures of an author's own: read, checked and measured, so that a page can keep their place."""

from __future__ import annotations

import io
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sitegen.core.inputs import once_a_file
from sitegen.core.site_files import OwnFile, SiteFolder, media_copy, read_own
from sitegen.media.svg import svg_size

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "MPO": ".jpg",  # a JPEG of a phone with a second one behind it, which browsers pass over
    "WEBP": ".webp",
    "GIF": ".gif",
    "AVIF": ".avif",
}
_FORMATS = [name for name in _SUFFIXES if name != "MPO"]  # it is opened as JPEG
_XML = re.compile(rb"\s*(\xef\xbb\xbf)?\s*(<\?xml|<!--|<!DOCTYPE\s+svg|<svg)", re.IGNORECASE)
_ORIENTATION = 0x0112
_TURNED = frozenset({5, 6, 7, 8})  # orientations of EXIF that lay a picture on its side
_LARGEST = 80_000_000  # pixels; some browsers show nothing of larger ones
_TOO_LARGE = f"has more than {_LARGEST // 1_000_000} million pixels; make it smaller"


@dataclass(frozen=True)
class Photo:
    """A picture to be copied; width and height in pixels, as a browser shows it."""

    file: OwnFile
    width: int
    height: int


def read_photo(folder: SiteFolder, name: str) -> Photo:
    """Read a picture of the author's; ValueError says why a page cannot show it.

    It is decoded whole, so that a damaged one is found here and not by a reader, and once, however
    often pages are read.
    """
    return _read(folder.find(name))


@once_a_file
def _read(path: Path) -> Photo:
    data = read_own(path)
    suffix, size = (".svg", svg_size(data)) if _XML.match(data) else _measure(data)
    return Photo(media_copy(path, data, suffix), *size)


def _measure(data: bytes) -> tuple[str, tuple[int, int]]:
    """The suffix that fits the content, and the size as shown."""
    from PIL import Image, UnidentifiedImageError  # a page without pictures does without

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Pillow mends, and of the size, told below
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if math.prod(image.size) > _LARGEST:
                    raise ValueError(_TOO_LARGE)
                image.load()
                return _SUFFIXES[str(image.format)], _shown(image)
    except UnidentifiedImageError:
        raise ValueError(
            "is no picture that browsers show; save it as PNG, JPEG, WebP, GIF, AVIF or SVG"
        ) from None
    except Image.DecompressionBombError:
        raise ValueError(_TOO_LARGE) from None
    except (OSError, SyntaxError, EOFError, MemoryError) as error:
        raise ValueError(f"is damaged: {error}; save it again") from error


def _shown(image: Image.Image) -> tuple[int, int]:
    """The size as browsers show it: they turn a picture as its EXIF says, except WebP."""
    turned = image.format != "WEBP" and image.getexif().get(_ORIENTATION) in _TURNED
    return image.size[::-1] if turned else image.size
