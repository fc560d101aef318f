"""Frames of figures in other pages: their stated size."""

import re
from typing import Any

from playwright.sync_api import Browser

from tests.conftest import SampleSite


def test_frames_have_room(browser: Browser, sample_site: SampleSite) -> None:
    """The figure of each embed line fits into the size that the line states."""
    page = browser.new_page(reduced_motion="reduce")
    lines: list[tuple[str, str, str]] = []
    for uri in ("", "second/"):
        page.goto(sample_site.address + uri)
        for code in page.locator(".framing code").all():
            line = code.text_content() or ""
            lines += re.findall(r'src="([^"]+)".* width="(\d+)" height="(\d+)"', line)
    page.close()
    assert len(lines) >= 9
    assert _too_small(browser, lines) == []


def test_bare_frames_fit(browser: Browser, sample_site: SampleSite) -> None:
    """A figure without words fills the size that is stated for it, and nothing else is there."""
    page = browser.new_page(reduced_motion="reduce")
    lines: list[tuple[str, str, str]] = []
    for uri in ("", "second/"):
        page.goto(sample_site.address + uri)
        for sheet in page.locator("[id$=-embed]").all():
            address = sheet.locator("a").evaluate("link => link.href")
            size = re.search(r"(\d+) × (\d+) pixels", sheet.text_content() or "")
            assert size is not None
            lines.append((f"{address}?bare", size[1], size[2]))
    page.close()
    assert len(lines) >= 9
    assert _too_small(browser, lines, spare=4) == []


def _too_small(
    browser: Browser, lines: list[tuple[str, str, str]], spare: int | None = None
) -> list[str]:
    """Frames whose figure needs more room, or leaves more than `spare` pixels below it."""
    found = []
    for address, width, height in lines:
        room: Any = {"width": int(width), "height": int(height)}
        page = browser.new_page(viewport=room, reduced_motion="reduce")
        page.goto(address)
        needed = "(e => [e.scrollWidth, e.scrollHeight])(document.documentElement)"
        size = page.evaluate(needed)
        own = page.evaluate("document.querySelector('.view').getBoundingClientRect().bottom")
        page.close()
        large = size[0] > room["width"] or size[1] > room["height"]
        if large or (spare is not None and room["height"] - own > spare):
            found.append(f"{address.rpartition('media/')[2]}: {room}, {size}, {own}")
    return found
