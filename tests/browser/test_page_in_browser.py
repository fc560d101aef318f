"""The page around what moves (`test_script.py`), its look, and what axe and html-validate say."""

import io
import re
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, Page

from sitegen.deploy.check import check_folder
from tests.browser.conftest import Look
from tests.conftest import SampleSite
from tests.support.browsing import (
    box_of,
    frames,
    html_faults,
    opened,
    until,
    violations,
    watch,
)
from tests.support.builders import Builder, write_page, write_site
from tests.support.paths import ROOT
from tests.support.serving import serving

PAGES = ("index.html", "second/index.html")


@pytest.mark.parametrize("place", ["file", "http"])
def test_nothing_goes_wrong(browser: Browser, sample_site: SampleSite, place: str) -> None:
    """No message on the console, no request that fails, none to elsewhere, and no GIF."""
    start = sample_site.address if place == "http" else f"{sample_site.folder.as_uri()}/"
    page = browser.new_page(viewport={"width": 1280, "height": 500})
    troubles, asked = watch(page)
    for uri in PAGES:
        page.goto(start + uri)
        page.wait_for_load_state("networkidle")
        if uri == "index.html":
            assert not [url for url in asked if url.endswith(".gif")]
        page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        until(page, "[...document.images].every(image => image.naturalWidth > 0)")
    assert troubles == []
    assert all(url.startswith(start) for url in asked)
    page.close()


def test_links_arrive(sample_site: SampleSite) -> None:
    """Every link and address, also in the card, leads to what is there."""
    found = check_folder(sample_site.folder, sample_site.address)
    assert found.errors == ()
    assert found.pages == len(PAGES) + 1


@pytest.mark.parametrize("width", [320, 768, 2560])
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
def test_no_layout_shift(look: Look, width: int) -> None:
    """Nothing moves while the page loads, clips start, and the visitor reads down to the end."""
    with look(width=width, reduced_motion="no-preference") as page:
        for _ in range(12):
            page.mouse.wheel(0, 600)
            frames(page, 4)
        assert page.evaluate(SHIFTS) == 0


def pixels(place: Locator) -> NDArray[np.float64]:
    """What is seen of an element, (H, W, 3)."""
    shot = Image.open(io.BytesIO(place.screenshot()))
    return np.asarray(shot.convert("RGB"), dtype=np.float64)


def test_veil_over_a_tree(calm: Page) -> None:
    """What a branch shares stays as it is; over all else lies one even veil, also on the arrows."""
    stage = calm.locator("#hierarchy .stage")
    nodes = calm.locator("#hierarchy .node")
    stage.scroll_into_view_if_needed()
    until(calm, "document.querySelector('#hierarchy .stage img').naturalWidth > 0")
    before = pixels(stage)
    nodes.nth(7).evaluate("e => e.focus({focusVisible: false})")
    after = pixels(stage)
    veiled = 0.22 * before + 0.78 * 255
    frame = box_of(stage)
    shared = {0: before, 1: before, 3: before}  # the root, and its way to the first leaf
    for number, wanted in {**shared, **dict.fromkeys((2, 4, 8, 9, 10, 14), veiled)}.items():
        box = box_of(nodes.nth(number))
        left, top = round(box["x"] - frame["x"]) + 4, round(box["y"] - frame["y"]) + 4
        inside = np.s_[top : top + round(box["width"]) - 8, left : left + round(box["width"]) - 8]
        assert np.abs(after[inside] - wanted[inside]).max() < 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_slider_in_forced_colours(look: Look, scheme: Any) -> None:
    """Where the system chooses the colours, a slider still has its track, from end to end."""
    with look(color_scheme=scheme, forced_colors="active") as page:
        picture = pixels(page.locator("#trajectories .slider"))
    track = picture[len(picture) // 2, 4:-4].mean(axis=1)
    assert (np.abs(track - picture[2].mean()) > 100).all()


@pytest.mark.parametrize(("width", "way"), [(320, "setting"), (390, "style"), (768, "setting")])
def test_type_of_twice_the_size(look: Look, width: int, way: str) -> None:
    """Nothing leaves the screen, no word of the title is cut, and icons grow along."""
    with look(width=width, height=800) as page:
        if way == "setting":
            sizes = {"fontSizes": {"standard": 32, "fixed": 26}}
            page.context.new_cdp_session(page).send("Page.setFontSizes", sizes)
        else:
            page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(
            "[...document.querySelectorAll('h1, .banner p, .banner p *, .button, .readout span')]"
            ".every(e => { const box = e.getBoundingClientRect();"
            " return box.left >= 0 && box.right <= innerWidth })"
        )
        assert page.evaluate("document.querySelector('.skip').getBoundingClientRect().bottom") <= 0
        for icon in (".play .icon", ".button .icon"):
            assert box_of(page.locator(icon).first)["width"] == pytest.approx(40, abs=2)
        page.locator(".cell-button").first.press("Enter")
        assert page.locator("#viewer").evaluate(
            "e => e.scrollWidth <= e.clientWidth && e.getBoundingClientRect().right <= innerWidth"
        )


def test_the_last_section_is_marked(browser: Browser, tmp_path: Path) -> None:
    """At the end of the page it is, though its heading does not come up to the upper third."""
    site = Builder(write_site(tmp_path / "site"))
    sections = [f"## Section {number}\n\n{'Text. ' * 2000}" for number in range(5)]
    write_page(site.config, "\n\n".join([*sections, "## Last\n\nWords.\n"]))
    site()
    with serving(site.output) as address, opened(browser, address) as page:
        mark = "document.querySelector('.contents [aria-current]')?.textContent.trim()"
        until(page, f"{mark} === 'Section 0'")
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        until(page, f"{mark} === 'Last'")
        assert page.evaluate("document.getElementById('h-last').getBoundingClientRect().top") > 267


FILL = """list => {
    const other = list.lastElementChild.cloneNode(true);
    other.firstElementChild.removeAttribute('aria-current');
    for (let n = 1; n < 11; n++) list.prepend(other.cloneNode(true));
}"""


def test_menu_that_unfolds(look: Look) -> None:
    """Thirty pages are one line of a phone until a key unfolds them, each below the next."""
    with look("second/", width=390) as page:
        for _ in range(3):
            page.locator(".menu ul").evaluate(FILL)
        fold = page.locator(".menu .fold")
        fold.evaluate("fold => fold.append('A title that is long '.repeat(5))")
        assert box_of(page.locator(".menu"))["height"] < 60
        fold.press("Enter")
        links = page.locator(".menu a")
        boxes = [box_of(links.nth(number)) for number in range(links.count())]
        assert len(boxes) > 30
        assert all(0 <= box["x"] <= 390 - box["width"] and box["height"] > 24 for box in boxes)
        assert len({round(box["y"]) for box in boxes}) == len(boxes)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


COVERED = """() => {
    const over = document.querySelector('.motion').getBoundingClientRect();
    return [...document.querySelectorAll('main *, nav *, footer *, header *')]
        .filter(e => !e.closest('.corner, .scroll > *')).filter(e => {
            const box = e.getBoundingClientRect();
            return box.width && box.left < over.right && over.left < box.right
                && box.top < over.bottom && over.top < box.bottom;
        }).map(e => e.outerHTML.slice(0, 100));
}"""


@pytest.mark.parametrize("width", [320, 768, 1279, 1280])
def test_button_for_motion_covers_nothing(look: Look, width: int) -> None:
    """It stands between other things, or beside the column: never over words or figures."""
    with look(width=width, height=700) as page:
        assert page.locator(".motion").inner_text()
        for top in range(0, page.evaluate("document.body.scrollHeight"), 640):
            page.evaluate("top => scrollTo(0, top)", top)
            assert page.evaluate(COVERED) == []


def test_words_in_drawings_on_a_phone(look: Look) -> None:
    """A drawing keeps a size at which its words can be read, and scrolls by keyboard, too."""
    with look(width=390) as page:
        box = box_of(page.locator(".still img"))
        assert box["width"] == 576
        scroll = page.locator(".scroll:has(> .still)")
        assert scroll.evaluate("e => e.scrollWidth > e.clientWidth")
        page.locator(".still").focus()
        page.keyboard.press("ArrowRight")
        until(page, "document.querySelector('.scroll:has(> .still)').scrollLeft > 0")


@pytest.mark.parametrize(("scheme", "wish"), [("light", ""), ("dark", ""), ("light", "dark")])
def test_on_paper(look: Look, scheme: Any, wish: str) -> None:
    """Dark words and figures on white, whatever the screen is, and nothing that needs a hand."""
    before = f"localStorage['sitegen-scheme'] = '{wish}'"
    with look(color_scheme=scheme, before=before) as page:
        page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        loaded = "[...document.images].every(image => image.complete)"
        until(page, loaded)  # what is on its way would be broken off where paper needs another
        page.emulate_media(media="print", color_scheme=scheme, reduced_motion="reduce")
        until(page, loaded)
        colours = page.evaluate(
            "['body', 'h1', '.lead'].map(name => getComputedStyle(document.querySelector(name)))"
            ".map(style => [style.color, style.backgroundColor])"
        )
        assert colours[0] == ["rgb(29, 33, 48)", "rgb(255, 255, 255)"]
        assert colours[1:] == [["rgb(29, 33, 48)", "rgba(0, 0, 0, 0)"]] * 2
        for name in (".service", ".origin", ".play", ".slider", ".motion", ".downloads", ".scheme"):
            assert not page.locator(name).first.is_visible(), name
        breaks = "e => getComputedStyle(e).breakInside"
        assert page.locator("#hierarchy").evaluate(breaks) == "auto"  # words fill the page below
        assert page.locator("#hierarchy .view").evaluate(breaks) == "avoid"
        assert page.locator("#hierarchy .filmstrip").is_visible()
        stage = page.locator("#hierarchy .stage")
        assert pixels(stage)[2, 2].min() > 240
        assert stage.evaluate("e => e.getBoundingClientRect().height") < 260
        fits = "images => images.map(image => getComputedStyle(image).objectFit)"
        assert {*page.locator(".stage img").evaluate_all(fits)} == {"contain"}  # none is cropped
        assert len(page.pdf()) > 1000


STRIPS = """() => [...document.querySelectorAll('.filmstrip')].map(strip => [...strip.children]
    .map(image => [image.offsetWidth, getComputedStyle(image).objectPosition]))"""


@pytest.mark.parametrize(("width", "media"), [(390, "screen"), (320, "screen"), (1280, "print")])
def test_filmstrips_without_script(
    browser: Browser, sample_site: SampleSite, width: int, media: Literal["screen", "print"]
) -> None:
    """Six pictures of six moments are there on a phone and on paper."""
    page = browser.new_page(java_script_enabled=False, viewport={"width": width, "height": 800})
    page.emulate_media(media=media)
    page.goto(sample_site.address)
    strips = page.evaluate(STRIPS)
    assert strips
    for strip in strips:
        assert min(wide for wide, _ in strip) >= 30
        assert len({position for _, position in strip}) == 6
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing(look: Look, scheme: Any, width: int) -> None:
    """No violation, nor of contrast, by day and by night, narrow and wide, the viewer included."""
    for uri in (*PAGES, "404.html"):
        with look(uri, width=width, color_scheme=scheme) as page:
            page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
            assert violations(page) == [], uri
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
            for about in page.locator(".sheet.origin").all()[:1]:
                about.evaluate("e => { e.style.height = '4rem'; e.showPopover() }")
                assert violations(page) == [], "how a figure was made, in little room"
                about.evaluate("e => e.hidePopover()")
            for button in page.locator(".cell-button, .node").all()[:1]:
                button.press("Enter")
                assert page.locator("#viewer").is_visible()
                assert violations(page) == [], "the viewer"


RECIPE = re.search(
    r"printf '(.*)\\n' > theme/colours\.css",
    (ROOT / "docs" / "pages" / "theme.md").read_text(encoding="utf-8"),
)
COLOURS = [RECIPE[1] if RECIPE else "", ":root { --accent: #ffd400; }"]
"""The colours that the manual proposes, and a glaring one."""


@pytest.mark.parametrize(("scheme", "colours"), [*zip(("dark", "light"), COLOURS, strict=True)])
def test_axe_finds_nothing_in_own_colours(
    browser: Browser, sample_site: SampleSite, tmp_path: Path, scheme: Any, colours: str
) -> None:
    """A dark accent can be read by night, a glaring one by day, and it colours the buttons."""
    site = shutil.copytree(sample_site.folder, tmp_path / "site" / "sub")
    calm: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce"}
    buttons = []
    for own in ("", colours):
        for sheet in (site / "assets").glob("style-*.css"):
            sheet.write_text(sheet.read_text(encoding="utf-8") + own, encoding="utf-8")
        with serving(site) as address, opened(browser, address, **calm) as page:
            page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
            assert violations(page, "color-contrast", "link-in-text-block") == []
            colour = "e => getComputedStyle(e).backgroundColor"
            buttons.append(page.locator(".button").first.evaluate(colour))
    assert buttons[0] != buttons[1]


def test_html_validate_finds_nothing(sample_site: SampleSite) -> None:
    """No error in any page, by the recommended rules."""
    assert html_faults(*(sample_site.folder / uri for uri in (*PAGES, "404.html"))) == ""
