"""A figure alone on its page, in a frame of another page, and the line that puts it there."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Look
from tests.browser.test_script import LARGE, SEEN
from tests.conftest import SampleSite
from tests.support.browsing import html_faults, until, violations, watch
from tests.support.sample_site import LEVELS, shade
from tests.support.serving import serving

KINDS = ("trajectories", "hierarchy", "interpolation", "chart")
BOARD = ["clipboard-read", "clipboard-write"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_alone(look: Look, scheme: Any, width: int) -> None:
    """It fits, axe finds nothing, it links back, and it is light before anything is played."""
    for kind in KINDS:
        with look(f"media/embed/{kind}/", width=width, color_scheme=scheme) as page:
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("figure").count() == 1
            home = page.locator("h1 a")
            assert home.get_attribute("href") == f"../../../index.html#{kind}"
            assert home.get_attribute("target") == "_top"
            weights = "performance.getEntriesByType('resource').map(e => e.decodedBodySize)"
            assert sum(page.evaluate(weights)) < 150_000


def test_in_a_frame(browser: Browser, sample_site: SampleSite, tmp_path: Path) -> None:
    """The line that is copied shows the figure in a page elsewhere, where it works by itself."""
    context = browser.new_context(permissions=BOARD, reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{sample_site.address}second/")
    page.locator("#single-1 .service").get_by_role("button", name="Embed").press("Enter")
    box = page.locator("#single-1-embed")
    assert f'src="{sample_site.address}media/embed/second/single-1/' in box.inner_text()
    page.goto(sample_site.address)
    box = page.locator("#trajectories-embed")
    expect(box.locator(".framing")).to_be_hidden()
    page.locator("#trajectories .service").get_by_role("button", name="Embed").press("Enter")
    box.get_by_role("button", name="Copy").press("Enter")
    expect(box.locator("[role=status]")).to_have_text("Copied.")
    line = page.evaluate("navigator.clipboard.readText()")
    assert line.startswith(f'<iframe src="{sample_site.address}media/embed/trajectories/')
    assert 'title="The trajectories."' in line
    other = tmp_path / "other" / "sub"
    other.mkdir(parents=True)
    (other / "index.html").write_text(f"<!DOCTYPE html><title>Other</title>{line}")
    with serving(other) as address:
        troubles, asked = watch(page)
        page.goto(address)
        frame = page.frame_locator("iframe")
        # A lazy frame may begin after the page has loaded, and shows its slider as long as it has
        # no stylesheet; what the script has made ready is waited for.
        expect(frame.locator("figure.live")).to_be_visible()
        frame.locator(".slider").fill("0")
        (inner,) = (each for each in page.frames if each.parent_frame)
        seen = f"Math.abs(({SEEN})(document.querySelector('video'), 30, 100) - {shade(0)}) < 5"
        until(inner, seen)  # type: ignore[arg-type]
        frame.locator(".cell-button").press("Enter")
        expect(frame.get_by_role("dialog")).to_be_visible()
        until(inner, f"Math.abs({LARGE} - {shade(0)}) < 5")  # type: ignore[arg-type]
        expect(frame.locator("#viewer .readout")).to_contain_text(f"k = {LEVELS}")
        assert all(url.startswith((address, sample_site.address)) for url in asked)
        assert [each for each in troubles if "favicon" not in each and "404" not in each] == []
        frame.get_by_role("button", name="Close").click()
        frame.locator("h1 a").click()
        page.wait_for_url(f"{sample_site.address}index.html#trajectories")
    context.close()


def test_without_the_script(browser: Browser, sample_site: SampleSite) -> None:
    """Where no script runs a link leads to the figure alone, which has the browser's controls."""
    page = browser.new_page(java_script_enabled=False)
    page.goto(sample_site.address)
    box = page.locator("#trajectories-embed")
    page.locator("#trajectories .service").get_by_role("button", name="Embed").click()
    expect(box.locator(".framing")).to_be_hidden()
    box.get_by_role("link", name="This figure alone").click()
    page.wait_for_url("**/media/embed/trajectories/index.html")
    assert page.locator("video").get_attribute("controls") == ""
    page.close()


def test_html_validate_finds_nothing(sample_site: SampleSite) -> None:
    """No error in any such page, by the recommended rules."""
    files = (sample_site.folder / f"media/embed/{kind}/index.html" for kind in KINDS)
    assert html_faults(*files) == ""
