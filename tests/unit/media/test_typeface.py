"""The typeface of words in drawings and on pages."""

import base64
import io
import re
from pathlib import Path

from fontTools.ttLib import TTFont

from sitegen.config.loader import load_site
from sitegen.core.installed import resource
from sitegen.figures.svg import Drawing, element, label
from sitegen.media.typeface import BOLD, REGULAR, SHIPPED, font, font_face


def test_drawn_typeface_is_the_keyed_one(tmp_path: Path) -> None:
    """An edit while a site is built changes neither the digest nor what is drawn; a new read does.

    Until it was read once, the edited typeface was drawn and stored under the key of the old one.
    """
    path, config = tmp_path / "own.woff2", tmp_path / "site.toml"
    config.write_text('title = "T"\n[theme]\nfont = "own.woff2"\n')
    path.write_bytes(SHIPPED.bold)
    site = load_site(config)
    before = site.typeface.digest
    path.write_bytes(SHIPPED.regular)
    assert site.typeface.digest == before
    assert font_face("Heat", REGULAR, site.typeface) == font_face("Heat", BOLD).replace(
        ": 600;", ": 400;"
    )
    drawn = font(40, REGULAR, site.typeface).getlength("Heat")
    assert drawn == font(40, BOLD).getlength("Heat") != font(40).getlength("Heat")
    assert load_site(config).typeface.digest != before


def characters(data: bytes) -> set[str]:
    """The characters that a typeface's file has."""
    return {chr(code) for code in TTFont(io.BytesIO(data)).getBestCmap()}


def test_drawing_has_the_letters_of_its_words() -> None:
    """A drawing carries the letters of its words alone, also those that SVG escapes."""
    bold = element("tspan", "q", font_weight=BOLD)
    words = label(1, 2, "a < b & σ", bold, "r", size=3, class_="xyz")
    body = words + label(1, 2, "é", size=3, font_weight=BOLD)
    wanted = {REGULAR: set("a < b & σr"), BOLD: set("qé")}
    drawn = [Drawing(9, 9, 9, "Title", body).text() for _ in range(2)]
    assert drawn[0] == drawn[1]
    fonts = re.findall(r"font-weight: (\d+); src: url\(data:font/woff2;base64,([^)]+)\)", drawn[0])
    assert [int(weight) for weight, _ in fonts] == [REGULAR, BOLD]
    for weight, data in fonts:
        file = base64.b64decode(data)
        assert characters(file) == wanted[int(weight)]
        assert len(file) < len(SHIPPED.file(int(weight))) / 8
    assert "@font-face" not in Drawing(9, 9, 9, "Title", element("g")).text()
    assert characters(_letters("x中")) == {"x"}


def _letters(words: str) -> bytes:
    """The file in a rule for these words."""
    (data,) = re.findall(r"base64,([^)]+)", font_face(words))
    return base64.b64decode(data)


def test_pages_load_each_letter_once() -> None:
    """The two files of a weight share no character, have all of them, and say so in the sheet."""
    sheet = (resource("static") / "style.css").read_text(encoding="utf-8")
    for weight in (REGULAR, BOLD):
        text, more = (
            characters((resource("static") / f"{name}-{weight}.woff2").read_bytes())
            for name in ("text", "more")
        )
        assert not text & more
        assert text | more == characters(SHIPPED.file(weight))
        (ranges,) = re.findall(rf"more-{weight}.woff2[^}}]+unicode-range:([^;]+);", sheet)
        bounds = re.findall(r"U\+([0-9A-F]+)(?:-([0-9A-F]+))?", ranges)
        told = {
            chr(n) for low, high in bounds for n in range(int(low, 16), int(high or low, 16) + 1)
        }
        assert more <= told
        assert not told & text
