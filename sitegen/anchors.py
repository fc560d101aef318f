"""Links to a place in a page: whether a heading or a figure there has that id."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from sitegen.config import Site
from sitegen.markdown import Anchor
from sitegen.pagefiles import site_links
from sitegen.problems import Problem, known_words, quoted
from sitegen.source import read_text, require_inside, shown

THEMED = r"fn(ref)?\d.*|citation|content|top|viewer.*"
"""What the theme and footnotes use for ids."""

_ID = re.compile(r"""\bid=["']([^"'{}]+)["']""")


class Paged(Protocol):
    """What is known of a page."""

    @property
    def uri(self) -> str:
        """Where it goes in the built folder."""

    @property
    def source(self) -> Path:
        """Its Markdown."""

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """Its links to places in pages."""

    @property
    def ids(self) -> frozenset[str]:
        """The ids of its headings and figures."""


def anchor_faults(pages: Sequence[Paged], site: Site) -> Iterator[Problem]:
    """Name the links to places that no page of the site has, those of `site.toml` included.

    What the templates of the author's own theme name counts for every page. Raises ConfigError for
    a template that cannot be read, or is a link out of the site.
    """
    extra = _own_ids(site.root)
    known = {page.uri: page.ids | extra for page in pages}
    for page in pages:
        for anchor in page.anchors:
            fault = _fault(page.uri, anchor.url, known)
            if fault is not None:
                text = f"the link {quoted(anchor.url)} {fault}"
                yield Problem(shown(page.source), anchor.line, text)
    for key, url in site_links(site).items():  # they stand on the front page
        fault = _fault("index.html", url, known)
        if fault is not None:
            yield site.problem(key, f" = {quoted(url)}: {fault}")


def _fault(uri: str, url: str, known: Mapping[str, frozenset[str]]) -> str | None:
    """What is wrong with a link of the page at `uri`, or None."""
    whole, _, rest = url.partition("#")
    path, place = unquote(whole.partition("?")[0]), unquote(rest.partition(":~:")[0])
    target = f"{path}index.html" if path.endswith("/") or not path else path
    target = target if whole else uri
    ids = known.get(target)
    if ids is None or not place or place in ids or re.fullmatch(THEMED, place):
        return None
    hint = known_words(f"#{place}", [f"#{name}" for name in ids])
    return f"leads to no heading and no figure of {'this' if target == uri else 'that'} page{hint}"


def _own_ids(root: Path) -> frozenset[str]:
    """The ids that stand in an author's templates."""
    paths = sorted((root / "theme" / "templates").glob("[!.]*.html"))
    for path in paths:
        require_inside(path, root)
    return frozenset(name for path in paths for name in _ID.findall(read_text(path)))
