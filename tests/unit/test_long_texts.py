"""Texts of strangers are read in time that grows with their length, not with its square."""

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from sitegen.content import calls, embeds
from sitegen.content.pages import Page
from sitegen.core import source
from sitegen.deploy import check, publish
from sitegen.deploy.git import masked
from sitegen.deploy.html_scan import css_uris
from sitegen.html import heads
from sitegen.media.svg import _pixels, svg_size

LENGTH = 1_000_000
SECONDS = 30  # of processors; linear ones take one, the square of the length takes minutes


def _svg(inside: str) -> Any:
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">'
    with suppress(ValueError):
        return svg_size(f"{head}{inside}</svg>".encode())


def _first_words(html: str) -> Any:
    page = object.__new__(Page)
    object.__setattr__(page, "body", [Markup(html)])
    return heads._first_words(page)


READERS: dict[str, tuple[Callable[[str], Any], str, str, str]] = {
    "words of git": (masked, "", "a", ""),
    "words of git with colons": (masked, "", "a:", ""),
    "words of git with users": (masked, "", "a@", ""),
    "a remote": (publish._GITHUB.fullmatch, "", "@github.com:", "/"),
    "an animated attribute": (_svg, '<animate attributeName="', "a", '"/>'),
    "an address of a style": (_svg, "<style>url(", " ", "a)</style>"),
    "an attribute with an address": (_svg, '<path style="url(', " ", 'a)"/>'),
    "the width of an SVG": (_pixels, "1", " ", "x"),
    "the head of a picture": (lambda text: embeds._XML.match(text.encode()), "", " ", "x"),
    "comments of a stylesheet": (lambda text: list(css_uris(text)), "", ":/*", ""),
    "addresses of a stylesheet": (lambda text: list(css_uris(text)), "", "url(", ""),
    "lines of a stylesheet": (lambda text: list(css_uris(text)), "", "url(a)\n", ""),
    "imports of a stylesheet": (lambda text: list(css_uris(text)), "", '@import "', ""),
    "a sitemap": (lambda text: list(check._READERS[".xml"](text)), "", "<loc>", ""),
    "a card's key": (source.toml_lines, "a", " ", "= 1"),
    "a card's digits": (source._DIGITS.search, "", "1" * 4299 + "x", ""),
    "paragraphs": (_first_words, "", "<p>", ""),
    "formulas": (_first_words, "", "<annotation ", ""),
    "the head of a table": (calls._UNDER_A_HEAD.search, "|", "-", "x"),
    "lines of a table": (calls._UNDER_A_HEAD.search, "", "|:\n", "x"),
    "paths of this machine": (
        lambda text: list(check.local_paths(text, [Path("/srv/a")], generic=True)),
        *("", "/srv/a/home/\n", ""),
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_a_long_text(name: str) -> None:
    """A million characters of the worst kind are read in seconds."""
    read, begin, piece, end = READERS[name]

    def stop(*_: object) -> None:
        raise TimeoutError(f"it takes more than {SECONDS} s of processors")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        read(begin + piece * (LENGTH // len(piece)) + end)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
