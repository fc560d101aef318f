"""The typeface of words in drawings, clips, strips and cards: shipped, or of an author.

The shipped files come from scripts/subset-font.sh; their licence is static/OFL.txt.
"""

import base64
import io
import logging
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sitegen.core.files import digest_bytes, platform_errors
from sitegen.media.look import drawings

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FAMILY = "Sitegen Text"
REGULAR, BOLD = 400, 600
"""Weights."""
LARGEST = 100_000
"""Bytes of an author's file, at most; every page loads it."""
_FONTS = Path(__file__).parent / "fonts"


@dataclass(frozen=True)
class Typeface:
    """The content of a typeface's files, WOFF2, in its two weights.

    It is read once, so that words are drawn in the typeface whose digest is in the key.
    """

    regular: bytes
    bold: bytes

    @property
    def digest(self) -> str:
        """Digest of both files; empty for the shipped typeface, which is in no key."""
        return "" if self == SHIPPED else digest_bytes(self.regular + self.bold)

    def file(self, weight: int) -> bytes:
        """Return the content of a weight's file."""
        return self.bold if weight == BOLD else self.regular


def read_typeface(regular: Path, bold: Path) -> Typeface:
    """Read a typeface. Raises PlatformError if a file cannot be read."""
    content = []
    for path in (regular, bold):
        with platform_errors(path, "read"):
            content.append(path.read_bytes())
    return Typeface(*content)


SHIPPED = read_typeface(_FONTS / "letters-400.woff2", _FONTS / "letters-600.woff2")


def font(size: int, weight: int = REGULAR, typeface: Typeface = SHIPPED) -> "FreeTypeFont":
    """Return a typeface for Pillow, at a size in pixels."""
    return _font(typeface.file(weight), size)


@cache
def _font(content: bytes, size: int) -> "FreeTypeFont":
    from PIL import ImageFont

    return ImageFont.truetype(io.BytesIO(content), size)


def font_face(words: str, weight: int = REGULAR, typeface: Typeface = SHIPPED) -> str:
    """Return the CSS rule that carries a weight of a typeface in itself, as far as `words` need."""
    letters = _subset(typeface.file(weight), "".join(sorted(set(words))))
    data = base64.b64encode(letters).decode()
    source = f"url(data:font/woff2;base64,{data})"
    return f'@font-face {{ font-family: "{FAMILY}"; font-weight: {weight}; src: {source}; }}\n'


@cache
def _subset(content: bytes, letters: str) -> bytes:
    """Return a WOFF2 file with these characters only, as far as the given one has them."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it tells what it leaves out
    options = Options(hinting=False, bidi_closure=False)
    options.layout_features = [*options.layout_features, *drawings.FEATURES]
    subsetter = Subsetter(options)
    subsetter.populate(text=letters)
    font, file = TTFont(io.BytesIO(content), recalcTimestamp=False), io.BytesIO()
    subsetter.subset(font)
    font.flavor = "woff2"
    font.save(file)
    return file.getvalue()


def font_fault(path: Path) -> str | None:
    """Return why an author's file cannot be the typeface of a site; None if it can."""
    from PIL import ImageFont

    if path.suffix != ".woff2" or not path.is_file():
        return "should be a .woff2 file in the site's folder"
    if path.stat().st_size > LARGEST:
        return f"is larger than {LARGEST // 1000} kB; leave letters out of it, as pyftsubset does"
    try:
        letters = ImageFont.truetype(path, 20)
        _subset(path.read_bytes(), "A")
    except Exception:  # fontTools raises all kinds of them for a damaged table
        return "is not a typeface that can be read"
    lacking = missing_letters(letters, string.ascii_letters + string.digits)
    return f"lacks the letters {lacking}" if lacking else None


def missing_letters(letters: "FreeTypeFont", text: str) -> str:
    """Return those characters of a text that a typeface lacks."""
    box = bytes(letters.getmask("\uffff"))  # the glyph for missing characters
    return "".join(each for each in dict.fromkeys(text) if bytes(letters.getmask(each)) == box)
