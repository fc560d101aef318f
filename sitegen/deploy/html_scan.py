"""References and anchors of an HTML page.

The page is read with Python's own parser, which tolerates mistakes as browsers do and records the
line of each tag.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
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
_LOADED = ("src", "data", "poster", "data-sampler", "data-worker", "data-atlas")
_MAY_BE_EMPTY = {"href", "src", "data"}  # an empty one refers to the page itself
_ADDRESSES = {"og:image", "og:url", "og:video", "twitter:image"}


@dataclass(frozen=True)
class Reference:
    """A reference in a page, with its line."""

    uri: str
    line: int
    role: Role


@dataclass
class HtmlScan:
    """The references of a page, and the count of each id."""

    references: list[Reference] = field(default_factory=list)
    ids: Counter[str] = field(default_factory=Counter)


def scan(html: str) -> HtmlScan:
    """Parse a page. Never fails: invalid parts are ignored."""
    scanner = _Scanner()
    scanner.feed(html)
    scanner.close()
    return scanner.result


class _Scanner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.result = HtmlScan()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the element's id and references."""
        values = {name: value or "" for name, value in reversed(attrs)}  # the first one counts
        if "id" in values or (tag == "a" and "name" in values):
            self.result.ids[values.get("id", values.get("name", ""))] += 1
        line = self.getpos()[0]
        self.result.references += [Reference(uri, line, role) for uri, role in _uris(tag, values)]


def _uris(tag: str, values: Mapping[str, str]) -> Iterator[tuple[str, Role]]:
    for name in ("aria-labelledby", "aria-describedby"):
        yield from ((f"#{id}", "label") for id in values.get(name, "").split())
    for name in _LOADED:
        if values.get(name) or (name in _MAY_BE_EMPTY and name in values):
            yield values[name], "load"
    for candidate in values.get("srcset", values.get("imagesrcset", "")).split(","):
        if candidate.strip():
            yield candidate.split()[0], "load"
    href = values.get("href", values.get("xlink:href"))
    if href is not None and tag == "a":
        yield href, "link"
    elif href and tag in {"image", "use"}:
        yield href, "load"
    elif href is not None and tag == "link":
        relations = set(values.get("rel", "").lower().split())
        if relations & {"canonical", "alternate"}:
            yield href, "address"
        elif relations & _LOADED_LINKS:
            yield href, "load"
    elif tag == "meta" and values.get("property", values.get("name")) in _ADDRESSES:
        yield values.get("content", ""), "address"
