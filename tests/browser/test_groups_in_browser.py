"""Grids and comparisons of own pictures and videos, on a desk, a phone and without script."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imageio_ffmpeg import write_frames
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import box_of, html_faults, opened, until, violations
from tests.support.builders import Builder, write_site
from tests.support.serving import serving

INDEX = """# A page

{{ compare(image("in.png", alt="Blue"), image("ours.png", alt="Teal"), names=["Input", "*Ours*"]) }}

{{ compare(video("a.mp4", aspect="1:1"), video("b.mp4", aspect="1:1"), id="films") }}

{{ grid(
  video("a.mp4", title="A", aspect="1:1"), video("c.mp4", title="C", aspect="1:1"),
  image("in.png", alt="Blue", caption="A *part*."),
  columns=["First[^1]", "Second"], rows=["Films", "A picture"], caption="A grid.") }}

{{ tabs(image("in.png", alt="Blue"), table([["a", 1]], columns=["A", "B"]), names=["One", "Two"]) }}

::: details More
Text.
:::

[^1]: A note.
"""
TIMES = "id => [...document.querySelectorAll(`#${id} video`)].map(v => v.currentTime)"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built page, with two pictures of one shape, and three videos of two lengths."""
    folder = tmp_path_factory.mktemp("groups")
    Image.new("RGB", (600, 400), "navy").save(folder / "in.png")
    Image.new("RGB", (1200, 800), "teal").save(folder / "ours.png")
    for name, seconds in (("a", 3), ("b", 3), ("c", 5)):
        film = write_frames(str(folder / f"{name}.mp4"), (64, 64), fps=10)
        film.send(None)
        for frame in range(10 * seconds):
            film.send(np.full((64, 64, 3), 8 * frame % 256, np.uint8).tobytes())
        film.close()
    site = Builder(write_site(folder, INDEX))
    site()
    return site.output


def at(page: Page, across: float) -> tuple[int, ...]:
    """The colour of the first comparison, at a fraction of its width."""
    box = box_of(page.locator(".compare .view").first)
    x, y = box["x"] + across * box["width"], box["y"] + 40
    shot = page.screenshot(clip={"x": x, "y": y, "width": 1, "height": 1})
    pixel = Image.open(io.BytesIO(shot)).convert("RGB").getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return tuple(int(value) for value in pixel)


NAVY, TEAL = (0, 0, 128), (0, 128, 128)


@pytest.mark.parametrize("width", [390, 1280])
def test_before_and_after(browser: Browser, built: Path, width: int) -> None:
    """The slider shows a share of the first picture, by keys and pointer, and says how much."""
    with serving(built) as address, opened(browser, address, viewport=size(width)) as page:
        split = page.get_by_role("slider", name="Input and Ours, figure 1")
        assert (at(page, 0.3), at(page, 0.7)) == (NAVY, TEAL)
        split.press("Home")
        expect(split).to_have_attribute("aria-valuetext", "0 % Input")
        assert at(page, 0.3) == TEAL
        split.press("End")
        assert (at(page, 0.7), split.get_attribute("aria-valuetext")) == (NAVY, "100 % Input")
        box = box_of(page.locator(".compare .view").first)
        assert box_of(split)["height"] >= box["height"] + 30  # for its handle, below the pictures
        page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 20)
        assert abs(int(split.input_value()) - 25) <= 2
        assert (at(page, 0.15), at(page, 0.4)) == (NAVY, TEAL)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_width_of_the_slider(browser: Browser, built: Path) -> None:
    """Its line is where the parts meet: it is as wide as they are, for pictures and videos."""
    with serving(built) as address, opened(browser, address, viewport=size(1280)) as page:
        for sides in page.locator(".sides").all():
            widths = {box_of(part)["width"] for part in [sides, *sides.locator(".view").all()]}
            assert len(widths) == 1


def test_first_pictures_of_videos(browser: Browser, built: Path) -> None:
    """A video without a poster shows its first picture once it is near, and does not play."""
    with serving(built) as address, opened(browser, address) as page:
        page.locator("#grid video").first.scroll_into_view_if_needed()
        until(page, "document.querySelector('#grid video').readyState > 0")
        assert page.evaluate("document.querySelector('#grid video').paused")


def size(width: int) -> Any:
    """A window of that width."""
    return {"width": width, "height": 900}


def test_videos_run_on_one_clock(browser: Browser, built: Path) -> None:
    """One button plays both parts of a comparison; a video of a row takes the others with it."""
    with serving(built) as address, opened(browser, address) as page:
        button = page.get_by_role("button", name="Play, figure 2")
        button.click()
        until(page, f"({TIMES})('films').every(time => time > 0.5)")
        one, other = page.evaluate(TIMES, "films")
        assert abs(one - other) < 0.25
        page.get_by_role("button", name="Pause, figure 2").click()
        until(page, "[...document.querySelectorAll('#films video')].every(v => v.paused)")
        second = page.locator("#grid video").nth(1)
        second.evaluate("video => video.play()")
        until(page, f"({TIMES})('grid').every(time => time > 0.3)")
        second.evaluate("video => { video.currentTime = 2; }")
        until(page, f"({TIMES})('grid').every(time => time > 2)")
        until(page, "document.querySelector('#grid video').ended")  # the shorter one
        until(page, f"({TIMES})('grid')[1] > 3.3")


def test_grid_on_a_phone(browser: Browser, built: Path) -> None:
    """Rows of a grid scroll beside their headings, with the keyboard too, and the page does not."""
    with serving(built) as address, opened(browser, address, viewport=size(390)) as page:
        cells, side = page.locator(".grid-cells"), page.locator(".grid-side").first
        assert cells.evaluate("e => e.scrollWidth > e.clientWidth")
        before = box_of(side)["x"]
        cells.evaluate("e => e.scrollTo(200, 0)")
        assert box_of(side)["x"] == before
        assert cells.get_attribute("tabindex") == "0"


def test_without_script(browser: Browser, built: Path) -> None:
    """Both parts of a comparison stand side by side, and the HTML is valid."""
    with serving(built) as address:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(address)
        one, other = (box_of(picture) for picture in page.locator(".compare img").all())
        assert one["y"] == other["y"]
        assert one["x"] + one["width"] <= other["x"]
        assert page.locator(".split").first.is_hidden()
        assert page.locator("#films video[controls]").count() == 2
        context.close()
    # Roles of a grid stay where a phone shows its rows as blocks; those of a <table> may not.
    faults = html_faults(built / "index.html").splitlines()
    assert [fault for fault in faults if "[prefer-native-element]" not in fault] == []
