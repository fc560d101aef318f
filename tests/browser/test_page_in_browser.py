"""The page in Chromium: from the file system and under a sub-path, narrow and wide, light and dark.

What moves is the matter of `test_script.py`; what is proved here is the page around it.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from sitegen.content.pages import read_pages
from sitegen.html.render import MISSING, render_site
from sitegen.media.manifest import Manifest
from tests.conftest import SampleSite
from tests.support.browsing import box_of, opened, until, watch
from tests.support.fabricated import make_site
from tests.support.sample_site import build_sample

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
    assert page.evaluate("getComputedStyle(document.querySelector('.skip')).position") == "absolute"
    assert troubles == []
    assert all(url.startswith(start) for url in asked)
    page.close()


def test_links_arrive(browser: Browser, sample_site: SampleSite) -> None:
    """Every link inside the site leads to something that is there, also to a place in a page."""
    page = browser.new_page()
    for uri in PAGES:
        page.goto(f"{sample_site.folder.as_uri()}/{uri}")
        links = page.evaluate("[...document.links].map(link => link.href)")
        for link in links:
            path, _, place = link.partition("#")
            if path.startswith("file:"):
                target = Path(unquote(path.removeprefix("file://")))
                assert target.is_file(), link
                assert not place or f'id="{unquote(place)}"' in target.read_text(), link
    page.close()


@pytest.mark.parametrize("path", ["nothing", "a/b/c/", "second/nothing.html"])
def test_missing_page_at_any_depth(browser: Browser, sample_site: SampleSite, path: str) -> None:
    """The page for wrong addresses has its look, and leads home, wherever it is shown."""
    page = browser.new_page()
    asked: list[str] = []
    page.on("response", lambda answer: asked.append(f"{answer.status} {answer.url}"))
    page.goto(sample_site.address + path)
    assert page.title().startswith("Page not found")
    assert page.locator(".banner").evaluate("e => getComputedStyle(e).display") == "grid"
    assert asked[0].startswith("404 ")
    assert all(line.startswith("200 ") for line in asked[1:])
    page.get_by_role("link").click()
    assert page.url == sample_site.address
    page.close()


def test_missing_page_without_an_address(browser: Browser, tmp_path: Path) -> None:
    """Where nobody knows where the site begins, the page has its look all the same, from itself."""
    site = make_site(tmp_path, 'title = "T"')
    html = render_site(site, read_pages(site), Manifest(()))[MISSING]
    page = browser.new_page()
    troubles, asked = watch(page)
    page.route("**/*", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto("https://project.example/paper/nothing/here")
    assert page.locator(".banner").evaluate("e => getComputedStyle(e).display") == "grid"
    assert (troubles, len(asked)) == ([], 1)
    page.close()


def test_addresses_are_whole(sample_site: SampleSite) -> None:
    """Sitemap, robots, canonical links and the card name addresses that answer."""
    robots = (sample_site.folder / "robots.txt").read_text()
    assert f"Sitemap: {sample_site.address}sitemap.xml" in robots
    sitemap = (sample_site.folder / "sitemap.xml").read_text()
    assert re.findall("<loc>(.*)</loc>", sitemap) == [
        sample_site.address,
        f"{sample_site.address}second/",
    ]
    for uri in PAGES:
        html = (sample_site.folder / uri).read_text()
        canonical = re.search('rel="canonical" href="([^"]+)"', html)
        card = re.search('property="og:image" content="([^"]+)"', html)
        assert canonical is not None
        assert card is not None
        assert canonical[1] == sample_site.address + uri.removesuffix("index.html")
        local = sample_site.folder / card[1].removeprefix(sample_site.address)
        with Image.open(local) as picture:
            assert picture.size == (1200, 630)


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
    assert box["width"] == pytest.approx(box["height"], abs=0.1)
    assert box["width"] == pytest.approx(350, abs=1)
    page.close()


def test_skip_link(browser: Browser, sample_site: SampleSite) -> None:
    """The first stop of the keyboard is the way past the banner, and it can then be seen."""
    page = browser.new_page()
    page.goto(f"{sample_site.folder.as_uri()}/index.html")
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to the content"
    box = box_of(skip)
    assert box["y"] >= 0
    page.close()


def luminance(shot: Image.Image) -> float:
    """The greatest relative luminance in a picture, as WCAG defines it."""
    values = np.asarray(shot.convert("RGB")) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float((linear @ [0.2126, 0.7152, 0.0722]).max())


@pytest.mark.parametrize(("width", "accent"), [(320, ""), (1280, ""), (1280, "#00ffcc")])
def test_contrast_of_the_banner(browser: Browser, tmp_path: Path, width: int, accent: str) -> None:
    """White words stand on enough darkness even where the samples and the accent are glaring."""
    output = build_sample(tmp_path)
    for sheet in (output / "assets").glob("style-*.css") if accent else ():
        sheet.write_text(sheet.read_text() + f":root {{ --accent: {accent}; }}")
    for backdrop in (output / "assets").glob("backdrop-*.webp"):
        Image.new("RGB", (288, 288), "white").save(backdrop, "WEBP")
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(f"{output.as_uri()}/index.html")
    page.locator(".banner-text > *").evaluate_all(
        "all => all.forEach(element => { element.style.visibility = 'hidden' })"
    )
    shot = Image.open(io.BytesIO(page.locator(".banner-text").screenshot()))
    brightest = luminance(shot.crop((3, 3, shot.width - 3, shot.height - 3)))
    assert 1.05 / (brightest + 0.05) >= 4.5
    page.close()
