"""Clips whose cells are drawn elsewhere in the column of a phone, rendered from tiny models."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from tests.support.browsing import box_of, opened
from tests.support.builders import CPU, write_site
from tests.support.quick import SHORTER
from tests.support.reporters import Silent
from tests.support.serving import serving
from tests.support.tinymodel import write_ddpm, write_model

PAGE = """
{{ hierarchy("heat", leaves=8, id="tree") }}

{{ trajectories("heat", count=24, columns=12, id="grid") }}

{{ interpolation("heat", ddpm="noise", points=3, hold=1, ddim_steps=2, id="way") }}

{{ ladder("noise", steps=(2, 3), count=12, id="steps") }}
"""
SITE = """
title = "A title"
[models.heat]
path = "models/heat"
[models.noise]
path = "models/noise"
"""
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
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


DRAWN = """id => {
  const stage = document.querySelector(`#${id} .stage`);
  const canvas = stage.querySelector("canvas");
  const shown = canvas?.checkVisibility() ? canvas : stage.querySelector("video");
  return [shown.localName, stage.clientWidth / stage.clientHeight, shown.width / shown.height];
}"""


def test_heads_of_a_narrow_ladder(browser: Browser, address: str) -> None:
    """The heads are over their columns where a slider is wider than the clip."""
    for size in (PHONE, DESK):
        with opened(browser, address, viewport=size) as page:
            parts = (".panels", ".stage", ".scrubber")
            heads, stage, slider = (box_of(page.locator(f"#steps {part}")) for part in parts)
            assert heads["width"] == stage["width"] < slider["width"]


def test_arrangements(browser: Browser, address: str) -> None:
    """A phone has other arrangements of the same clips, which a desk shows as they are."""
    expected = {
        "tree": ("canvas", "video"),
        "grid": ("canvas", "video"),
        "way": ("video", "video"),
    }
    with opened(browser, address, viewport=PHONE, reduced_motion="reduce") as page:
        for number, size in enumerate((PHONE, DESK)):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            for id, names in expected.items():
                page.locator(f"#{id}").scroll_into_view_if_needed()
                name, shown, drawn = page.evaluate(DRAWN, id)
                assert name == names[number], id
                assert shown == pytest.approx(drawn, rel=0.02)
            assert page.evaluate("document.documentElement.scrollWidth") == size["width"]


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
        assert page.locator("#viewer-title").text_content() == "Sample 18 of 24"
        page.evaluate(CLOSE_AND_UP)
        page.keyboard.press("Enter")
        assert page.locator("#viewer-title").text_content() == "Sample 12 of 24"
        page.keyboard.press("Escape")
        page.locator("#tree .node").nth(14).hover()
        shown = page.locator("#tree .overlay:visible")
        assert shown.count() == 1
        assert shown.locator("g.cut").count() == 4
