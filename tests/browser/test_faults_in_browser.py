"""A page does what it can where the browser or the line does not: storage, history, films."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.test_scheme_in_browser import NIGHT, PAPER, choice
from tests.browser.test_script import CALM, LARGE, PLAYING, slide
from tests.conftest import SampleSite
from tests.support.browsing import (
    frames,
    opened,
    until,
)
from tests.support.sample_site import LEVELS, shade

DENIED = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no') }})"
BACK = "dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
AGREE = """
() => {
  const figure = document.querySelector('#trajectories');
  const told = figure.querySelector('.slider').getAttribute('aria-valuetext');
  return [figure.querySelector('.slider').value, told];
}
"""


def new_page(browser: Browser, **options: Any) -> tuple[Page, list[str]]:
    """A page, and the errors that its scripts make."""
    page, errors = browser.new_page(**options), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    return page, errors


def test_storage_that_keeps_nothing(browser: Browser, sample_site: SampleSite) -> None:
    """Where a browser keeps nothing, each choice holds for the page, and no script stumbles."""
    page, errors = new_page(browser)
    page.add_init_script(DENIED)
    page.goto(sample_site.address)
    choice(page).select_option("dark")
    until(page, f"{PAPER} === '{NIGHT}'")
    stop = page.get_by_role("button", name="Stop all motion")
    expect(stop).to_be_visible()
    stop.click()
    until(page, "[...document.querySelectorAll('video')].every(video => video.paused)")
    assert errors == []
    page.close()


def test_back_and_forward(browser: Browser, sample_site: SampleSite) -> None:
    """Back from another page, slider and words tell the same level, and both go on working."""
    page, errors = new_page(browser, **CALM)
    page.goto(sample_site.address)
    slide(page, "trajectories", 5)
    until(page, "document.querySelector('#trajectories .slider').ariaValueText !== ''")
    page.goto(sample_site.address + "second/")
    page.go_back()
    expect(page.locator("#trajectories .slider")).to_be_visible()
    value, told = page.evaluate(AGREE)
    assert re.match(rf"level {LEVELS - int(value)},", told), (value, told)
    slide(page, "trajectories", 3)
    expect(page.locator("#trajectories .slider")).to_have_attribute(
        "aria-valuetext", re.compile(f"^level {LEVELS - 3},")
    )
    page.go_forward()
    page.go_back()
    value, told = page.evaluate(AGREE)
    assert re.match(rf"level {LEVELS - int(value)},", told), (value, told)
    assert errors == []
    page.close()


@pytest.mark.parametrize("where", ["another tab", "another page"])
def test_motion_stopped_elsewhere(browser: Browser, sample_site: SampleSite, where: str) -> None:
    """A page follows the wish for motion of another tab, or of a page that one comes back from."""
    with opened(browser, sample_site.address + "second/") as page:
        other = page.context.new_page()
        other.goto(sample_site.address)
        for wish, words in (("stopped", "Let clips play"), ("moving", "Stop all motion")) * 2:
            if where == "another tab":
                other.locator(".motion").click()
            else:
                page.evaluate(f"localStorage['sitegen-motion'] = '{wish}'; {BACK}")
            expect(page.locator(".motion")).to_have_text(words)
            until(page, f"{PLAYING} {'=== 0' if wish == 'stopped' else '> 0'}")


@pytest.mark.parametrize("how", ["missing", "cut off", "damaged"])
def test_films_that_are_no_films(browser: Browser, sample_site: SampleSite, how: str) -> None:
    """A host that says 404, or sends half a clip or noise: it is said, and the poster stays."""
    film = next(Path(sample_site.folder).rglob("trajectories-*.mp4")).read_bytes()
    bodies = {"missing": b"no", "cut off": film[: len(film) // 8], "damaged": bytes(len(film))}

    def answer(route: Route) -> None:
        status = 404 if how == "missing" else 200
        route.fulfill(status=status, body=bodies[how], content_type="video/mp4")

    page, errors = new_page(browser, **CALM)
    page.route("**/*.mp4", answer)
    page.goto(sample_site.address)
    slide(page, "trajectories", 0)
    trouble = page.locator("#trajectories").get_by_role("alert")
    expect(trouble).to_have_text(re.compile("could not be loaded"))
    expect(page.locator("#trajectories .slider")).to_have_value(str(LEVELS))
    poster = page.locator("#trajectories .stage img").first
    expect(poster).not_to_have_js_property("naturalWidth", 0)
    expect(poster).to_be_visible()
    assert errors == []
    page.close()


def test_host_without_ranges(browser: Browser, sample_site: SampleSite) -> None:
    """A clip that a host sends only whole is fetched whole, and then its slider moves it."""
    media = sample_site.folder / "media"
    page = browser.new_page(**CALM)
    page.route("**/*.mp4", lambda route: route.fulfill(path=media / Path(route.request.url).name))
    page.goto(sample_site.address)
    page.locator("#hierarchy .stage").scroll_into_view_if_needed()
    page.locator("#hierarchy .node").last.click()
    slider = page.locator("#viewer .slider")
    last = int(slider.input_value())
    slider.press("ArrowLeft")
    expect(page.locator("#viewer [data-slot='{level}']")).to_have_text("1")
    until(page, f"Math.abs({LARGE} - {shade(LEVELS - 1)}) < 5")
    expect(slider).to_have_value(str(last - 1))
    expect(page.locator("#viewer .trouble")).to_be_hidden()
    page.close()


HASTE = (
    "const real = setTimeout; setTimeout = (task, wait) => real(task, wait > 9999 ? 500 : wait);"
)


def test_clip_that_nobody_sends(browser: Browser, sample_site: SampleSite) -> None:
    """A host that never answers is told after a while, as one that refuses; a press tries again."""
    page = browser.new_page(**CALM)
    page.add_init_script(HASTE)
    page.goto(sample_site.address)
    page.route("**/*.mp4", lambda route: None)
    figure = page.locator("#trajectories")
    slide(page, "trajectories", 0)
    trouble = figure.get_by_role("alert")
    expect(trouble).to_have_text(re.compile("could not be loaded"))
    expect(figure.locator(".slider")).to_have_value(str(LEVELS))
    page.unroute("**/*.mp4")
    figure.locator(".play").click()
    until(page, f"{PLAYING} === 1")
    frames(page, 48)
    expect(trouble).to_be_hidden()
    page.close()
