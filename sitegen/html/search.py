"""The search of a site: an index of its sections, which a page fetches when it is first used.

The index is a script rather than JSON, because a page that is opened from the file system may load
scripts, but may not fetch files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import unescape

from markupsafe import Markup, escape

from sitegen.content.pages import Page
from sitegen.core.files import digest_bytes

MANY_PAGES = 8
"""Largest number of pages for which the menu suffices, without a search."""

_HEADING = re.compile(r"<h[2-6]([^>]*)>(.*?)</h[2-6]>", re.DOTALL)
_ID = re.compile(r'\bid="([^"]*)"')
_LATEX = re.compile(r"<annotation\b.*?</annotation>", re.DOTALL)
_WORDS = "a|b|code|em|i|s|span|strong|sub|sup"
_MATHS = "math|mfrac|mi|mn|mo|mrow|msub|msubsup|msup|mtext|semantics"
_INLINE = re.compile(rf"</?({_WORDS}|{_MATHS})\b[^>]*>")
_BLOCK = re.compile(r"<[^>]*>")


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
    parts = (part if isinstance(part, Markup) else _caption(part) for part in page.body)
    first, *others = _HEADING.split(_LATEX.sub("", "".join(parts)))
    sections = zip(["", *others[::3]], ["", *others[1::3]], [first, *others[2::3]], strict=True)
    for attributes, heading, html in sections:
        found = _ID.search(attributes)
        title, words = _text(heading), _text(html)
        if words or title:
            yield f"{page.uri}#{found[1]}" if found else page.uri, page.title, title, words


def _caption(part: object) -> str:
    return f"<p>{escape(getattr(part, 'caption', ''))}</p>"


def _text(html: str) -> str:
    """Return the words of HTML that sitegen has made, whose attributes have no `>`."""
    return " ".join(unescape(_BLOCK.sub(" ", _INLINE.sub("", html))).split())
