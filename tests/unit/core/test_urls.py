"""Links: what may stand in one, and how it is written relative to a page."""

from collections.abc import Callable

import pytest

from sitegen.core.urls import (
    host_fault,
    relative,
    site_url_fault,
    slug_fault,
    url_fault,
    web_url_fault,
)

GOOD = [
    "https://example.org", "http://example.org:8080/a?b=c#d", "HTTPS://EXAMPLE.ORG",
    "https://example.org/~name/", "https://münchen.example/ä", "mailto:a@example.org",
    "paper.pdf", "media/a.mp4?x=1#t", "about/", "#h-mnist",
]  # fmt: skip
BAD = [
    "javascript:alert(1)", "data:text/html,<script>", "ftp://example.org", "//example.org/x",
    "/absolute", "../up", "a/../../up", "a/%2e%2e/up", "./here", "https://",
    "https://user:secret@example.org", "https://example.org:port", "https://[::1",
    "https:example.org", "mailto:nobody", "1:2", "x\"onclick=\"y", "a\\b", "",
    "java\tscript:alert(1)", " javascript:alert(1)", "a b", "https://example.org/\0",
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "good", "bad"),
    [
        (url_fault, GOOD, BAD), (web_url_fault, GOOD[:5], [*BAD, "about/", "mailto:a@b.c"]),
        (site_url_fault, ["https://a.org/b/"], ["https://a.org/?c", "https://a.org/#d", "b/"]),
        (host_fault, ["a.example.org"], ["https://a.org", "a.org:80", "A.org", "localhost"]),
        (slug_fault, ["a", "mnist-2", "0" * 64, "a--b"],
         ["", "A", "-a", "a" * 65, "a_b", "..", "a\n", "ä", "con", "lpt1", "a\0"]),
    ],
)  # fmt: skip
def test_rules(fault: Callable[[str], str | None], good: list[str], bad: list[str]) -> None:
    """What may be a link, an address, a host or a name; nothing leads out or breaks out."""
    assert [text for text in good if fault(text)] == []
    assert [text for text in bad if not fault(text)] == []


@pytest.mark.parametrize(
    ("target", "page", "link"),
    [
        ("media/a.mp4", "index.html", "media/a.mp4"),
        ("media/a.mp4", "about/index.html", "../media/a.mp4"),
        ("about/", "index.html", "about/index.html"),
        ("about/index.html", "about/index.html", "index.html"),
        ("index.html#x", "about/index.html", "../index.html#x"),
        ("paper.pdf?v=1#page=2", "a/index.html", "../paper.pdf?v=1#page=2"),
        ("?x", "about/index.html", "../index.html?x"),
        ("#x", "about/index.html", "#x"),
        ("https://example.org/", "about/index.html", "https://example.org/"),
        ("mailto:a@b.c", "about/index.html", "mailto:a@b.c"),
    ],
)
def test_relative(target: str, page: str, link: str) -> None:
    """A link leads from the page to the target, and names the file of a folder."""
    assert relative(target, page) == link
