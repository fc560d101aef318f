"""The page in Chromium: from the file system and under a sub-path, narrow and wide, light and dark.

What moves is the matter of `test_script.py`; what is proved here is the page around it.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from sitegen.deploy.check import PublishTarget, check_folder
from tests.conftest import SampleSite
from tests.support.browsing import box_of, opened, until, watch

PAGES = ("index.html", "second/index.html")


@pytest.mark.parametrize("uri", PAGES)
@pytest.mark.parametrize("place", ["file", "http"])
def test_nothing_goes_wrong(
    browser: Browser, sample_site: SampleSite, place: str, uri: str
) -> None:
    """No message on the console, no request that fails, none to elsewhere, and no clip at once."""
    start = sample_site.address if place == "http" else f"{sample_site.folder.as_uri()}/"
    page = browser.new_page(viewport={"width": 1280, "height": 500})
    troubles, asked = watch(page)
    page.goto(start + uri)
    page.wait_for_load_state("networkidle")
    if uri == "index.html":
        assert not [url for url in asked if url.endswith((".mp4", ".gif"))]
    page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    until(page, "[...document.images].every(image => image.naturalWidth > 0)")
    assert troubles == []
    assert all(url.startswith(start) for url in asked)
    page.close()


def test_links_arrive(sample_site: SampleSite) -> None:
    """Every link and address, also in sitemap, robots and card, leads to what is there; only the
    host, which is this machine, and that it does not encrypt are found fault with.
    """
    found = check_folder(sample_site.folder, PublishTarget(sample_site.address))
    assert found.errors == ()
    assert found.pages == len(PAGES) + 1
    with Image.open(next(sample_site.folder.glob("assets/card-*.png"))) as picture:
        assert picture.size == (1200, 630)


@pytest.mark.parametrize("path", ["nothing", "a/b/c/", "second/nothing.html"])
def test_missing_page_at_any_depth(browser: Browser, sample_site: SampleSite, path: str) -> None:
    """The page for wrong addresses has its look, and leads home, wherever it is shown."""
    page = browser.new_page()
    answers: list[int] = []
    page.on("response", lambda answer: answers.append(answer.status))
    page.goto(sample_site.address + path)
    assert page.title().startswith("Page not found")
    assert page.locator(".banner").evaluate("e => getComputedStyle(e).display") == "grid"
    assert (answers[0], set(answers[1:])) == (404, {200})
    page.get_by_role("link").click()
    assert page.url == sample_site.address
    page.close()


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 2560])
def test_fits_the_screen(browser: Browser, sample_site: SampleSite, width: int) -> None:
    """Nothing is wider than the screen, and a line of text is not too long to read."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    for uri in PAGES:
        page.goto(f"{sample_site.folder.as_uri()}/{uri}")
        page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(
            "[...document.querySelectorAll('main > *, main .scroll, .clip, .scrubber > *')]"
            ".every(e => e.getBoundingClientRect().right <= innerWidth)"
        )
        column = page.evaluate("document.querySelector('main > p').getBoundingClientRect().width")
        assert column <= 700
    page.close()


SHIFTS = """
new Promise(resolve => new PerformanceObserver(list => resolve(
  list.getEntries().reduce((sum, entry) => sum + entry.value, 0)
)).observe({type: 'layout-shift', buffered: true}) || setTimeout(() => resolve(0), 1000))
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_no_layout_shift(browser: Browser, sample_site: SampleSite, width: int) -> None:
    """Nothing moves while the page loads, clips start, and the visitor reads down to the end."""
    with opened(browser, sample_site.address, viewport={"width": width, "height": 800}) as page:
        for _ in range(12):
            page.mouse.wheel(0, 600)
            page.wait_for_timeout(60)
        assert page.evaluate(SHIFTS) == 0


def test_room_before_the_poster(browser: Browser, sample_site: SampleSite) -> None:
    """The clip has its place before its poster is there, at its own shape."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.route("**/*.{webp,mp4}", lambda route: route.abort())
    page.goto(sample_site.address)
    box = box_of(page.locator(".clip").first)
    assert (box["width"], box["height"]) == pytest.approx((350, 350), abs=1)
    page.close()


@pytest.mark.parametrize(("width", "accent"), [(320, ""), (1280, ""), (1280, "#00ffcc")])
def test_contrast_of_the_banner(
    browser: Browser, sample_site: SampleSite, tmp_path: Path, width: int, accent: str
) -> None:
    """White words stand on enough darkness, as WCAG counts it, even where the samples and the
    accent are glaring.
    """
    output = shutil.copytree(sample_site.folder, tmp_path / "sub")
    for sheet in output.glob("assets/style-*.css") if accent else ():
        sheet.write_text(sheet.read_text() + f":root {{ --accent: {accent}; }}")
    for backdrop in output.glob("assets/backdrop-*.webp"):
        Image.new("RGB", (288, 288), "white").save(backdrop, "WEBP")
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(f"{output.as_uri()}/index.html")
    page.locator(".banner-text > *").evaluate_all(
        "all => all.forEach(element => { element.style.visibility = 'hidden' })"
    )
    shot = Image.open(io.BytesIO(page.locator(".banner-text").screenshot())).convert("RGB")
    values = np.asarray(shot.crop((3, 3, shot.width - 3, shot.height - 3))) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    luminance = float((linear @ [0.2126, 0.7152, 0.0722]).max())
    assert 1.05 / (luminance + 0.05) >= 4.5
    page.close()
