"""The search of a site: an index of its sections, which a page fetches when it is first used.

The index is a script rather than JSON, because a page that is opened from the file system may load
scripts, but may not fetch files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

from sitegen.content.markdown import FORMULA_SOURCE
from sitegen.content.pages import Page
from sitegen.core.files import digest_bytes

MANY_PAGES = 8
"""Largest number of pages for which the menu suffices, without a search."""

_HEADING = re.compile(r'<h[2-6] id="([^"]*)">(.*?)</h[2-6]>', re.DOTALL)


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
    parts = (
        str(part) if isinstance(part, Markup) else f" {escape(getattr(part, 'caption', ''))} "
        for part in page.body
    )
    first, *rest = _HEADING.split(FORMULA_SOURCE.sub("", "".join(parts)))
    for id, heading, text in (("", "", first), *zip(*[iter(rest)] * 3, strict=True)):
        title, words = Markup(heading).striptags(), Markup(text).striptags()
        if words or title:
            yield f"{page.uri}#{id}" if id else page.uri, page.title, title, words
