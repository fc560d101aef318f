"""References, anchors and missing text alternatives of an HTML page.

The page is read with Python's own parser, which tolerates mistakes as browsers do and records the
line of each tag.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Literal

Role = Literal["link", "load", "play", "later", "address", "label"]
"""The purpose of a reference.

link: followed by a reader
load: fetched with the page
play: a clip, fetched when it is played
later: another file, fetched on demand
address: an absolute address in metadata
label: the id of an element that names another
"""

_VOID = {"area", "base", "br", "col", "embed", "hr", "img"}
_VOID |= {"input", "link", "meta", "source", "track", "wbr"}
_LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "manifest", "apple-touch-icon"}
_PAINTS = ("style", "fill", "stroke", "filter", "mask", "clip-path")
"""Attributes that may contain `url(…)`."""

_REFRESH = re.compile(r"""[\s\d.]*[;,]\s*(?:url\s*=\s*)?["']?(?P<uri>[^"']+)""", re.I)
_ADDRESSES = {"og:image", "og:url", "og:video", "twitter:image"}
_NEEDS_NAME = {
    "video": "the clip has no text",
    "audio": "the sound has no text",
    "iframe": "the frame has no title",
    "object": "the object has no words",
    "canvas": "the canvas has no text",
    "embed": "the object has no words",
}
_LOADED: dict[str, Role] = {"src": "load", "data": "load"}
_NAMED_BY_CONTENT = {"a": "the link", "button": "the button", "summary": "the summary"}
_SAY = 'describe it in aria-label="…"'


_ATTRIBUTES: dict[str, dict[str, Role]] = {
    "a": {"href": "link", "xlink:href": "link"},
    "area": {"href": "link"},
    "form": {"action": "link"},
    "button": {"formaction": "link"},
    "input": {"formaction": "link"},
    **dict.fromkeys(("img", "script", "iframe", "embed", "object", "source"), _LOADED),
    "track": {"src": "later"},
}
"""Reference attributes of each element."""

_EVEN_EMPTY = {"href", "src", "data"}  # if empty, they refer to the page itself


@dataclass(frozen=True)
class Reference:
    """A reference in a page.

    group: references of one group are alternatives, of which a browser takes one
    """

    uri: str
    line: int
    role: Role
    group: int


@dataclass
class HtmlScan:
    """The references and elements of a page; `ids` counts each id.

    nameless: elements without a text alternative: the line, and a message
    base: the page's <base>
    """

    references: list[Reference] = field(default_factory=list)
    ids: Counter[str] = field(default_factory=Counter)
    nameless: list[tuple[int, str]] = field(default_factory=list)
    base: Reference | None = None
    language: bool = False
    title: bool = False


def scan(html: str) -> HtmlScan:
    """Parse a page. Never fails: invalid parts are ignored."""
    scanner = _Scanner()
    scanner.feed(html)
    scanner.close()
    return scanner.found


@dataclass
class _Open:
    """An open element; `named` becomes true when something in it has text."""

    tag: str
    line: int
    attributes: Mapping[str, str]
    hidden: bool
    named: bool
    group: int


class _Scanner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = HtmlScan()
        self._open: list[_Open] = []
        self._count = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the element's references and text alternative."""
        self._count += 1
        values = {name: value or "" for name, value in reversed(attrs)}
        outer = self._open[-1] if self._open else None
        hidden = values.get("aria-hidden") == "true" or bool(outer and outer.hidden)
        group = outer.group if outer and outer.tag == "picture" else self._count
        labels = ("aria-label", "aria-labelledby", "title")
        named = any(values.get(name, "").strip() for name in labels)
        element = _Open(tag, self.getpos()[0], values, hidden, named, group)
        self._note(element)
        if tag in _VOID:
            self._judge(element)
        else:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Close `<path/>` at once, as in SVG; HTML's own elements do not close like that."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID and any(each.tag == "svg" for each in self._open):
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check the element that ends, and unclosed elements in it."""
        if all(each.tag != tag for each in self._open):
            return
        while self._open:
            element = self._open.pop()
            self._judge(element)
            if element.tag == tag:
                return

    def handle_data(self, data: str) -> None:
        """Mark all open elements as named by text; read the references of a stylesheet."""
        if self._open and self._open[-1].tag == "style":
            for line, uri in css_uris(data):
                self._refer(uri, self.getpos()[0] + line - 1, "load")
        elif data.strip() and self._open and not self._open[-1].hidden:
            self._name(data)

    def close(self) -> None:
        """Check elements that were never closed."""
        super().close()
        while self._open:
            self._judge(self._open.pop())

    def _name(self, words: str) -> None:
        tag = self._open[-1].tag
        if tag == "title" and all(each.tag != "svg" for each in self._open):
            self.found.title = True
        for element in self._open:
            if element.tag in _NAMED_BY_CONTENT or (element.tag == "svg" and tag == "title"):
                element.named = True

    def _note(self, element: _Open) -> None:
        values = element.attributes
        if "id" in values:
            self.found.ids[values["id"]] += 1
        elif element.tag == "a" and "name" in values:
            self.found.ids[values["name"]] += 1
        if element.tag == "html":
            self.found.language = bool(values.get("lang"))
        if element.tag == "img" and values.get("alt", "").strip() and not element.hidden:
            self._name(values["alt"])
        clips = [each for each in (*self._open, element) if each.tag in {"video", "audio"}]
        for uri, role in _references(element.tag, values, clips[-1].attributes if clips else None):
            group = element.group if element.tag in {"img", "source"} and not clips else None
            self._refer(uri, element.line, role, group)
        if element.tag == "base" and "href" in values:
            self.found.base = self.found.base or Reference(values["href"], element.line, "link", 0)

    def _refer(self, uri: str, line: int, role: Role, group: int | None = None) -> None:
        """Record a reference, in a new group unless one is given."""
        found = self.found.references
        found.append(Reference(uri, line, role, -len(found) - 1 if group is None else group))

    def _judge(self, element: _Open) -> None:
        fault = None if element.hidden else _nameless(element)
        if fault:
            self.found.nameless.append((element.line, fault))


def _nameless(element: _Open) -> str | None:
    """Return the message for an element without a text alternative, at its end."""
    tag, values = element.tag, element.attributes
    if values.get("role") in {"presentation", "none"}:
        return None
    if tag == "img" or (tag == "area" and "href" in values):
        if "alt" in values or element.named:
            return None
        return 'the picture has no alt; describe it, or write alt="" if it is decorative'
    if element.named:
        return None
    if _is_picture_button(tag, values) and not values.get("alt", "").strip():
        return 'the button has no text; write it in alt="…"'
    if tag in _NEEDS_NAME:
        return f"{_NEEDS_NAME[tag]}; {_SAY}"
    if tag == "svg" or values.get("role") == "img":
        return f'the drawing has no text; {_SAY}, or aria-hidden="true" if it is decorative'
    if tag in _NAMED_BY_CONTENT and (tag != "a" or "href" in values):
        return f'{_NAMED_BY_CONTENT[tag]} has no text; add text or aria-label="…"'
    return None


def _is_picture_button(tag: str, values: Mapping[str, str]) -> bool:
    return tag == "input" and values.get("type", "").lower() == "image"


def _references(
    tag: str, values: Mapping[str, str], clip: Mapping[str, str] | None
) -> Iterator[tuple[str, Role]]:
    """Yield the references of an element; `clip` has the attributes of its video or audio
    element.
    """
    for name in ("aria-labelledby", "aria-describedby"):
        yield from ((f"#{name_of}", "label") for name_of in values.get(name, "").split())
    for name in _PAINTS:
        yield from ((uri, "load") for _, uri in css_uris(values.get(name, "")))
    if clip is not None and tag in {"video", "audio", "source"}:
        if "poster" in values:
            yield values["poster"], "load"
        if "src" in values:
            at_once = "autoplay" in clip or clip.get("preload") in {"auto", ""}
            yield values["src"], "load" if at_once else "play"
        return
    for name, role in _ATTRIBUTES.get(tag, {}).items():
        if values.get(name) or (name in _EVEN_EMPTY and name in values):
            yield values[name], role
    if tag == "link":
        kinds = set(values.get("rel", "").lower().split())
        if "href" in values and kinds & {"canonical", "alternate"}:
            yield values["href"], "address"
        elif "href" in values and kinds & _LOADED_LINKS:
            yield values["href"], "load"
    elif tag == "meta":
        yield from _of_meta(values)
    elif _is_picture_button(tag, values) and "src" in values:
        yield values["src"], "load"
    elif tag in {"image", "use"} and (uri := values.get("href", values.get("xlink:href"))):
        yield uri, "load"
    else:
        candidates = values.get("srcset", values.get("imagesrcset", "")).split(",")
        yield from ((each.split()[0], "load") for each in candidates if each.strip())


def _of_meta(values: Mapping[str, str]) -> Iterator[tuple[str, Role]]:
    content = values.get("content", "")
    if values.get("property", values.get("name")) in _ADDRESSES:
        yield content, "address"
    refresh = _REFRESH.match(content) if values.get("http-equiv", "").lower() == "refresh" else None
    if refresh:
        yield refresh["uri"].strip(), "link"


def css_uris(text: str) -> Iterator[tuple[int, str]]:
    """Yield the references of a stylesheet, each with its line."""
    plain = re.sub(r"/\*.*?\*/", lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=re.S)
    pattern = r"""url\(\s*(["']?)(?P<uri>.*?)\1\s*\)|@import\s+(["'])(?P<sheet>.*?)\3"""
    for found in re.finditer(pattern, plain):
        uri = found["uri"] or found["sheet"] or ""
        yield plain.count("\n", 0, found.start()) + 1, uri
