"""References and anchors of an HTML page.

The page is read with Python's own parser, which tolerates mistakes as browsers do and records the
line of each tag.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Literal

Role = Literal["link", "load", "address", "label"]
"""The purpose of a reference.

link: followed by a reader
load: a file that is fetched for the page
address: an absolute address in metadata
label: the id of an element that names another
"""

_LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "manifest", "apple-touch-icon"}
_PAINTS = ("style", "fill", "stroke", "filter", "mask", "clip-path")
"""Attributes that may contain `url(…)`."""

_ADDRESSES = {"og:image", "og:url", "og:video", "twitter:image"}
_LOADED: dict[str, Role] = {"src": "load", "data": "load"}
_PLAYED: dict[str, Role] = {"src": "load", "poster": "load"}

_ATTRIBUTES: dict[str, dict[str, Role]] = {
    "a": {"href": "link", "xlink:href": "link"},
    **dict.fromkeys(("img", "iframe", "embed", "object"), _LOADED),
    "script": {**_LOADED, "data-sampler": "load", "data-worker": "load"},
    **dict.fromkeys(("video", "audio", "source", "track"), _PLAYED),
}
"""Reference attributes of each element."""

_EVEN_EMPTY = {"href", "src", "data"}  # if empty, they refer to the page itself


@dataclass(frozen=True)
class Reference:
    """A reference in a page, with its line."""

    uri: str
    line: int
    role: Role


@dataclass
class HtmlScan:
    """The references of a page, the count of each id, and its <base>."""

    references: list[Reference] = field(default_factory=list)
    ids: Counter[str] = field(default_factory=Counter)
    base: Reference | None = None


def scan(html: str) -> HtmlScan:
    """Parse a page. Never fails: invalid parts are ignored."""
    scanner = _Scanner()
    scanner.feed(html)
    scanner.close()
    return scanner.found


class _Scanner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found = HtmlScan()
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the element's id and references."""
        values = {name: value or "" for name, value in reversed(attrs)}
        line, self._style = self.getpos()[0], tag == "style"
        if "id" in values or (tag == "a" and "name" in values):
            self.found.ids[values.get("id", values.get("name", ""))] += 1
        for uri, role in _references(tag, values):
            self.found.references.append(Reference(uri, line, role))
        if tag == "base" and "href" in values:
            self.found.base = self.found.base or Reference(values["href"], line, "link")

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a stylesheet."""
        self._style = False

    def handle_data(self, data: str) -> None:
        """Read the references of a stylesheet."""
        for line, uri in css_uris(data) if self._style else ():
            self.found.references.append(Reference(uri, self.getpos()[0] + line - 1, "load"))


def _references(tag: str, values: Mapping[str, str]) -> Iterator[tuple[str, Role]]:
    for name in ("aria-labelledby", "aria-describedby"):
        yield from ((f"#{name_of}", "label") for name_of in values.get(name, "").split())
    for name in _PAINTS:
        yield from ((uri, "load") for _, uri in css_uris(values.get(name, "")))
    for name, role in _ATTRIBUTES.get(tag, {}).items():
        if values.get(name) or (name in _EVEN_EMPTY and name in values):
            yield values[name], role
    if tag == "link":
        kinds = set(values.get("rel", "").lower().split())
        if "href" in values and kinds & {"canonical", "alternate"}:
            yield values["href"], "address"
        elif "href" in values and kinds & _LOADED_LINKS:
            yield values["href"], "load"
    elif tag == "meta" and values.get("property", values.get("name")) in _ADDRESSES:
        yield values.get("content", ""), "address"
    elif tag in {"image", "use"} and (uri := values.get("href", values.get("xlink:href"))):
        yield uri, "load"
    else:
        candidates = values.get("srcset", values.get("imagesrcset", "")).split(",")
        yield from ((each.split()[0], "load") for each in candidates if each.strip())


_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)  # the end of the file closes it as well
_CSS_URI = re.compile(
    r"""url\(\s*(?:"([^"\n]*)|'([^'\n]*)|([^)\n]*))|@import\s+(?:"([^"\n]*)|'([^'\n]*))"""
)


def css_uris(text: str) -> Iterator[tuple[int, str]]:
    """Yield the references of a stylesheet, each with its line."""
    plain = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for line, found in with_lines(_CSS_URI.finditer(plain)):
        yield line, next(filter(None, found.groups()), "").strip()


def with_lines(
    matches: Iterable[re.Match[str]], group: int = 0
) -> Iterator[tuple[int, re.Match[str]]]:
    """Yield the matches in a text in order, each with the line where its group starts."""
    line, at = 1, 0
    for found in matches:
        line, at = line + found.string.count("\n", at, found.start(group)), found.start(group)
        yield line, found
