"""Social cards: pictures made from a figure's poster for link previews.

Services show the card when a user shares the site's address. It has 1200×630 pixels: the model's
samples with the title and the authors next to them, as far as the theme's font has the characters.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from sitegen.core.files import digest, platform_errors
from sitegen.core.installed import resource
from sitegen.media.exports import read_picture
from sitegen.media.manifest import MediaFile
from sitegen.media.typeface import (
    REGULAR,
    SHIPPED,
    Typeface,
    font,
    missing_letters,
    read_typeface,
)

CARD_SIZE = (1200, 630)
"""Size of a card in pixels, which every service with link previews accepts."""

TILE_SIZE = (600, 315)
"""Size of a card on a page, in pixels."""

_INK, _SOFT, _BASE, _DEEP = (255, 255, 255), (205, 212, 238), (51, 66, 121), (24, 31, 61)
_MARGIN, _SAMPLES = 56, 518
_FONT = ImageFont.FreeTypeFont
_PAGES = read_typeface(*(resource("static") / f"text-{weight}.woff2" for weight in (400, 600)))
"""The typeface of pages in English, which has kerning; SHIPPED has more letters."""


def card(
    poster: Path | None,
    title: str,
    authors: Iterable[str],
    venue: str | None,
    typeface: Typeface = _PAGES,
) -> Image.Image:
    """Return the card of a site; without a poster it has only text."""
    picture = Image.new("RGB", CARD_SIZE)
    pen = ImageDraw.Draw(picture)
    for y in range(picture.height):
        at = y / (picture.height - 1)
        colour = (round(deep + (base - deep) * at) for deep, base in zip(_DEEP, _BASE, strict=True))
        pen.line((0, y, picture.width, y), fill=tuple(colour))
    room = CARD_SIZE[0] - 2 * _MARGIN
    if poster is not None:
        samples = _fitted(read_picture(poster))
        left = CARD_SIZE[0] - _MARGIN - samples.width
        picture.paste(samples, (left, (CARD_SIZE[1] - samples.height) // 2))
        room = left - 2 * _MARGIN
    _write(picture, room, (title, ", ".join(authors), venue or ""), typeface)
    return picture


def tile(*words: Any) -> Image.Image:
    """Return the `card` at half size, for a page with the cards of several sites."""
    return card(*words).resize(TILE_SIZE, Image.Resampling.LANCZOS)


def save(picture: Image.Image, path: Path) -> MediaFile:
    """Write a picture as PNG or WebP, depending on the file name, and return its description."""
    with platform_errors(path):
        picture.save(path, compress_level=9, quality=50, method=4)  # first for PNG, then WebP
        size = path.stat().st_size
    return MediaFile(path.name, size, digest(path), picture.width, picture.height)


def _fitted(poster: Image.Image) -> Image.Image:
    """Return the centre of a poster as a square of 518 pixels."""
    side = min(poster.size)
    left, top = (poster.width - side) // 2, (poster.height - side) // 2
    square = poster.crop((left, top, left + side, top + side))
    return square.resize((_SAMPLES, _SAMPLES), Image.Resampling.LANCZOS)


def _write(
    picture: Image.Image, room: int, words: tuple[str, str, str], typeface: Typeface
) -> None:
    """Write title, authors and venue, those that the typeface supports, as large as they fit into
    `room` pixels.
    """
    title, authors, venue = words
    blocks = [
        (_lines(typeface, title, room, sizes=(60, 54, 48, 42, 36, 30), most=5), _INK, 1.18, 0),
        (_lines(typeface, authors, room, sizes=(28, 24), most=3), _SOFT, 1.3, 34),
        (_lines(typeface, venue, room, sizes=(24, 20), most=3), _SOFT, 1.3, 12),
    ]
    drawn = [block for block in blocks if block[0][1]]
    height = sum(len(lines) * face.size * lead + gap for (face, lines), _, lead, gap in drawn)
    pen, y = ImageDraw.Draw(picture), (picture.height - height) / 2
    for (face, lines), colour, lead, gap in drawn:
        y += gap
        for line in lines:
            pen.text((_MARGIN, y), line, fill=colour, font=face)
            y += face.size * lead


def _lines(
    typeface: Typeface, text: str, room: int, sizes: tuple[int, ...], most: int
) -> tuple[_FONT, list[str]]:
    """Break a text into lines at the largest size that fits; no lines if letters are missing."""
    needed = "".join(text.split())
    letters = font(sizes[-1], REGULAR, typeface)
    if typeface == _PAGES and missing_letters(letters, needed):
        typeface = SHIPPED
        letters = font(sizes[-1], REGULAR, typeface)
    if missing_letters(letters, needed):
        return letters, []
    for size in sizes:
        letters = font(size, REGULAR, typeface)
        lines = list(_wrapped(text, letters, room))
        if len(lines) <= most and all(letters.getlength(line) <= room for line in lines):
            return letters, lines
    return letters, list(_wrapped(text, letters, room))[:most]


def _wrapped(text: str, font: _FONT, room: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > room:
            yield line
            longer = word
        line = longer
    if line:
        yield line
