"""The script in Chromium: who plays and when, scrubbing to the frame, samples, trees and points.

Frame n of every clip shows the brightness `shade(n)`, so what is seen tells which frame it is.
"""

import io
import re
import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from sitegen.html.figure_views import scale
from tests.conftest import SampleSite
from tests.support.browsing import (
    PATIENCE_S,
    box_of,
    frames,
    opened,
    until,
    watch,
)
from tests.support.sample_site import (
    COUNT,
    LEVELS,
    MANY,
    POINTS,
    SIGMAS,
    shade,
)

CALM: dict[str, Any] = {"reduced_motion": "reduce"}
THROWER = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})"
PLAYING = "[...document.querySelectorAll('video')].filter(video => !video.paused).length"
SEEN = """
(picture, x, y) => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  pen.drawImage(picture, x, y, 1, 1, 0, 0, 1, 1);
  return pen.getImageData(0, 0, 1, 1).data[0];
}
"""
FOCUS = """
() => {
  const focus = document.activeElement;
  return [Number(focus.dataset.stop), getComputedStyle(focus).outlineStyle, focus.outerHTML];
}
"""
TIME = "document.querySelector('#hierarchy video').currentTime"
LARGE = f"({SEEN})(document.querySelector('canvas'), 4, 100)"


def video_of(page: Page, name: str) -> Locator:
    """The video of a figure."""
    return page.locator(f"#{name} video")


def slide(page: Page, name: str, value: int) -> None:
    """Move a figure's slider, as a mouse or a finger does."""
    page.locator(f"#{name} .slider").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')) }",
        value,
    )


def wait_for_shade(page: Page, name: str, frame: int) -> None:
    """Wait until a figure shows that frame, to be told by its brightness."""
    test = f"([id, wanted]) => Math.abs(({SEEN})(document.querySelector(id), 30, 100) - wanted) < 5"
    until(page, test, [f"#{name} video", shade(frame)])


def spoken(level: int) -> str:
    """What the slider says at a level."""
    return f"level {level}, σ B {scale(SIGMAS[level])} px"


def words_of(place: Locator) -> str:
    """What is written beside a slider."""
    return " ".join(place.locator(".readout").inner_text().split())


def bright(shot: bytes) -> NDArray[np.uint8]:
    """The brightness of each pixel of a picture that was taken of the page."""
    return np.asarray(Image.open(io.BytesIO(shot)).convert("L"))


KEYS = (
    ("Home", 0), ("ArrowRight", 1), ("ArrowUp", 2), ("ArrowLeft", 1), ("ArrowDown", 0),
    ("ArrowLeft", 0), ("End", 20), ("ArrowRight", 20),
)  # fmt: skip


def test_scrubber_is_exact(calm: Page) -> None:
    """The frame that is asked for, by mouse or keys, is seen, with its own level and blur scale."""
    figure = calm.locator("#trajectories")
    slider = figure.locator(".slider")
    figure.scroll_into_view_if_needed()
    for key, frame in [*((None, frame) for frame in (20, 1, 19, 7, 8, 13)), *KEYS]:
        slider.press(key) if key else slide(calm, "trajectories", frame)
        wait_for_shade(calm, "trajectories", frame)
        level = LEVELS - frame
        words = f"k = {level} σB = {scale(SIGMAS[level])} px"
        expect(figure.locator(".readout")).to_have_text(words)  # a moment after the picture
        expect(slider).to_have_attribute("aria-valuetext", spoken(level))


def test_clips_play_while_in_view(moving: Page) -> None:
    """A clip is fetched when it is near, plays in view, starts anew, and rests out of view."""
    asked, button = watch(moving)[1], moving.locator("#trajectories .play")
    moving.set_viewport_size({"width": 1280, "height": 450})
    moving.reload()  # requests from the taller window came before watch()
    until(moving, f"{PLAYING} === 0")
    expect(button).to_have_attribute("aria-label", "Play, figure 1")
    moving.locator("#trajectories").scroll_into_view_if_needed()
    until(moving, f"{PLAYING} > 0")
    assert [url for url in asked if "/trajectories-" in url and url.endswith(".mp4")]
    assert not [url for url in asked if "/hierarchy-" in url and url.endswith(".mp4")]
    until(moving, "document.querySelector('#trajectories video').ended")
    expect(button).to_have_attribute("aria-label", "Pause, figure 1")
    early = "(v => v.currentTime > 0.3 && v.currentTime < 1 && !v.paused)"
    until(moving, f"{early}(document.querySelector('video'))")
    moving.evaluate("scrollTo(0, 0)")
    until(moving, f"{PLAYING} === 0")
    frames(moving)
    value = int(moving.locator("#trajectories .slider").input_value())
    assert 0 < value < LEVELS
    wait_for_shade(moving, "trajectories", value)


def test_at_most_four_play(browser: Browser, sample_site: SampleSite) -> None:
    """Of six clips in view four play; in a tab that cannot be seen none does, until it is back."""
    address = f"{sample_site.address}second/"
    hide = "yes => { Object.defineProperty(document, 'hidden', {value: yes, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')) }"
    with opened(browser, address, viewport={"width": 1280, "height": 6000}) as page:
        until(page, f"{PLAYING} === 4")
        frames(page)
        assert page.evaluate(PLAYING) == 4 < MANY
        page.evaluate(hide, True)
        until(page, f"{PLAYING} === 0")
        page.evaluate(hide, False)
        until(page, f"{PLAYING} === 4")


@pytest.mark.parametrize("remembers", [True, False])
def test_one_button_stops_all(browser: Browser, sample_site: SampleSite, remembers: bool) -> None:
    """One button stops every clip, also on the next page, and a single one can still be played."""
    address = f"{sample_site.address}second/"
    with opened(browser, address, "" if remembers else THROWER) as page:
        stop = page.get_by_role("button", name="Stop all motion")
        play = page.get_by_role("button", name="Let clips play")
        until(page, f"{PLAYING} > 0")
        stop.click()
        until(page, f"{PLAYING} === 0")
        if remembers:
            page.reload()
        expect(play).to_be_visible()
        frames(page)
        assert page.evaluate(PLAYING) == 0
        page.locator(".play").first.click()
        until(page, f"{PLAYING} === 1")
        stop.click()
        until(page, f"{PLAYING} === 0")
        play.click()
        until(page, f"{PLAYING} > 1")


def test_first_stops_of_the_keyboard(moving: Page) -> None:
    """The way past the banner comes first, the button for motion before anything that moves."""
    before = "document.activeElement.closest('header, nav, .skip, .motion')"
    moving.keyboard.press("Tab")
    assert moving.locator(":focus").inner_text() == "Skip to the content"
    assert box_of(moving.locator(":focus"))["y"] >= 0
    while not moving.locator(".motion:focus").count():
        moving.keyboard.press("Tab")
        assert moving.evaluate(f"{before} !== null")
    box = box_of(moving.locator(".motion"))
    assert (box["x"] > 1200, box["y"] < 100) == (True, True)


def test_reduced_motion(calm: Page) -> None:
    """Whoever asks for little motion gets none, and no clip, until a button is pressed."""
    asked = watch(calm)[1]
    for _ in range(10):
        calm.mouse.wheel(0, 500)
        frames(calm, 4)
    calm.locator("#hierarchy .node").last.hover()
    calm.locator("#hierarchy .node").first.focus()
    calm.keyboard.press("ArrowRight")
    calm.mouse.move(1, 1)
    calm.locator("#hierarchy .slider").focus()
    frames(calm)
    assert calm.evaluate(PLAYING) == 0
    assert not [url for url in asked if url.endswith(".mp4")]
    calm.locator("#hierarchy .play").click()
    until(calm, f"{PLAYING} === 1")
    calm.get_by_role("button", name="Stop all motion").click()
    until(calm, f"{PLAYING} === 0")
    expect(calm.get_by_role("button", name="Let clips play")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_without_the_script(browser: Browser, sample_site: SampleSite, scheme: Any) -> None:
    """Where no script runs or arrives, clips have poster and controls, and nothing is dead."""
    page = browser.new_page(java_script_enabled=scheme == "light", color_scheme=scheme)
    page.route("**/script-*.js", lambda route: route.abort())
    asked = watch(page)[1]
    page.goto(sample_site.address)
    for name in ("trajectories", "interpolation", "hierarchy"):
        assert video_of(page, name).get_attribute("controls") == ""
        page.locator(f"#{name} .service").get_by_role("button", name="Save").click()
        expect(page.locator(f"#{name} .downloads a").first).to_be_visible()
        page.keyboard.press("Escape")
    for element in page.locator(
        ":is(.play, .slider, .hint, .cell-button, .node, .motion, .copy)"
    ).all():
        expect(element).to_be_hidden()
    for name, place, wanted in (
        ("trajectories", (100, 30), shade(LEVELS)),
        ("hierarchy", (20, 20), 255),
    ):
        stage = page.locator(f"#{name} .stage")
        stage.scroll_into_view_if_needed()
        end = time.monotonic() + PATIENCE_S
        while abs(int(bright(stage.screenshot())[place]) - wanted) >= 8:
            assert time.monotonic() < end
    assert not [url for url in asked if url.endswith(".mp4")]
    page.close()


def test_sample_is_shown_large(calm: Page) -> None:
    """A click opens the sample under it, drawn from the clip; its scrubber moves both."""
    stage = calm.locator("#trajectories .stage")
    box = box_of(stage)
    x, y = box["width"] * 0.1, box["height"] * 0.9  # the first of the last row
    until(calm, "document.querySelector('#trajectories img').complete")
    stage.click(position={"x": 0.9 * box["width"], "y": y})  # beside the samples
    expect(calm.locator("#viewer")).to_be_hidden()
    stage.click(position={"x": x, "y": y})
    dialog = calm.get_by_role("dialog", name="Sample 13 of 14")
    expect(dialog).to_be_visible()
    assert calm.evaluate(LARGE) == pytest.approx(shade(LEVELS), abs=5)
    dialog.locator(".slider").press("Home")
    expect(dialog.locator("[data-slot='{level}']")).to_have_text(str(LEVELS))
    until(calm, f"Math.abs({LARGE} - {shade(0)}) < 5")
    wait_for_shade(calm, "trajectories", 0)
    dialog.get_by_role("button", name="The one after").click()
    dialog = calm.get_by_role("dialog", name=f"Sample {COUNT} of {COUNT}")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    expect(calm.locator("#trajectories .cell-button")).to_be_focused()
    expect(calm.locator("#trajectories .slider")).to_have_value("0")


def test_viewer_by_keyboard(calm: Page) -> None:
    """Arrows, Enter and Escape move the lens, open and turn samples and lead back to the lens."""
    lens = calm.locator("#trajectories .cell-button")
    lens.focus()
    for key, number in [("ArrowRight", 2), ("ArrowDown", 6), ("End", 14), ("Home", 1)]:
        lens.press(key)
        start = re.compile(f"^Look at sample {number} of {COUNT}, figure \\d+;")
        expect(lens).to_have_attribute("aria-label", start)
    lens.press("Enter")
    for key, number in [("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowLeft", COUNT)]:
        calm.keyboard.press(key)
        name = f"Sample {number} of {COUNT}"
        expect(calm.get_by_role("dialog", name=name)).to_be_visible()
        expect(calm.get_by_role("img", name=name, exact=True)).to_be_visible()
    calm.locator("#viewer .slider").press("ArrowLeft")
    expect(calm.get_by_role("dialog", name=name)).to_be_visible()
    top = calm.evaluate("scrollY")
    calm.mouse.move(5, 5)
    calm.mouse.wheel(0, 500)
    frames(calm)
    assert calm.evaluate("scrollY") == top
    calm.keyboard.press("Escape")
    expect(calm.locator("#viewer")).to_be_hidden()
    expect(lens).to_be_focused()


WALK = (
    ("ArrowRight", "1 0"), ("ArrowDown", "1 1"), ("ArrowRight", "2 2"),
    ("ArrowRight", "3 4"), ("ArrowUp", "3 3"), ("ArrowLeft", "2 1"),
)  # fmt: skip
MARKED = """[...document.querySelectorAll('.node')]
  .filter(node => getComputedStyle(node).outlineStyle !== 'none').map(node => node.dataset.node)"""


def test_tree_is_walked(calm: Page) -> None:
    """Arrows walk a tree, its branch stands out, Enter shows a picture, and one node is marked."""
    nodes = calm.locator("#hierarchy .node")
    nodes.first.focus()
    veil = calm.locator("#hierarchy .overlay")
    for key, node in WALK:
        calm.keyboard.press(key)
        expect(calm.locator(":focus")).to_have_attribute("data-node", re.compile(f"^{node} "))
    expect(veil).to_be_visible()
    assert veil.locator(".cut > *").count() == 5 + 4  # root to leaves, and the arrows between
    assert [nodes.nth(i).get_attribute("tabindex") for i in range(15)].count("0") == 1
    calm.keyboard.press("Enter")
    name = "Generation 2, picture 2: levels 20 to 8"
    expect(calm.get_by_role("dialog", name=name)).to_be_visible()
    calm.get_by_role("dialog").get_by_role("button", name="The one after").click()
    calm.keyboard.press("Escape")
    expect(calm.locator(":focus")).to_have_attribute("data-node", re.compile("^2 2 "))
    nodes.nth(8).hover()
    assert calm.evaluate(MARKED) == [nodes.nth(8).get_attribute("data-node")]
    calm.keyboard.press("ArrowDown")
    assert calm.evaluate(MARKED) == [calm.locator(":focus").get_attribute("data-node")]
    calm.mouse.move(1, 1)
    calm.locator("#hierarchy .slider").focus()
    expect(veil).to_be_hidden()


def test_picture_of_a_tree_is_shown_large(calm: Page) -> None:
    """A node's viewer has a stop for each level of its branch, in full, which arrows reach."""
    whole = range(LEVELS, 7, -1)
    calm.locator("#hierarchy .stage").scroll_into_view_if_needed()
    until(calm, "document.querySelector('#hierarchy img').complete")
    calm.locator("#hierarchy .node").nth(4).click()  # of the second generation
    dialog = calm.get_by_role("dialog", name="Generation 2, picture 2: levels 20 to 8")
    slider = dialog.locator(".slider")
    assert slider.get_attribute("max") == slider.input_value() == str(len(whole) - 1)
    keys = ("ArrowLeft", "ArrowDown")
    for stop, level in reversed(list(enumerate(whole))):
        expect(slider).to_have_attribute("aria-valuetext", spoken(level))
        expect(dialog.locator(".readout")).to_contain_text(f"k = {level} ")
        until(calm, f"Math.abs({LARGE} - {shade(LEVELS - level)}) < 8")
        slider.press(keys[stop % 2])
    for key, level in (("End", 8), ("Home", LEVELS), ("ArrowRight", LEVELS - 1)):
        slider.press(key)
        expect(slider).to_have_attribute("aria-valuetext", spoken(level))
    dialog.get_by_role("button", name="The one after").click()
    expect(calm.get_by_role("dialog", name="Generation 2, picture 3")).to_be_visible()
    expect(calm.locator("#viewer .slider")).to_have_value(str(len(whole) - 1))


@pytest.mark.parametrize("way", ["keyboard", "mouse"])
def test_walked_tree_is_whole(moving: Page, way: str) -> None:
    """A tree that plays stands still and whole while it is walked in, says so, and then goes on."""
    figure = moving.locator("#hierarchy")
    stage, node = figure.locator(".stage"), figure.locator(".node").last
    stage.scroll_into_view_if_needed()
    until(moving, f"{TIME} > 0.3 && {TIME} < 1")
    if way == "mouse":
        node.hover()
    else:
        figure.locator(".node").first.focus()
        moving.keyboard.press("End")
    until(moving, "document.querySelector('#hierarchy video').paused")
    assert moving.evaluate(TIME) < 1.6  # the last picture is not there yet in the clip
    box, area = box_of(node), box_of(stage)
    x, y = (round(box[axis] - area[axis] + box["width"] * 0.8) for axis in ("x", "y"))
    assert abs(int(bright(stage.screenshot())[y, x]) - shade(LEVELS)) < 5
    assert words_of(figure) == "k = 0 σB = 0 px"
    expect(figure.locator(".slider")).to_have_attribute("aria-valuetext", spoken(0))
    paused = moving.evaluate(TIME)
    frames(moving)
    assert moving.evaluate(TIME) == paused
    if way == "mouse":
        moving.mouse.move(1, 1)
    else:
        figure.locator(".slider").focus()
    until(moving, f"{TIME} > {paused}")
    assert moving.evaluate("!document.querySelector('.walked')")


def test_branch_plays_to_its_end(moving: Page) -> None:
    """Played in the viewer, a branch comes to its last level, rests there and starts anew."""
    moving.locator("#hierarchy .stage").scroll_into_view_if_needed()
    until(moving, f"{TIME} > 0.3")
    moving.locator("#hierarchy .node").nth(1).click()
    dialog = moving.get_by_role("dialog", name="Generation 1, picture 1: levels 20 to 13")
    expect(dialog.locator(".readout")).to_contain_text("k = 13 ")
    until(moving, f"Math.abs({LARGE} - {shade(LEVELS - 13)}) < 5")
    dialog.locator(".play").click()
    expect(dialog.locator(".readout")).to_contain_text("k = 20 ")
    expect(dialog.locator(".readout")).to_contain_text("k = 13 ")
    until(moving, f"{PLAYING} === 0")
    until(moving, f"{PLAYING} === 1")
    moving.keyboard.press("Escape")
    expect(moving.locator("#hierarchy .readout")).to_contain_text("k = 0 ")  # it is walked in
    moving.mouse.move(1, 1)
    moving.locator("#hierarchy .slider").focus()
    until(moving, f"{TIME} > 1.2")


def test_interpolation_goes_by_points(calm: Page) -> None:
    """Its slider runs over the points; on the way back it runs back."""
    slider = calm.locator("#interpolation .slider")
    assert slider.get_attribute("max") == str(POINTS - 1)
    slider.press("End")
    told = f"point {POINTS} of {POINTS}"
    expect(slider).to_have_attribute("aria-valuetext", told)
    wait_for_shade(calm, "interpolation", POINTS - 1)
    slider.press("ArrowLeft")
    readout = calm.locator("#interpolation .readout")
    expect(readout).to_have_text(f"point {POINTS - 1} of {POINTS}")
    wait_for_shade(calm, "interpolation", POINTS - 2)
    calm.locator("#interpolation .play").click()
    until(calm, f"{PLAYING} === 1")
    # Frame 18, set again where Chromium shows no frame of a clip that has only begun to play.
    aside = "video => { video.pause(); video.currentTime = 1.85 }"
    for _ in range(10):
        video_of(calm, "interpolation").evaluate(aside)
        with suppress(AssertionError):
            expect(slider).to_have_value("6", timeout=3000)
            break
    expect(slider).to_have_value("6")
    wait_for_shade(calm, "interpolation", 6)


CANVAS = """([x, y]) => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  pen.drawImage(document.querySelector("#trajectories canvas"), -x, -y);
  return [...pen.getImageData(0, 0, 1, 1).data];
}"""


def test_cells_on_dark_pages(browser: Browser, sample_site: SampleSite) -> None:
    """A dark page has the same clip, whose cells are drawn with the page between them."""
    with opened(browser, sample_site.address, color_scheme="dark", **CALM) as page:
        page.locator("#trajectories .stage").scroll_into_view_if_needed()
        expect(page.locator("#trajectories canvas")).to_be_visible()
        until(page, "document.querySelector('#trajectories img').naturalWidth > 0")
        slide(page, "trajectories", 3)
        wait_for_shade(page, "trajectories", 3)
        until(page, f"Math.abs(({CANVAS})([56, 90])[0] - {shade(3)}) < 6")
        assert page.evaluate(CANVAS, [113, 50])[3] == 0  # in the gutter
        page.emulate_media(color_scheme="light")
        expect(page.locator("#trajectories canvas")).to_be_hidden()


def test_bibtex_is_copied(browser: Browser, sample_site: SampleSite) -> None:
    """The button copies the entry and says so, where screen readers hear it."""
    with opened(browser, sample_site.address, permissions=["clipboard-read"]) as page:
        page.get_by_role("button", name="Copy BibTeX").click()
        expect(page.locator(".bibtex").get_by_role("status")).to_have_text("Copied.")
        text = page.evaluate("navigator.clipboard.readText()")
        assert text.startswith("@inproceedings{rissanen2023generative,")
        assert text == page.locator(".bibtex code").inner_text()


def test_keyboard_reaches_everything(calm: Page) -> None:
    """Tab stops at every control and link that is seen, in their order, and each can be seen."""
    wanted = calm.evaluate(
        "[...document.querySelectorAll('a, button, input, select, summary, [tabindex=\"0\"]')]"
        ".filter(e => e.tabIndex >= 0 && e.checkVisibility()).map((e, i) => e.dataset.stop = i)"
    )
    visited = []
    for _ in wanted:
        calm.keyboard.press("Tab")
        number, outline, html = calm.evaluate(FOCUS)
        assert outline != "none", html
        visited.append(number)
    assert visited == wanted
