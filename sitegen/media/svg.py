"""SVG images of the author's: their size, and checks that they are only images.

A browser runs no script of an SVG in an `<img>`, but it does if a reader opens the file itself, on
the site's address. It also loads nothing that an SVG in an `<img>` refers to outside the file, so
the image would be incomplete. Both are rejected.
"""

import re
from collections.abc import Mapping
from typing import NoReturn
from xml.parsers import expat

_SVG = "http://www.w3.org/2000/svg"
_ACTIVE = frozenset({"script", "foreignobject", "iframe", "embed", "object", "handler", "listener"})
_LINKS = frozenset({"href", "src", "action", "formaction", "data"})
_OUTSIDE = re.compile(r"@import|url\((?!\s*(?:['\"]\s*)?(?:#|data:))|expression\(", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:([0-9a-f]{1,6})\s?|(.))", re.IGNORECASE | re.DOTALL)
_LENGTH = re.compile(r"([0-9.]+(?:[eE][+-]?\d+)?)\s*(px|pt|pc|mm|cm|in|q|)", re.IGNORECASE)
_PIXELS = {"": 1, "px": 1, "pt": 4 / 3, "pc": 16, "in": 96, "cm": 96 / 2.54, "mm": 96 / 25.4}
_PIXELS |= {"q": 96 / 101.6}


def svg_size(data: bytes) -> tuple[int, int]:
    """Return the width and height of an SVG image in pixels, at least 1.

    They come from `width` and `height` in absolute units (CSS Values 4, §6.2: 96 pixels an inch),
    else from the `viewBox`. Raises ValueError if the data is not SVG, has no size, or is more than
    an image.
    """
    reading = _Reading()
    try:
        reading.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"is not well-formed SVG: {error}") from error
    return _size(reading.root)


class _Reading:
    """One pass over the file, which stops at the first thing that images do not need."""

    def __init__(self) -> None:
        self.root: Mapping[str, str] = {}
        self.started = False
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self.parser.StartElementHandler = self._element
        self.parser.CharacterDataHandler = self._text
        self.parser.EntityDeclHandler = lambda name, *_: _refuse(
            f"the entity {name}", "save it without entities, as plain SVG"
        )
        self.parser.ProcessingInstructionHandler = lambda target, _: _refuse(
            f"<?{target} …?>", "remove it"
        )
        self.parser.buffer_text = True

    def _element(self, name: str, attributes: Mapping[str, str]) -> None:
        space, _, local = name.rpartition(" ")
        if not self.started:
            if (space, local) != (_SVG, "svg"):
                raise ValueError(
                    f'is not SVG: it begins with <{local}>, not with <svg xmlns="{_SVG}">'
                )
            self.root, self.started = attributes, True
        if local.lower() in _ACTIVE:
            _refuse(f"<{local}>", "remove it")
        for key, value in attributes.items():
            _attribute(local.lower(), key.rpartition(" ")[2].lower(), value)

    def _text(self, text: str) -> None:  # an import can only be CSS
        if _OUTSIDE.search(_unescaped(text)):
            _refuse("a style that loads from outside the file", "put it inside")


def _attribute(element: str, name: str, value: str) -> None:
    if name.startswith("on"):
        _refuse(f"{name}=…, which is a script", "remove it")
    plain = re.sub(r"[\x00-\x20]", "", value).lower()
    web = element == "a" and plain.startswith(("https://", "http://"))
    if name in _LINKS and not web and plain and not plain.startswith(("#", "data:image/")):
        _refuse(f"{name}={value[:40]!r}, which leads out of the file", "put it inside")
    if name == "attributename" and plain.rpartition(":")[2] in _LINKS:
        _refuse("an animated link", "remove it")
    if name != "d" and _OUTSIDE.search(_unescaped(value)):
        _refuse(f"{name}={value[:40]!r}, which loads from outside the file", "put it inside")


def _unescaped(text: str) -> str:
    r"""Return CSS as a browser reads it: \75 is u, and \r without a hexadecimal digit is r."""

    def character(found: re.Match[str]) -> str:
        code = int(found[1], 16) if found[1] else 0
        return chr(code) if 0 < code < 0x110000 else found[2] or ""

    return _ESCAPE.sub(character, text)


def _refuse(what: str, remedy: str) -> NoReturn:
    raise ValueError(f"is SVG with {what}; {remedy}, or save the picture as PNG")


def _size(root: Mapping[str, str]) -> tuple[int, int]:
    width, height = (_pixels(root.get(name, "")) for name in ("width", "height"))
    box = re.split(r"[\s,]+", root.get("viewBox", "").strip())
    try:
        _, _, across, down = (float(number) for number in box)
    except ValueError:
        across = down = 0.0
    if across > 0 and down > 0:
        wide = across if height is None else height * across / down
        tall = down if width is None else width * down / across
        width, height = wide if width is None else width, tall if height is None else height
    if not (width and height and width < 1e5 and height < 1e5):
        raise ValueError("has no size: give its <svg> a viewBox, or width and height in pixels")
    return max(1, round(width)), max(1, round(height))


def _pixels(length: str) -> float | None:
    """Return an absolute length in pixels; None if it is missing or relative, as in 100%."""
    found = _LENGTH.fullmatch(length.strip())
    try:
        return float(found[1]) * _PIXELS[found[2].lower()] if found else None
    except ValueError:
        return None
