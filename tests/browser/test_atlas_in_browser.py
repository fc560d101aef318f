"""Maps of all digits in Chromium, with two models under one camera on another page."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from sitegen.generative.maths.address import Address
from sitegen.media.frames import to_uint8
from sitegen.models.registry import model_source
from sitegen.sampling.models import load_sampler
from sitegen.sampling.tiles import Tiles, tiles_of
from tests.support.browsing import box_of, frames, html_faults, opened, until, violations
from tests.support.builders import CPU
from tests.support.paths import ROOT
from tests.support.serving import serving
from tests.support.tinymodel import on_one_thread

DONE = "document.querySelector('.atlas-told').textContent === 'All tiles in view are drawn.'"
ADDRESS = "document.querySelector('.atlas-address').textContent.split(' ')[1]"
SCALE = "document.querySelector('.atlas-scale b').textContent"
FETCHED = (
    "performance.getEntriesByType('resource').filter(({ name }) => /[.](bin|wasm)$/.test(name))"
)
FOCUS = """(({ activeElement: item }) => [
  ...["level", "posinset", "setsize", "expanded"].map((name) => item.getAttribute(`aria-${name}`)),
  item.ariaLabel.match(/address ([0-9.]+)/)[1],
])(document)"""
DEEPEST = 5

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


@pytest.fixture(scope="module")
def address(atlas_site: Path) -> Iterator[str]:
    """Where the site is served."""
    with serving(atlas_site) as served:
        yield served


@pytest.fixture(scope="module")
def tiles() -> Tiles:
    """The tiles of the digits, as sitegen draws them."""
    return tiles_of(load_sampler(model_source("mnist", ROOT / "models" / "mnist"), CPU), 0)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page of one map, all of which is in view, for one who asks for little motion."""
    with opened(browser, address, reduced_motion="reduce") as opened_page:
        until(opened_page, "document.querySelector('.atlas.live')")
        opened_page.locator(".atlas-home").click()
        yield opened_page


def depth(page: Page) -> int:
    """The depth of the tile in the middle."""
    frames(page, 3)
    text: str = page.evaluate(ADDRESS)
    return len(text.partition(".")[2])


def zoom_in(page: Page, times: int) -> None:
    """Press the button."""
    for _ in range(times):
        page.locator(".atlas-in").click()


def saved(page: Page) -> NDArray[np.uint8]:
    """The pixels of the tile that the page saves."""
    with page.expect_download() as download:
        page.locator(".atlas-save").click()
    image = Image.open(io.BytesIO(Path(download.value.path()).read_bytes())).convert("L")
    factor = image.width // 28
    return np.asarray(image)[::factor, ::factor]


def test_first_view(browser: Browser, address: str) -> None:
    """A visitor sees prepared digits of several starts, and nothing is fetched for them."""
    with opened(browser, address) as page:
        until(page, "document.querySelector('.atlas.live')")
        assert depth(page) == 3
        pictures = "rows => rows.filter(row => row.querySelector('canvas').width > 1).length"
        assert page.locator(".atlas-line li").evaluate_all(pictures) == 4
        assert page.evaluate(f"{FETCHED}.length") == 0


def test_prepared_pictures(page: Page, tiles: Tiles) -> None:
    """The line of a tile shows the pictures that the build has prepared, each at its address."""
    zoom_in(page, 3)
    assert depth(page) == 3
    pixels = """canvases => canvases.slice(0, 4).map(({ width }, row) =>
      [...canvases[row].getContext('2d').getImageData(0, 0, width, width).data])"""
    found = page.locator(".atlas-line canvas").evaluate_all(pixels)
    own = Address.parse(page.evaluate(ADDRESS))
    for count, values in enumerate(found):
        picture = to_uint8(tiles.at(Address(own.start, own.digits[:count])).picture[None])[0]
        wanted = Image.fromarray(picture).resize((16, 16), Image.Resampling.BOX).convert("L")
        seen = np.array(values).reshape(16, 16, 4)[..., 0]
        assert np.abs(seen - np.asarray(wanted).astype(int)).mean() < 4


def test_prepared_before_fetched(page: Page, tiles: Tiles) -> None:
    """Three splits are there at once; then the model is fetched, whose size was said."""
    assert not page.locator(".atlas-poster").is_visible()
    assert "tiles fetch 7." in page.locator(".atlas-cost").inner_text()
    assert page.evaluate(SCALE) == "20.0 px"
    zoom_in(page, 3)
    assert depth(page) == 3
    assert page.evaluate(SCALE) == "2.3 px"
    assert page.evaluate(f"{FETCHED}.length") == 0
    zoom_in(page, 2)
    until(page, DONE)
    assert page.evaluate(f"{FETCHED}.length") == 2
    assert depth(page) == DEEPEST
    assert page.evaluate(SCALE) == "0 px"
    assert not page.locator(".atlas-cost").is_visible()
    own = Address.parse(page.evaluate(ADDRESS))
    wanted = to_uint8(tiles.at(own).picture[None])[0, ..., 0]
    assert np.abs(saved(page).astype(int) - wanted).max() <= 8  # weights of 16 bits
    page.locator(".atlas-home").click()
    assert depth(page) == 0
    assert page.locator(".atlas-out").get_attribute("aria-disabled") == "true"


def test_prepared_tile_in_full(page: Page, tiles: Tiles) -> None:
    """A prepared tile is opened large and saved as Python draws it, which fetches the model."""
    zoom_in(page, 2)
    assert depth(page) == 2
    wanted = to_uint8(tiles.at(Address.parse(page.evaluate(ADDRESS))).picture[None])[0, ..., 0]
    large = page.locator(".atlas-dialog canvas")
    page.locator(".atlas-large").click()
    until(page, "document.querySelector('.atlas-dialog canvas').width === 28")
    assert large.is_visible()
    page.locator(".atlas-dialog button").click()
    assert np.abs(saved(page).astype(int) - wanted).max() <= 8
    assert page.evaluate(f"{FETCHED}.length") == 2


def test_link(browser: Browser, address: str) -> None:
    """A link opens its tile and can be copied; one to a tile that is not there says so."""
    with opened(browser, f"{address}#atlas/2.02131") as page:
        until(page, DONE)
        assert page.evaluate(ADDRESS) == "2.02131"
        box, ring = (box_of(page.locator(f".atlas-{name}").first) for name in ("map", "ring"))
        assert abs(ring["x"] + ring["width"] / 2 - box["x"] - box["width"] / 2) < 5
        frames(page)
        page.evaluate("location.hash = '#atlas/3'")
        until(page, f"{ADDRESS} === '3'")
        page.locator(".atlas-link").click()
        expect(page.locator(".atlas-told")).to_contain_text("link is")
        assert page.url.endswith("#atlas/3")
        page.evaluate("location.hash = '#atlas/9.2'")
        expect(page.locator(".atlas-told")).to_have_text("The link names no tile of this map.")


def test_keyboard(page: Page) -> None:
    """One tab stop, whose keys go to neighbours, in, out and home, with level and position said."""
    page.locator(".atlas-in").focus()
    page.keyboard.press("Shift+Tab")
    first = page.evaluate(FOCUS)
    assert first[:4] == ["1", "4", "4", "false"]
    page.keyboard.press("Enter")
    assert page.evaluate(FOCUS)[:4] == ["2", "1", "4", "false"]
    assert page.evaluate(f"{FOCUS}[4]") == f"{first[4]}.0"
    assert depth(page) == 1
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(FOCUS)[1:] == ["4", "4", "false", f"{first[4]}.3"]
    assert page.locator("[role=tree] [tabindex='0']").count() == 1
    parents = page.locator("[role=treeitem][aria-expanded=true]")
    assert parents.count() == 1
    assert violations(page) == []
    item, map_ = box_of(page.locator("[role=treeitem]:focus")), box_of(page.locator(".atlas-map"))
    assert 0.4 < item["width"] / map_["width"] < 0.55
    page.keyboard.press("Backspace")
    assert page.evaluate(FOCUS)[0::4] == ["1", first[4]]
    page.keyboard.press("-")
    assert depth(page) == 0
    for _ in range(DEEPEST):
        page.keyboard.press("Enter")
    assert page.evaluate(FOCUS)[0] == str(DEEPEST + 1)
    page.keyboard.press("Enter")
    assert "--address" in page.locator("dialog[open] code").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("Home")
    assert page.evaluate(FOCUS)[0] == "1"
    assert depth(page) == 0


def test_mouse(page: Page) -> None:
    """The wheel scrolls the page until the mouse has moved over the map, and then zooms there."""
    map_ = page.locator(".atlas-map")
    box = box_of(map_)
    x, y = box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"]
    page.mouse.move(x, y)
    page.evaluate("scrollTo(0, 50)")
    until(page, "scrollY === 50")
    frames(page)
    page.mouse.wheel(0, -200)
    until(page, "scrollY === 0")
    assert depth(page) == 0
    page.evaluate("scrollTo(0, 0)")
    frames(page)
    page.mouse.move(x + 3, y + 3)
    page.mouse.move(x, y)
    corner = page.evaluate(ADDRESS)
    for _ in range(3):
        page.mouse.wheel(0, -350)
    until(page, f"{ADDRESS}.split('.')[1]?.length === 3")
    assert page.evaluate(ADDRESS).startswith(corner)
    assert page.evaluate("scrollY") == 0
    before = page.evaluate(ADDRESS)
    page.mouse.down()
    page.mouse.move(x - 300, y - 300, steps=4)
    page.mouse.up()
    page.mouse.move(x, y)
    until(page, f"{ADDRESS} !== '{before}'")
    page.mouse.dblclick(x - 100, y - 100)
    until(page, f"{ADDRESS}.split('.')[1]?.length === 4")


def test_line(page: Page) -> None:
    """The line of a tile has a picture of each level, and the part that each split took."""
    zoom_in(page, 2)
    page.locator(".atlas-map").click(position={"x": 100, "y": 100})
    frames(page, 3)
    _, digits = page.evaluate(ADDRESS).split(".")
    rows = page.locator(".atlas-line li")
    assert rows.count() == DEEPEST + 1
    assert [row.get_attribute("data-digit") for row in rows.all()] == ["", *digits, "", "", ""]
    widths = "rows => rows.map(row => row.querySelector('canvas').width > 1)"
    assert rows.evaluate_all(widths) == [True] * 3 + [False] * 3
    assert rows.nth(2).inner_text().endswith("4.9 px")
    page.mouse.move(5, 5)
    rows.nth(1).click()
    assert depth(page) == 1


def test_fingers(browser: Browser, address: str) -> None:
    """A finger scrolls the page before a tap on the map, and pans and pinches after it."""
    options: Any = {"viewport": {"width": 390, "height": 800}, "has_touch": True, "is_mobile": True}
    with opened(browser, address, reduced_motion="reduce", **options) as page:
        until(page, "document.querySelector('.atlas.live')")
        action = "getComputedStyle(document.querySelector('.atlas-map')).touchAction"
        assert page.evaluate(action) == "auto"
        box = box_of(page.locator(".atlas-map"))
        assert box["width"] >= 340
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        x, y = box["x"] + 100, box["y"] + 100
        page.touchscreen.tap(x, y)
        until(page, f"{action} === 'none'")
        touch = page.context.new_cdp_session(page)

        def fingers(kind: str, *points: tuple[float, float]) -> None:
            places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        page.wait_for_timeout(400)
        fingers("touchStart", (x, y), (x + 20, y))
        for step in range(1, 6):
            fingers("touchMove", (x - 15 * step, y), (x + 20 + 15 * step, y))
        fingers("touchEnd")
        until(page, f"{ADDRESS}.split('.')[1].length > 3")
        assert page.evaluate("scrollY") == 0
        page.touchscreen.tap(200, box["y"] - 20)
        until(page, f"{action} === 'auto'")
        for button in page.locator(".atlas button:visible").all():
            size = box_of(button)
            assert min(size["width"], size["height"]) >= 44


def test_two_maps(browser: Browser, address: str) -> None:
    """Two models have one camera, a ring at one place, and a line each; both are fetched."""
    with opened(browser, f"{address}more/", reduced_motion="reduce") as page:
        until(page, "document.querySelector('.atlas.live')")
        page.locator(".atlas-home").click()
        page.locator(".atlas-map").nth(1).hover(position={"x": 30, "y": 30})
        frames(page, 3)
        places = "rings => rings.map(({ style }) => style.cssText)"
        one, other = page.locator(".atlas-ring").evaluate_all(places)
        assert one == other
        zoom_in(page, 4)
        until(page, DONE)
        assert page.evaluate(f"{FETCHED}.length") == 3
        assert page.locator(".atlas-line").count() == 2
        scales = page.locator(".atlas-scale").all_inner_texts()
        assert scales[0].startswith("tiny · σB = ")
        assert "flow · t = " in scales[1]
        assert violations(page) == []


def test_memory_is_given_back(page: Page) -> None:
    """Leaving the page ends the workers; who comes back goes on."""
    zoom_in(page, DEEPEST)
    until(page, DONE)
    assert page.workers
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide'))")
    for _ in range(1000):  # in Playwright's own time, which hears of their ends
        if page.workers:
            page.wait_for_timeout(20)
    assert not page.workers
    page.locator(".atlas-out").click()
    until(page, DONE)


def test_lost_model(browser: Browser, address: str) -> None:
    """A model that does not come is said, and another try fetches it."""
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.route("**/*.bin", lambda route: route.abort())
    page.goto(f"{address}#atlas/0.0000")
    expect(page.locator(".atlas-told")).to_contain_text("could not be loaded")
    page.unroute("**/*.bin")
    page.locator(".atlas-fetch").click()
    until(page, DONE)
    context.close()


def test_saved_data(browser: Browser, address: str) -> None:
    """For a visitor who saves data the model is fetched after a press, and not before."""
    saves = "Object.defineProperty(navigator, 'connection', { value: { saveData: true } })"
    with opened(browser, f"{address}#atlas/0.0000", saves, reduced_motion="reduce") as page:
        expect(page.locator(".atlas-told")).to_contain_text("Your browser saves data.")
        frames(page)
        assert page.evaluate(f"{FETCHED}.length") == 0
        assert page.locator(".atlas-fetch").inner_text() == "Fetch the model"
        page.locator(".atlas-fetch").click()
        until(page, DONE)
        assert page.evaluate(f"{FETCHED}.length") == 2


def test_the_page_keeps_a_core(browser: Browser, address: str) -> None:
    """On two cores a single worker draws, so that the page answers meanwhile."""
    cores = "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 2 })"
    with opened(browser, f"{address}#atlas/0.00000", cores, reduced_motion="reduce") as page:
        until(page, DONE)
        assert len(page.workers) == 1


def test_link_into_a_tab(browser: Browser, address: str) -> None:
    """A link to a tile opens the tab and the details that its map is in, at any time."""
    with opened(browser, f"{address}tabs/#hidden/1.02", reduced_motion="reduce") as page:
        until(page, f"{ADDRESS} === '1.02'")
        assert page.locator(".atlas-map").is_visible()
        page.get_by_role("radio", name="Other").check()
        page.locator("details").evaluate("details => details.open = false")
        assert not page.locator(".atlas-map").is_visible()
        page.evaluate("location.hash = '#atlas/2.3'")
        until(page, f"{ADDRESS} === '2.3'")
        assert page.locator(".atlas-map").is_visible()


def test_without_script(browser: Browser, address: str, atlas_site: Path) -> None:
    """Without JavaScript and in print there is the poster, and no map."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator(".atlas-poster img").is_visible()
    assert not page.locator(".atlas-view").is_visible()
    context.close()
    with opened(browser, address) as page:
        page.emulate_media(media="print")
        assert page.locator(".atlas-poster img").is_visible()
        assert not page.locator(".atlas-view").is_visible()
    assert html_faults(atlas_site / "index.html", atlas_site / "more/index.html") == ""
