"""Galleries as rendered: their large view by mouse, keys and address, and without script."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imageio_ffmpeg import write_frames
from PIL import Image
from playwright.sync_api import Browser, expect

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from tests.support.browsing import box_of, html_faults, opened, until, violations
from tests.support.builders import CPU
from tests.support.reporters import Silent
from tests.support.serving import serving

INDEX = """# A page

{{ gallery("own", captions=["A *red* one", "A blue one", ""], id="all", columns=3) }}

{{ gallery(["own/2.png", "own/1.png", "tall.png"], carousel=true, columns=1, id="row") }}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built page, with a red and a blue picture and a video."""
    folder = tmp_path_factory.mktemp("gallery")
    for name in ("own", "pages"):
        (folder / name).mkdir()
    Image.new("RGB", (1200, 600), "red").save(folder / "own" / "1.png")
    Image.new("RGB", (300, 400), "blue").save(folder / "own" / "2.png")
    Image.new("RGB", (30, 400), "teal").save(folder / "tall.png")
    film = write_frames(str(folder / "own" / "3.mp4"), (64, 48), fps=4)
    film.send(None)
    for shade in range(8):
        film.send(np.full((48, 64, 3), 30 * shade, np.uint8).tobytes())
    film.close()
    (folder / "pages" / "index.md").write_text(INDEX)
    (folder / "site.toml").write_text('title = "A site"\n')
    build(folder / "site.toml", BuildOptions(CPU), FigureRenderer, Silent())
    return folder / "build"


@pytest.mark.parametrize("width", [390, 1280])
def test_large_view(browser: Browser, built: Path, width: int) -> None:
    """A press opens a picture large, arrow keys lead to the others, and Escape leads back."""
    size = {"width": width, "height": 800}
    with serving(built) as address, opened(browser, address, viewport=size) as page:
        links, viewer = page.locator("#all .gallery-link"), page.locator("#viewer")
        links.nth(0).click()
        expect(viewer.locator("h2")).to_have_text("Picture 1 of 3")
        expect(viewer.locator(".sample-text em")).to_have_text("red")
        until(page, "document.querySelector('#viewer img').naturalWidth === 1200")
        assert page.evaluate("document.querySelector('#viewer img').alt") == "A red one"
        box = box_of(viewer.locator("img"))
        assert box["width"] <= width
        assert abs(box["width"] / box["height"] - 2) < 0.05
        assert viewer.locator("canvas").is_hidden()
        saved = viewer.get_by_role("link", name="Save what is seen")
        assert saved.get_attribute("href") == links.nth(0).evaluate("link => link.href")
        assert violations(page) == []
        page.keyboard.press("ArrowRight")
        expect(viewer.locator("img")).to_have_attribute("alt", "A blue one")
        page.keyboard.press("ArrowRight")
        expect(viewer.locator("video")).to_have_attribute("aria-label", "3")
        until(page, "document.querySelector('#viewer video').readyState > 0")
        page.keyboard.press("ArrowRight")
        expect(viewer.locator("h2")).to_have_text("Picture 1 of 3")
        page.keyboard.press("Escape")
        expect(viewer).to_be_hidden()
        expect(links.nth(0)).to_be_focused()
        assert violations(page) == []


def test_address(browser: Browser, built: Path) -> None:
    """The address of a picture opens it, and the link of the large view is that address."""
    with (
        serving(built) as address,
        opened(browser, f"{address}index.html?sample=2#all") as page,
    ):
        expect(page.locator("#viewer h2")).to_have_text("Picture 2 of 3")
        page.locator("#viewer .link").hover()
        assert page.evaluate("document.querySelector('#viewer .link').href").endswith(
            "?sample=2#all"
        )


def test_carousel(browser: Browser, built: Path) -> None:
    """Buttons scroll it by its width."""
    with serving(built) as address, opened(browser, address, reduced_motion="reduce") as page:
        place = "document.querySelector('#row .carousel').scrollLeft"
        assert page.evaluate(place) == 0
        page.locator("#row .later").click()
        until(page, f"{place} > 300")
        page.locator("#row .earlier").click()
        until(page, f"{place} === 0")


def test_a_tall_picture(browser: Browser, built: Path) -> None:
    """It is not as wide as the others."""
    with serving(built) as address, opened(browser, address, **SIZE) as page:
        box = box_of(page.locator("#row img").nth(2))
        assert box["height"] < 1.7 * box["width"]


SIZE: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}


def test_without_script(browser: Browser, built: Path) -> None:
    """Each picture is a link to its large version, each video to its file."""
    assert not html_faults(built / "index.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((built / "index.html").as_uri())
    links = page.locator("#all .gallery-link")
    ends = [str(link.get_attribute("href")).rpartition(".")[2] for link in links.all()]
    assert ends == ["webp", "webp", "mp4"]
    assert page.locator(".gallery-turns").is_hidden()
    for link in links.all():
        path = built / str(link.get_attribute("href"))
        assert path.is_file()
    context.close()
