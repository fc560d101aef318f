"""Links: what may stand in one, and how it is written relative to a page."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sitegen.core.urls import relative, slug_fault, url_fault, web_url_fault

GOOD = [
    "https://example.org",
    "http://example.org:8080/a?b=c#d",
    "HTTPS://EXAMPLE.ORG",
    "https://example.org/~name/",
    "https://münchen.example/ä",
    "mailto:a@example.org",
    "paper.pdf",
    "media/a.mp4?x=1#t",
    "about/",
    "#h-mnist",
]
BAD = [
    "",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    " javascript:alert(1)",
    "\x01javascript:alert(1)",
    "data:text/html,<script>",
    "vbscript:x",
    "file:///etc/passwd",
    "ftp://example.org",
    "blob:https://example.org/x",
    "//example.org/x",
    "/absolute",
    "../up",
    "a/../../up",
    "a/%2e%2e/up",
    "./here",
    "https://",
    "https://user:secret@example.org",
    "https://example.org:port",
    "https://[::1",
    "https:example.org",
    "mailto:nobody",
    "[x](javascript:alert(1))",
    "1:2",
    "a b",
    'x"onclick="y',
    "x<y>",
    "a\\b",
    "https://example.org/\u0000",
]


@pytest.mark.parametrize("url", GOOD)
def test_good_urls(url: str) -> None:
    """Web addresses, mail addresses and paths in the site are links."""
    assert url_fault(url) is None


@pytest.mark.parametrize("url", BAD)
def test_bad_urls(url: str) -> None:
    """Other schemes, ways out of the site and characters that could break out are not."""
    assert url_fault(url)


@pytest.mark.parametrize("url", ["about/", "mailto:a@example.org", "javascript:x", "https://"])
def test_web_url_is_whole(url: str) -> None:
    """The address of a site is a whole web address."""
    assert web_url_fault(url)


@pytest.mark.parametrize("name", ["a", "mnist-2", "0" * 64, "a--b"])
def test_good_slugs(name: str) -> None:
    """Small letters of English, digits and hyphens make a name."""
    assert slug_fault(name) is None


@pytest.mark.parametrize(
    "name", ["", "A", "-a", "a" * 65, "a_b", "a/b", "..", "a\n", "ä", "con", "lpt1", "a.b", "a\x00"]
)
def test_bad_slugs(name: str) -> None:
    """Whatever could leave its folder, differ only by case, or be reserved is no name."""
    assert slug_fault(name)


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


PATHS = st.lists(st.from_regex(r"[a-z0-9]{1,4}", fullmatch=True), min_size=1, max_size=3)


@given(PATHS, PATHS)
def test_relative_arrives(target: list[str], page: list[str]) -> None:
    """Followed from the page, a link arrives at its target, whatever the two are."""
    link = relative("/".join(target), "/".join(page))
    base = posixpath.dirname("/".join(page))
    assert posixpath.normpath(posixpath.join(base, link)) == "/".join(target)
    assert not link.startswith("/")
