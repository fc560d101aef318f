"""Light or dark, as a reader has chosen, whatever the system is."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Look
from tests.conftest import SampleSite
from tests.support.browsing import opened, until, violations

DAY, NIGHT = "rgb(255, 255, 255)", "rgb(18, 21, 31)"
PAPERS: dict[str, str] = {"light": DAY, "dark": NIGHT}
PAPER = "getComputedStyle(document.body).backgroundColor"
SEEN_FIRST = """
window.papers = [];
const look = () => {
  if (document.body) window.papers.push(getComputedStyle(document.body).backgroundColor);
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
"""Notes the colour of the page at every frame, from the first on."""


def chosen(scheme: str) -> str:
    """A script by which the browser remembers a choice."""
    return f"localStorage['sitegen-scheme'] = '{scheme}'"


def choice(page: Page) -> Locator:
    """The list of the colours."""
    return page.get_by_label("Colours")


def brightness(place: Locator) -> float:
    """How bright an element is in the middle, from 0 to 255, as most of its pixels are."""
    place.scroll_into_view_if_needed()
    shot = Image.open(io.BytesIO(place.screenshot())).convert("L")
    return float(np.median(np.asarray(shot)))


@pytest.mark.parametrize(("system", "wish"), [("light", "dark"), ("dark", "light")])
def test_choice_is_kept(look: Look, system: Any, wish: str) -> None:
    """It holds for words, drawings and the clip of a tree, on the next page too, until it goes."""
    with look(color_scheme=system) as page:
        assert page.evaluate(PAPER) == PAPERS[system]
        expect(choice(page)).to_have_value("")
        choice(page).select_option(wish)
        until(page, f"{PAPER} === '{PAPERS[wish]}'")
        chart = page.locator("#chart .still img")
        chart.scroll_into_view_if_needed()
        until(page, "document.querySelector('#chart img').naturalWidth > 0")
        assert (brightness(chart) < 100) is (wish == "dark")
        tree = page.locator("#hierarchy .stage")
        tree.scroll_into_view_if_needed()
        until(page, "document.querySelector('#hierarchy .stage img').naturalWidth > 0")
        assert abs(brightness(tree) - (23 if wish == "dark" else 255)) < 12
        page.goto(page.url.replace("/sub/", "/sub/second/"))
        assert page.evaluate(PAPER) == PAPERS[wish]
        expect(choice(page)).to_have_value(wish)
        choice(page).select_option("as the system")
        until(page, f"{PAPER} === '{PAPERS[system]}'")
        page.reload()
        assert page.evaluate(PAPER) == PAPERS[system]


@pytest.mark.parametrize(("system", "wish"), [("light", "dark"), ("dark", "light")])
@pytest.mark.parametrize("uri", ["", "404.html"])
def test_nothing_flashes(look: Look, system: Any, wish: str, uri: str) -> None:
    """Every frame that is shown while a page loads has the colours that were chosen."""
    with look(uri, color_scheme=system, before=chosen(wish) + SEEN_FIRST) as page:
        until(page, "window.papers.length > 3")
        assert set(page.evaluate("window.papers")) == {PAPERS[wish]}


@pytest.mark.parametrize("width", [320, 1280])
def test_by_keyboard(look: Look, width: int) -> None:
    """A native list: Tab reaches it, arrows change it; it covers no words and can be read."""
    with look(width=width) as page:
        while not page.evaluate("document.activeElement.matches('.scheme select')"):
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        until(page, f"{PAPER} === '{DAY}'")
        expect(choice(page)).to_have_value("light")
        page.keyboard.press("ArrowDown")
        until(page, f"{PAPER} === '{NIGHT}'")
        assert violations(page) == []
        box, words = (
            page.locator(".scheme").bounding_box(),
            page.locator("h1").bounding_box(),
        )
        assert box is not None
        assert words is not None
        above = box["y"] + box["height"] <= words["y"]
        assert above or box["x"] >= words["x"] + words["width"]
        assert box["height"] >= 24
        assert box["x"] + box["width"] <= width


def test_without_scripts(browser: Browser, sample_site: SampleSite) -> None:
    """Where no script runs the page follows the system, and there is no list that does nothing."""
    page = browser.new_page(java_script_enabled=False, color_scheme="dark")
    page.goto(sample_site.address)
    expect(page.locator(".scheme")).to_be_hidden()
    shot = Image.open(io.BytesIO(page.screenshot(clip={"x": 5, "y": 560, "width": 9, "height": 9})))
    assert shot.convert("RGB").getpixel((4, 4)) == (18, 21, 31)
    page.close()


def test_in_another_window(browser: Browser, sample_site: SampleSite) -> None:
    """A page of the site that is open besides follows at once."""
    with opened(browser, sample_site.address, color_scheme="light") as page:
        second = page.context.new_page()
        second.goto(f"{sample_site.address}second/")
        assert second.evaluate(PAPER) == DAY
        choice(page).select_option("dark")
        until(second, f"{PAPER} === '{NIGHT}'")
