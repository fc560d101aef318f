"""Pictures and videos at a made-up address, without a network: no other host before the click."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route

from tests.support.browsing import box_of
from tests.support.builders import Builder, write_page, write_site

SITE = "https://project.example/paper/"
PLAYER = "https://www.youtube-nocookie.com/embed/qY1juqIDT10?autoplay=1&rel=0&start=5"
FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif", "AVIF": "avif"}
INDEX = """Words.

{{ video("https://youtu.be/qY1juqIDT10?t=5", title="A talk", caption="Words about it.") }}

{{ trajectories("tiny", count=4) }}

{{ image("wide.png", alt="Wide", caption="A wide picture.") }}

![In a sentence](turned.jpg) and words.

{{ image("drawn.svg", alt="Drawn", width=200) }}

"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 20"><circle r="9"/></svg>'


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with pictures of every kind, each also turned by its EXIF, and a video."""
    folder = tmp_path_factory.mktemp("embeds")
    site = Builder(write_site(folder, INDEX))
    calls = []
    Image.new("RGB", (1600, 400), "teal").save(folder / "wide.png")
    (folder / "drawn.svg").write_text(SVG, encoding="utf-8")
    for turn in (1, 6):
        exif = Image.Exif()
        exif[0x0112] = turn
        for form, suffix in FORMATS.items():
            name = f"{'turned' if turn > 1 else 'plain'}.{suffix}"
            Image.new("RGB", (60, 40), "navy").save(folder / name, form, exif=exif)
            calls.append(f'{{{{ image("{name}", alt="{name}") }}}}')
    write_page(site.config, "\n\n".join(["# Pictures", *calls, *calls]), "more")
    site()
    return site.output


@pytest.fixture
def visit(browser: Browser, built: Path) -> Iterator["Visit"]:
    """A reader with scripts."""
    size: Any = {"width": 800, "height": 1400}
    with browser.new_context(reduced_motion="reduce", viewport=size) as context:
        yield Visit(context, built)


class Visit:
    """A page of the site, and every request that it made; hosts beside the site's answer a word."""

    def __init__(self, context: BrowserContext, built: Path) -> None:
        self.built = built
        self.asked: list[Request] = []
        self.troubles: list[str] = []
        context.route("**/*", self._answer)
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.goto(f"{SITE}index.html")

    def _answer(self, route: Route) -> None:
        self.asked.append(route.request)
        if route.request.url.startswith(SITE):
            route.fulfill(
                path=self.built / urlsplit(route.request.url).path.removeprefix("/paper/")
            )
        else:
            route.fulfill(body="<!DOCTYPE html><title>player</title>", content_type="text/html")

    def elsewhere(self) -> list[Request]:
        """What was asked of other hosts."""
        return [request for request in self.asked if not request.url.startswith(SITE)]


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_the_player_comes_with_the_click(visit: Visit, way: str) -> None:
    """Before it no other host is asked; then its player alone is, in the place of the button."""
    page = visit.page
    button = page.get_by_role("button", name="A talk (YouTube)")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")
    assert (visit.elsewhere(), page.locator("iframe").count()) == ([], 0)
    before = box_of(page.locator(".screen"))
    assert before["height"] == 4 * 16  # low without a poster
    if way == "keyboard":
        while not button.evaluate("e => e === document.activeElement"):
            page.keyboard.press("Tab")
        assert button.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    with page.expect_event("requestfinished", lambda r: not r.url.startswith(SITE)):
        if way == "mouse":
            button.click()
        else:
            page.keyboard.press("Enter")
    page.wait_for_load_state("networkidle")
    (request,) = visit.elsewhere()
    assert request.url == PLAYER
    assert request.all_headers()["referer"] == "https://project.example/"
    player = page.locator("iframe")
    assert player.get_attribute("title") == "A talk"
    assert player.get_attribute("referrerpolicy") == "strict-origin-when-cross-origin"
    allowed = (player.get_attribute("allow") or "").split("; ")
    assert {"fullscreen", "autoplay"} <= set(allowed)
    assert page.evaluate("document.activeElement.localName") == "iframe"
    after = box_of(page.locator(".screen"))
    assert player.bounding_box() == after
    assert (after["x"], after["width"]) == (before["x"], before["width"])
    assert after["width"] / after["height"] == pytest.approx(16 / 9, abs=0.01)
    assert page.locator(".screen button").count() == 0
    assert visit.troubles == []


def test_without_scripts(browser: Browser, built: Path) -> None:
    """The poster is a plain link to the video; pictures have their room before they are there."""
    size: Any = {"width": 390, "height": 800}
    with browser.new_context(java_script_enabled=False, viewport=size) as context:
        visit = Visit(context, built)
        link = visit.page.get_by_role("link", name="A talk (YouTube)")
        assert link.get_attribute("href") == "https://www.youtube.com/watch?v=qY1juqIDT10&t=5s"
        assert visit.page.locator(".screen button").count() == 0
        assert visit.elsewhere() == []
        context.route("**/media/**", lambda route: route.abort())
        visit.page.reload()
        box = box_of(visit.page.locator("img[alt=Wide]"))
        assert box["width"] <= 390
        assert box["width"] / box["height"] == pytest.approx(4, abs=0.05)


SIZES = """async () => {
  const images = [...document.querySelectorAll("main img.image, main p img")];
  images.forEach(image => { image.loading = "eager" });
  await Promise.all(images.map(image => image.decode()));
  return images.map(image => [image.alt, image.naturalWidth, image.naturalHeight,
    ...["width", "height"].map(name => +image.getAttribute(name))]);
}"""


def test_pictures_are_shown_at_the_size_that_was_kept(visit: Visit) -> None:
    """For every format, turned by EXIF or not, width and height are those that Chromium sees."""
    sizes = visit.page.evaluate(SIZES)
    assert len(sizes) == 3
    visit.page.goto(f"{SITE}more/index.html")
    sizes += visit.page.evaluate(SIZES)
    assert len(sizes) == 3 + 4 * len(FORMATS)
    for alt, *size in sizes:
        if alt == "Drawn":
            assert size[2:] == [200, 133]
        else:
            assert size[:2] == size[2:], alt
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 800
