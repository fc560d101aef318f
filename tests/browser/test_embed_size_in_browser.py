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
    small = []
    for address, width, height in lines:
        room: Any = {"width": int(width), "height": int(height)}
        page = browser.new_page(viewport=room, reduced_motion="reduce")
        page.goto(address)
        needed = "(e => [e.scrollWidth, e.scrollHeight])(document.documentElement)"
        size = page.evaluate(needed)
        page.close()
        if size[0] > room["width"] or size[1] > room["height"]:
            small.append((address.rpartition("media/")[2], room, size))
    assert small == [], "\n".join(map(str, small))
