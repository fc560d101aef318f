"""Figures that stand still, rendered from a tiny model, under the page's own content policy."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from tests.support.browsing import box_of, opened
from tests.support.builders import CPU, write_site
from tests.support.reporters import Silent
from tests.support.serving import serving
from tests.support.tinymodel import add_example, write_ddpm, write_model

PAGE = """
{{ process("heat", columns=5) }}

{{ spectra("heat", ddpm="noise", count=2, levels=3, label="A label of 24 characters") }}

"""
SITE = """
title = "A title"
[models.heat]
path = "models/heat"
[models.noise]
path = "models/noise"
"""
PLACES = """() => [
  document.documentElement.getBoundingClientRect().right,
  [...document.querySelectorAll("text")].map((e) => {
    const { left, top, right, bottom } = e.getBoundingClientRect();
    return [left, top, right, bottom];
  }),
]"""
FITS = """e => {
  const box = e.closest(".scroll");
  return box.scrollWidth <= box.clientWidth;
}"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, whose front page begins with a figure that has no poster."""
    root = tmp_path_factory.mktemp("site")
    write_site(root, PAGE, SITE)
    add_example(write_model(root / "models" / "heat"))
    write_ddpm(root / "models" / "noise")
    build(root / "site.toml", BuildOptions(CPU), FigureRenderer, Silent())
    return root / "build"


def pictures(browser: Browser, address: str, scheme: Any, width: int) -> list[NDArray[np.uint8]]:
    """Look at the page, and take a picture of each of its figures."""
    options: dict[str, Any] = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with opened(browser, address, **options) as page:
        images = page.locator("figure img")
        assert images.count() == 2
        for image in images.all():
            # On a narrow page the last are far below, where they are fetched once one comes near.
            image.scroll_into_view_if_needed()
            wanted = 576 if width > 600 else 350  # which was drawn for phones
            assert image.evaluate("e => e.decode().then(() => e.naturalWidth)") == wanted
            assert box_of(image)["width"] == wanted  # so that its texts have the page's sizes
            assert image.evaluate(FITS)
        shots = [io.BytesIO(image.screenshot()) for image in images.all()]
    return [np.asarray(Image.open(shot).convert("L")) for shot in shots]


@pytest.mark.parametrize("width", [1280, 390])
def test_light_and_dark(browser: Browser, built: Path, width: int) -> None:
    """Dark words on light pages, light ones on dark, nothing blocked, and pixels as embedded."""
    with serving(built) as served:
        light, dark = (pictures(browser, served, scheme, width) for scheme in ("light", "dark"))
    for day, night in zip(light, dark, strict=True):
        assert (day[2, 2] > 220, night[2, 2] < 60) == (True, True)
        assert np.percentile(day, 0.5) < 110
        assert np.percentile(night, 99.5) > 150
    if width == 1280:
        high, wide = light[0].shape
        tile = light[0][int(0.42 * high) : int(0.48 * high), int(0.84 * wide) : int(0.88 * wide)]
        assert tile.std() < 8
        assert 5 < tile.mean() < 215


def test_words_stay_inside(browser: Browser, built: Path) -> None:
    """In what is drawn for phones, no word leaves the drawing or runs into another."""
    files = [
        entry["files"]["narrow"]["path"]
        for entry in json.loads((built / "media.json").read_text("utf-8"))["figures"]
    ]
    with serving(built) as served:
        for file in files:
            page = browser.new_page(viewport={"width": 700, "height": 900})
            page.goto(f"{served}/{file}")
            edge, boxes = page.evaluate(PLACES)
            assert len(boxes) > 8
            assert all(left >= 0 and right <= edge for left, _, right, _ in boxes), (file, boxes)
            for one, other in itertools.combinations(boxes, 2):
                across = min(one[2], other[2]) - max(one[0], other[0])
                down = min(one[3], other[3]) - max(one[1], other[1])
                assert across <= 0 or down <= 0.35 * (one[3] - one[1]), (file, one, other)
            page.close()


@pytest.mark.parametrize(("words", "more"), [("Plain 1/2 σ × –", []), ("Café Σ", ["400"])])
def test_letters_that_are_fetched(
    browser: Browser, tmp_path: Path, words: str, more: list[str]
) -> None:
    """A page in English fetches the letters of English alone, another the others, in one weight."""
    config = write_site(tmp_path, f"{words}\n", 'title = "A title"\n')
    build(config, BuildOptions(CPU), FigureRenderer, Silent())
    with serving(tmp_path / "build") as address, opened(browser, address) as page:
        page.evaluate("document.fonts.ready.then(() => true)")
        names = page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
        fetched = [name.rpartition("/")[2] for name in names if name.endswith(".woff2")]
        assert {name.rpartition("-")[0] for name in fetched} == {
            "text-400",
            "text-600",
            *(f"more-{weight}" for weight in more),
        }
