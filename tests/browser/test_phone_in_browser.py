"""Clips that are drawn a second time for the column of a phone, rendered from tiny models."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from bench.serving import serving
from sitegen.builder.context import BuildOptions
from sitegen.builder.pipeline import build
from sitegen.builder.render import FigureRenderer
from tests.support.browsing import box_of, opened
from tests.support.builders import CPU, write_site
from tests.support.quick import SHORTER
from tests.support.reporters import Silent
from tests.support.tinymodel import write_ddpm, write_model

PAGE = """
{{ hierarchy("heat", leaves=8, background="light", id="tree") }}

{{ trajectories("heat", count=24, columns=12, id="grid") }}

{{ interpolation("heat", ddpm="noise", points=3, hold=1, ddim_steps=2, id="way") }}
"""
SITE = """
title = "A title"
[models.heat]
path = "models/heat"
[models.noise]
path = "models/noise"
"""
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
SIZES = """id => {
  const stage = document.querySelector(`#${id} .stage`);
  const video = stage.querySelector("video");
  const picture = stage.querySelector("img");
  const name = (address) => address.split("/").at(-1);
  return {
    video: name(video.currentSrc), poster: name(picture.currentSrc),
    shown: stage.clientWidth / stage.clientHeight,
    own: picture.naturalWidth / picture.naturalHeight,
    moving: video.readyState ? video.videoWidth / video.videoHeight : null,
  };
}"""
LOADED = """id => {
  const stage = document.querySelector(`#${id} .stage`);
  return stage.querySelector("video").readyState >= 2 && stage.querySelector("img").complete;
}"""

CLOSE_AND_UP = """() => {
  document.querySelector("dialog.viewer .close").click();
  const key = new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true });
  document.querySelector("#grid .cell-button").dispatchEvent(key); // before the event "close"
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The built site."""
    root = tmp_path_factory.mktemp("site")
    write_site(root, PAGE, SITE)
    write_model(root / "models" / "heat", levels=8)
    write_ddpm(root / "models" / "noise")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SHORTER.items():
            patch.setattr(name, value)
        build(root / "site.toml", BuildOptions(CPU), FigureRenderer, Silent())
    with serving(root / "build") as front:
        yield front


def drawings(page: Page) -> dict[str, Any]:
    """Which drawing of each clip is seen, once its slider was moved, and its shape."""
    found = {}
    for id in ("tree", "grid", "way"):
        page.locator(f"#{id}").scroll_into_view_if_needed()
        page.locator(f"#{id} .slider").press("Home")
        page.locator(f"#{id} .slider").press("ArrowRight")  # an interpolation is at its start
        page.wait_for_function(LOADED, arg=id)
        found[id] = page.evaluate(SIZES, id)
    return found


def test_drawings(browser: Browser, address: str) -> None:
    """A phone gets the narrow files, a desk the wide ones, also after a turn; all fit."""
    calm: dict[str, Any] = {"reduced_motion": "reduce"}
    with opened(browser, address, viewport=PHONE, **calm) as page:
        narrow = drawings(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.set_viewport_size(DESK)  # type: ignore[arg-type]
        page.wait_for_function("() => document.querySelector('#tree video').readyState >= 2")
        turned = drawings(page)
    with opened(browser, address, viewport=DESK, **calm) as page:
        wide = drawings(page)
    assert turned == wide
    for id, seen in wide.items():
        assert {seen["video"], seen["poster"]}.isdisjoint(
            {narrow[id]["video"], narrow[id]["poster"]}
        )
        for each in (seen, narrow[id]):
            assert each["shown"] == pytest.approx(each["own"], rel=0.02)
            assert each["moving"] == pytest.approx(each["own"], rel=0.02)
    with opened(browser, address, viewport=PHONE, color_scheme="dark", **calm) as page:
        dark = drawings(page)
    assert dark["way"]["video"] not in (narrow["way"]["video"], wide["way"]["video"])
    assert dark["grid"] == narrow["grid"]


def test_sizes_of_pictures(browser: Browser, address: str) -> None:
    """Pictures of a tree have 56 pixels at least, those of a grid 44; each opens its own sample."""
    with opened(browser, address, viewport=PHONE, reduced_motion="reduce") as page:
        nodes = [box_of(each) for each in page.locator("#tree .node").all()]
        assert len(nodes) == 15
        assert min(each["width"] for each in nodes) >= 56
        page.locator("#grid .cell-button").focus()
        page.keyboard.press("End")
        last, stage = (box_of(page.locator(f"#grid {each}")) for each in (".cell-button", ".stage"))
        assert last["width"] >= 44
        assert last["x"] + last["width"] == pytest.approx(stage["x"] + stage["width"], abs=1)
        assert last["y"] + last["height"] == pytest.approx(stage["y"] + stage["height"], abs=1)
        page.keyboard.press("Enter")
        assert page.locator("#viewer-title").text_content() == "Sample 24 of 24"
        page.keyboard.press("Escape")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        assert page.locator("#viewer-title").text_content() == "Sample 16 of 24"
        page.evaluate(CLOSE_AND_UP)
        page.keyboard.press("Enter")
        assert page.locator("#viewer-title").text_content() == "Sample 8 of 24"
        page.keyboard.press("Escape")
        page.locator("#tree .node").nth(14).hover()
        shown = page.locator("#tree .overlay:visible")
        assert shown.count() == 1
        assert shown.locator("g.cut").count() == 4
