"""The search of a site: an index of its sections, which a page fetches when it is first used.

The index is a script rather than JSON, because a page that is opened from the file system may load
scripts, but may not fetch files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

from markupsafe import Markup

from sitegen.content.pages import Page
from sitegen.core.files import digest_bytes

MANY_PAGES = 8
"""Largest number of pages for which the menu suffices, without a search."""

_HEADINGS = frozenset({"h2", "h3", "h4", "h5", "h6"})
_WORDS = "a b code em i s span strong sub sup"
_MATHS = "math mfrac mi mn mo mrow msub msubsup msup mtext semantics"
_INLINE = frozenset(f"{_WORDS} {_MATHS}".split())


@dataclass(frozen=True)
class Search:
    """What the search of a large site needs.

    script: a link to the script of the search
    index: a link to the index, which the script fetches on first use
    root: what links of the index begin with, from this page to the root of the site
    """

    script: str
    index: str
    root: str


def search_index(pages: Iterable[Page]) -> tuple[str, str]:
    """Return the path and the text of the index: link, page, heading and text of each section."""
    sections = [[*section] for page in pages for section in _sections(page)]
    text = f"sitegenSearch({json.dumps(sections, ensure_ascii=False, separators=(',', ':'))});\n"
    return f"assets/sections-{digest_bytes(text.encode())[:8]}.js", text


def _sections(page: Page) -> Iterator[tuple[str, str, str, str]]:
    """Yield link, title of the page, heading and text of each section, in order."""
    reader = _Reader()
    for part in page.body:
        if isinstance(part, Markup):
            reader.feed(str(part))
        else:
            reader.handle_data(f" {getattr(part, 'caption', '')} ")
    for id, heading, text in reader.sections:
        words = " ".join("".join(text).split())
        title = " ".join("".join(heading).split())
        if words or title:
            yield f"{page.uri}#{id}" if id else page.uri, page.title, title, words


class _Reader(HTMLParser):
    """Collects the text of sections: id, heading and pieces of text of each."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[tuple[str, list[str], list[str]]] = [("", [], [])]
        self._heading = self._source = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HEADINGS:
            self._heading = True
            self.sections.append((dict(attrs).get("id") or "", [], []))
        elif tag == "annotation":  # LaTeX of a formula
            self._source = True
        elif tag not in _INLINE:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._heading = False
        elif tag == "annotation":
            self._source = False
        elif tag not in _INLINE:
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if not self._source:
            _id, heading, text = self.sections[-1]
            (heading if self._heading else text).append(data)
