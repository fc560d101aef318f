"""The shipped typeface, for text in drawings and in pictures.

Its files come from scripts/subset-font.sh; their licence is static/OFL.txt.
"""

import base64
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FAMILY = "Sitegen Text"
REGULAR, BOLD = 400, 600
"""Weights."""
_FONTS = Path(__file__).parent / "fonts"


@cache
def font(size: int, weight: int = REGULAR) -> "FreeTypeFont":
    """Return the typeface for Pillow, at a size in pixels."""
    from PIL import ImageFont

    return ImageFont.truetype(_FONTS / f"letters-{weight}.woff2", size)


@cache
def font_face(weight: int) -> str:
    """Return the CSS rule that carries a weight of the typeface in itself."""
    data = base64.b64encode((_FONTS / f"letters-{weight}.woff2").read_bytes()).decode()
    source = f"url(data:font/woff2;base64,{data})"
    return f'@font-face {{ font-family: "{FAMILY}"; font-weight: {weight}; src: {source}; }}\n'
