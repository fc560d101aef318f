"""The look of pages where it is easily lost: veils, colours, large type, paper, small screens."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, Page

from tests.browsing import opened
from tests.conftest import Exhibition

CALM: dict[str, Any] = {"reduced_motion": "reduce"}


def pixels(place: Locator) -> NDArray[np.float64]:
    """What is seen of an element, (H, W, 3)."""
    shot = Image.open(io.BytesIO(place.screenshot()))
    return np.asarray(shot.convert("RGB"), dtype=np.float64)


def test_veil_over_a_tree(browser: Browser, exhibition: Exhibition) -> None:
    """What a branch shares stays as it is; over all else lies one even veil, also on the arrows."""
    with opened(browser, exhibition.address, **CALM) as page:
        stage = page.locator("#hierarchy .stage")
        before = pixels(stage)
        page.locator("#hierarchy .node").nth(7).evaluate("e => e.focus({focusVisible: false})")
        after = pixels(stage)
        boxes: list[list[int]] = page.locator("#hierarchy .node").evaluate_all(
            """nodes => nodes.map(node => {
                const [box, all] = [node, node.parentElement].map(e => e.getBoundingClientRect());
                return [box.left - all.left, box.top - all.top, box.width].map(Math.round);
            })"""
        )

        def seen(number: int, picture: NDArray[np.float64]) -> NDArray[np.float64]:
            left, top, side = boxes[number]
            return picture[top + 4 : top + side - 4, left + 4 : left + side - 4]

        for shared in (0, 1, 3):  # the root, and its way to the first leaf
            assert np.abs(seen(shared, after) - seen(shared, before)).max() < 3
        veiled = 0.22 * before + 0.78 * 255
        for other in (2, 4, 8, 9, 10, 14):
            assert np.abs(seen(other, after) - seen(other, veiled)).max() < 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_slider_in_forced_colours(browser: Browser, exhibition: Exhibition, scheme: Any) -> None:
    """Where the system chooses the colours, a slider still has its track, from end to end."""
    options: dict[str, Any] = {"color_scheme": scheme, "forced_colors": "active", **CALM}
    with opened(browser, exhibition.address, **options) as page:
        picture = pixels(page.locator("#trajectories .slider"))
    track = picture[len(picture) // 2, 4:-4].mean(axis=1)
    assert (np.abs(track - picture[2].mean()) > 100).all()


@contextmanager
def enlarged(browser: Browser, address: str, width: int, way: str) -> Iterator[Page]:
    """A page whose reader has doubled the size of the type, and nothing else."""
    options: dict[str, Any] = {"viewport": {"width": width, "height": 800}, **CALM}
    with opened(browser, address, **options) as page:
        if way == "setting":
            sizes = {"fontSizes": {"standard": 32, "fixed": 26}}
            page.context.new_cdp_session(page).send("Page.setFontSizes", sizes)
        else:
            page.evaluate("document.documentElement.style.fontSize = '200%'")
        yield page


@pytest.mark.parametrize("way", ["setting", "style"])
@pytest.mark.parametrize("width", [320, 390, 768])
def test_type_of_twice_the_size(
    browser: Browser, exhibition: Exhibition, width: int, way: str
) -> None:
    """Nothing leaves the screen, no word of the banner is cut, and icons grow along."""
    with enlarged(browser, exhibition.address, width, way) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(
            "[...document.querySelectorAll('.banner-text, .banner-text *, .readout span')]"
            ".every(e => { const box = e.getBoundingClientRect();"
            " return box.left >= 0 && box.right <= innerWidth })"
        )
        assert page.evaluate("document.querySelector('.skip').getBoundingClientRect().bottom") <= 0
        for icon in (".play .icon", ".button .icon"):
            box = page.locator(icon).first.bounding_box()
            assert box is not None
            assert box["width"] == pytest.approx(40, abs=2)
        page.locator(".lens").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("#viewer").evaluate(
            "e => e.scrollWidth <= e.clientWidth && e.getBoundingClientRect().right <= innerWidth"
        )


BOX = """
(element) => {
  const range = document.createRange();
  range.selectNodeContents(element);
  return ['left', 'right', 'top', 'bottom'].map(side => range.getBoundingClientRect()[side]);
}
"""
"""Where the words of an element are."""


def words(page: Page, selector: str) -> list[float]:
    """The left, right, top and bottom of an element's words."""
    box: list[float] = page.locator(selector).first.evaluate(BOX)
    return box


def test_what_stands_in_line(browser: Browser, exhibition: Exhibition) -> None:
    """Rules, tables, readouts and code keep to the lines that the eye draws."""
    with opened(browser, exhibition.address, **CALM) as page:
        page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
        left, right = words(page, "main > p")[:2]
        rule = page.locator("footer").bounding_box()
        assert rule is not None
        assert rule["x"] == pytest.approx(left, abs=1)
        assert rule["x"] + rule["width"] >= right
        table = words(page, ".numbers table")
        assert sum(table[:2]) == pytest.approx(1280, abs=2)
        assert words(page, ".result")[2] > words(page, "#chart .downloads")[3] + 20
        code = page.locator(".bibtex .scroll").bounding_box()
        assert code is not None
        assert words(page, ".bibtex code")[1] < code["x"] + code["width"] - 15
        frame = page.locator("#trajectories .scrubber").bounding_box()
        level, sigma = (
            words(page, f"#trajectories .readout span:nth-of-type({n})") for n in (1, 2)
        )
        assert frame is not None
        assert sigma[1] == pytest.approx(frame["x"] + frame["width"], abs=1)
        assert 5 < sigma[0] - level[1] < 20
        names = page.locator("#interpolation .panels").bounding_box()
        assert names is not None
        assert names["width"] <= 1  # the film has them in it
