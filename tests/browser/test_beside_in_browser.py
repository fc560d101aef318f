"""Figures side by side: one slider and one button for all, on a desk and on a phone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from sitegen.media.manifest import Media, MediaAxis
from tests.browser.conftest import Look
from tests.browser.test_script import CALM, PLAYING, slide, wait_for_shade
from tests.conftest import SampleSite
from tests.support import sample_site as sample
from tests.support.browsing import box_of, opened, until
from tests.support.sample_site import LEVELS, MANY
from tests.support.serving import serving

ROW = (f"single-{MANY - 2}", f"single-{MANY - 1}")
LONG = (*[0] * 3, *range(17, -1, -1))
SHORT = (*[0] * 6, *(level for level in range(4, -1, -1) for _ in range(3)))
TIMES = "[...document.querySelectorAll('.row video')].map(v => v.currentTime)"
SLIDE = """
(slider, value) => {
  slider.value = value;
  slider.dispatchEvent(new Event('input'));
  return slider.getAttribute('aria-valuetext');
}
"""


def slide_row(page: Page, value: int) -> str:
    """Move the slider of the row, and return what it says at once."""
    return str(page.locator(".row-scrubber .slider").evaluate(SLIDE, value))


@pytest.mark.parametrize("width", [390, 1280])
def test_one_slider(look: Look, width: int) -> None:
    """One slider, by mouse and keys, moves all clips of a row, which have none of their own."""
    with look("second/", width=width) as page:
        row = page.locator(".row")
        assert row.locator(".slider:visible").count() == row.locator(".play:visible").count() == 1
        slide_row(page, 13)
        for name in ROW:
            wait_for_shade(page, name, 13)
        row.locator(".row-scrubber .slider").press("ArrowRight")
        for name in ROW:
            wait_for_shade(page, name, 14)
        expect(row.locator(".row-scrubber .readout")).to_contain_text(f"k = {LEVELS - 14}")
        first, second = (box_of(page.locator(f"#{name}")) for name in ROW)
        if width == 390:
            assert second["y"] > first["y"] + first["height"]
            row.locator(".stage").first.scroll_into_view_if_needed()
            slider = box_of(row.locator(".row-scrubber"))
            assert slider["y"] + slider["height"] <= 801  # it stays in sight
        else:
            assert abs(second["y"] - first["y"]) < 1
            assert second["x"] >= first["x"] + first["width"]
            slider, whole = box_of(page.locator(".row-scrubber")), box_of(row)
            assert (slider["x"], slider["width"]) == (whole["x"], whole["width"])
        slide(page, "single-0", 3)
        wait_for_shade(page, "single-0", 3)
        wait_for_shade(page, ROW[0], 14)


@pytest.fixture
def differing(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The address of a page whose row has clips of 17 and of 4 levels, the latter with a value.

    The names of the two clips are the parameter, if there is one.
    """
    long, short = getattr(request, "param", ROW)
    more = {long: (LONG, None), short: (SHORT, MediaAxis("t", "", (1, 0.75, 0.5, 0.25, 0)))}

    def media_of(kind: str, id: str, page: str) -> tuple[Media, dict[str, Path]]:
        media, found = own(kind, id, page)
        if id in more:
            levels, axis = more[id]
            media = replace(media, record=replace(media.record, levels=levels), axis=axis)
        return media, found

    own = sample.media_of
    monkeypatch.setattr(sample, "media_of", media_of)
    with serving(tmp_path / "site" / "sub") as address:
        sample.build_sample(tmp_path, address)
        yield f"{address}second/"


def test_clips_that_differ(browser: Browser, differing: str) -> None:
    """Clips of other levels go to the same fraction; each shows its own level, and all are told."""
    with opened(browser, differing, **CALM) as page:
        row, slider = page.locator(".row"), page.locator(".row-scrubber .slider")
        assert row.locator(".slider:visible").count() == row.locator(".play:visible").count() == 1
        for value, percent, frames, levels, t in (
            (0, 0, (3, 8), (17, 4), "0"),
            (8, 47, (11, 14), (9, 2), "0.50"),
            (17, 100, (20, 20), (0, 0), "1.0"),
        ):
            told = slide_row(page, value)
            for name, frame, level in zip(ROW, frames, levels, strict=True):
                wait_for_shade(page, name, frame)
                expect(page.locator(f"#{name} .readout")).to_contain_text(f"k = {level}")
                expect(page.locator(f"#{name} .readout")).to_be_visible()
            wanted = f"{percent} % of the way; level {levels[0]}; level {levels[1]}, t {t}"
            assert told == wanted
            expect(slider).to_have_attribute("aria-valuetext", wanted)


GAP = """async () => {
  const videos = [...document.querySelectorAll(".row video")];
  const fps = Number(videos[0].dataset.film.split(" ")[2]);
  const gaps = [];
  while (gaps.length < 200) {
    await new Promise(requestAnimationFrame);
    const [one, other] = videos.map((video) => video.currentTime / video.duration);
    gaps.push(Math.abs(one - other) * videos[0].duration * fps);
  }
  return gaps.sort((a, b) => a - b)[100];
}"""
"""The median distance of the clocks of two clips, in frames of the first."""


def test_played_together(browser: Browser, sample_site: SampleSite) -> None:
    """One button plays all of a row in step, and stops all at one frame."""
    with opened(browser, f"{sample_site.address}second/", **CALM) as page:
        row = page.locator(".row")
        row.scroll_into_view_if_needed()
        play = row.locator(".play:visible")
        play.click()
        until(page, f"{PLAYING} === 2")
        until(page, f"({TIMES}).every(time => time > 0.5)")
        assert page.evaluate(GAP) < 1  # of a frame, over several rounds
        play.click()
        until(page, f"{PLAYING} === 0")
        value = int(row.locator(".slider:visible").input_value())
        for name in ROW:
            wait_for_shade(page, name, value)


def test_clock_of_a_row_on_a_phone(browser: Browser, sample_site: SampleSite) -> None:
    """The clip that leads also plays where only the one beneath it is in view, so that all do so
    on its clock.
    """
    window = {"width": 390, "height": 300}
    with opened(browser, f"{sample_site.address}second/", viewport=window) as page:
        top = box_of(page.locator(f"#{ROW[1]} .stage"))["y"]
        page.evaluate("top => scrollTo({ top, behavior: 'instant' })", top)
        leader = box_of(page.locator(f"#{ROW[0]} .stage"))
        assert leader["y"] + leader["height"] < 0
        until(page, "[...document.querySelectorAll('.row video')].every(video => !video.paused)")


@pytest.mark.parametrize("differing", [ROW[::-1]], indirect=True)
def test_link_to_a_level_that_others_lack(browser: Browser, differing: str) -> None:
    """The figure of the address is at its level, though the first has fewer; that is near by."""
    with opened(browser, f"{differing}?level=10#{ROW[1]}", **CALM) as page:
        for name, frame, level in zip(ROW, (14, 10), (2, 10), strict=True):
            wait_for_shade(page, name, frame)
            expect(page.locator(f"#{name} .readout")).to_contain_text(f"k = {level}")


def test_row_without_the_script(browser: Browser, sample_site: SampleSite) -> None:
    """Where no script runs each clip of a row has the browser's controls, side by side."""
    page = browser.new_page(java_script_enabled=False, viewport={"width": 1280, "height": 800})
    page.goto(f"{sample_site.address}second/")
    assert page.locator(".row video[controls]").count() == len(ROW)
    expect(page.locator(".row-scrubber")).to_be_hidden()
    first, second = (box_of(page.locator(f"#{name} video")) for name in ROW)
    assert first["y"] == second["y"]
    page.close()
