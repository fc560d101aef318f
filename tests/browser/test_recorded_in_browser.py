"""Figures of recordings with captions, as they are rendered: their texts, and their large view."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from sitegen.generative.card.card import FileRef
from sitegen.generative.data.recording import open_recording, recorded_card
from sitegen.record import record
from tests.support.browsing import box_of, opened, until, violations
from tests.support.builders import CPU
from tests.support.reporters import Silent
from tests.support.serving import serving

SITE = """title = "A site"
[models]
run = { path = "models/run" }
wide = { path = "models/wide" }
plane = { path = "models/plane" }
bare = { path = "models/bare" }
"""
INDEX = """# A page

{{ trajectories("run", count=2, columns=2, id="captions") }}

{{ trajectories("run", count=2, texts=["Ours", "Theirs, in several lines"], id="texts") }}
"""
WIDE = """# Wide

{{ trajectories("wide", count=2, columns=2, id="grid") }}

{{ hierarchy("wide", id="tree") }}
"""
PLANE = """# Plane

{{ trajectories("plane", count=1, id="points") }}

{{ compare(trajectories("plane", count=1), trajectories("bare", count=1), id="both") }}

{{ compare(image("teal.png", alt="Teal"), trajectories("plane", count=1), id="mixed") }}
"""
CAPTIONS = ["a cat in a hat", "a dog"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built page; the second sample is light at its end, and the first one dark."""
    folder = tmp_path_factory.mktemp("recorded")
    names = ("run", "wide", "plane", "bare")
    model, wide, plane, bare = (folder / "models" / name for name in names)
    for each in (model, wide, plane, bare):
        each.mkdir(parents=True)
    with record(plane / "recording.npz", axis=("step", ""), range=(-1, 1)) as rec:
        for step in range(0, 100, 25):
            rec(step, np.full((2, 2), step / 100), velocity=np.ones((2, 2)))
    with record(wide / "recording.npz", range=(0, 1), captions=CAPTIONS) as rec:
        rec(2, np.full((1, 3, 24, 60), 0.3))
        rec(1, np.full((2, 3, 24, 60), 0.6), parents=[0, 0])
        rec(0, np.full((2, 3, 24, 60), 0.9))
    with record(model / "recording.npz", range=(0, 1), captions=CAPTIONS) as rec:
        for value in (2, 1, 0):
            ends = np.array([0.1, 0.9]).reshape(2, 1, 1, 1)
            rec(value, np.broadcast_to(ends if value == 0 else 0.5 + 0 * ends, (2, 1, 24, 24)))
    with record(bare / "recording.npz", range=(0, 1)) as rec:
        for value in (1, 0):
            rec(value, np.full((1, 1, 24, 24), 0.5))
    for each in (model, wide, plane, bare):
        card = recorded_card(open_recording(each / "recording.npz"))
        (each / "model.toml").write_text(replace(card, weights=FileRef("recording.npz")).to_toml())
    Image.new("RGB", (480, 480), "teal").save(folder / "teal.png")
    (folder / "pages").mkdir()
    (folder / "pages" / "index.md").write_text(INDEX)
    (folder / "pages" / "wide.md").write_text(WIDE)
    (folder / "pages" / "plane.md").write_text(PLANE)
    (folder / "site.toml").write_text(SITE)
    build(folder / "site.toml", BuildOptions(CPU), FigureRenderer, Silent())
    return folder / "build"


# The last picture of the dog, which is square.
LARGE = """(() => {
  const canvas = document.querySelector('#viewer canvas');
  const pen = new OffscreenCanvas(1, 1).getContext('2d'); // many reads of one canvas are a warning
  pen.drawImage(canvas, -canvas.width / 2, 4 - canvas.height);
  const pixel = pen.getImageData(0, 0, 1, 1);
  return canvas.width === canvas.height && Math.abs(pixel.data[0] - 230) < 6;
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts(browser: Browser, built: Path, scheme: Literal["light", "dark"]) -> None:
    """They are under the pictures, in the name of the button, and in the large view."""
    with serving(built) as address, opened(browser, address, color_scheme=scheme) as page:
        texts = page.locator("#captions .cell-texts p")
        assert texts.all_inner_texts() == CAPTIONS
        below = box_of(texts.first)
        stage = box_of(page.locator("#captions .stage"))
        assert below["y"] > stage["y"] + 0.7 * stage["height"]
        button = page.locator("#captions .cell-button")
        button.focus()
        expect(button).to_have_attribute(
            "aria-label",
            "a cat in a hat. Look at sample 1 of 2, figure 1; the arrow keys choose another",
        )
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        viewer = page.locator("#viewer")
        expect(viewer.locator(".sample-text")).to_have_text("a dog")
        until(page, LARGE)
        assert violations(page) == []
        page.keyboard.press("ArrowRight")
        expect(viewer.locator(".sample-text")).to_have_text("a cat in a hat")


def test_texts_leave_the_controls_free(browser: Browser, built: Path) -> None:
    """Without JavaScript the browser's controls have room below the texts of the last row."""
    with serving(built) as address, browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(address)
        for name in ("#captions", "#texts"):
            clip = box_of(page.locator(f"{name} .clip"))
            texts = [box_of(each) for each in page.locator(f"{name} .cell-texts p").all()]
            low = max(each["y"] + each["height"] for each in texts)
            assert clip["y"] + clip["height"] - low >= 60


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("id", ["grid", "tree"])
def test_wide_pictures(browser: Browser, built: Path, width: int, id: str) -> None:
    """A grid and a tree of pictures that are not square, and the large view of them."""
    size, where = (
        {"width": width, "height": 700},
        f"sample=2#{id}" if id == "grid" else "branch=1.2#tree",
    )
    with (
        serving(built) as address,
        opened(browser, f"{address}wide/?{where}", viewport=size) as page,
    ):
        canvas = page.locator("#viewer canvas")
        box = box_of(canvas)
        assert abs(box["width"] / box["height"] - 60 / 24) < 0.05
        assert box["y"] + box["height"] <= 700
        expect(page.locator("#viewer .sample-text")).to_have_text("a dog")
        page.keyboard.press("Escape")
        button = page.locator("#grid .cell-button" if id == "grid" else "#tree .node").last
        stage, box = box_of(page.locator(f"#{id} .stage")), box_of(button)
        assert box["width"] > 1.5 * box["height"] / 1.6
        assert stage["x"] - 1 <= box["x"] <= stage["x"] + stage["width"] + 1
        assert violations(page) == []


@pytest.mark.parametrize(("scheme", "shade"), [("light", 255), ("dark", 20)])
def test_points(
    browser: Browser, built: Path, scheme: Literal["light", "dark"], shade: int
) -> None:
    """Their ground is light or dark as the page is, also in the large view."""
    with (
        serving(built) as address,
        opened(browser, f"{address}plane/", color_scheme=scheme, reduced_motion="reduce") as page,
    ):
        stage = page.locator("#points .stage")
        expect(page.locator("#points .readout")).to_contain_text("step = 75")
        page.locator("#points .cell-button").click()
        for place in (page.locator("#viewer canvas"), stage):
            with Image.open(io.BytesIO(place.screenshot())) as shot:
                pixel = shot.convert("L").getpixel((shot.width // 3, shot.height // 5))
            assert isinstance(pixel, int)
            assert abs(pixel - shade) < 5
            page.keyboard.press("Escape")


@pytest.mark.parametrize("width", [390, 1280])
def test_compared_clips_that_differ(browser: Browser, built: Path, width: int) -> None:
    """The level of each is below the handle, on its side, and so is the slider of one clip."""
    size = {"width": width, "height": 900}
    with serving(built) as address, opened(browser, f"{address}plane/", viewport=size) as page:
        both = page.locator("#both")
        left, right = (box_of(readout) for readout in both.locator(".side .readout").all())
        handle = box_of(both.locator(".split"))
        assert left["x"] + left["width"] <= right["x"]
        assert min(left["y"], right["y"]) >= handle["y"] + handle["height"] - 1
        scrubber, handle = (
            box_of(page.locator(f"#mixed .{name}")) for name in ("scrubber", "split")
        )
        assert scrubber["y"] >= handle["y"] + handle["height"] - 1
