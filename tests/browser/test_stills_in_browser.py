"""Figures that stand still, in Chromium: from the disk and from a server, light and dark.

They are built by the real renderer from a tiny model, under the page's own content policy.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser

from bench.serving import serving
from sitegen.build.context import BuildOptions
from sitegen.build.pipeline import build
from sitegen.build.renderer import FigureRenderer
from tests.support.browsing import box_of
from tests.support.builders import CPU
from tests.support.reporters import Silent
from tests.support.tinymodel import add_example, on_one_thread, write_ddpm, write_model

PAGE = """
{{ process("heat", columns=4) }}

{{ spectra("heat", ddpm="noise", count=2, levels=3) }}

{{ smoothness("heat", ddpm="noise", pairs=2, points=3, ddim_steps=2) }}
"""
SITE = """
title = "A title"
[models.heat]
path = "models/heat"
[models.noise]
path = "models/noise"
"""

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, whose front page begins with a figure that has no poster."""
    root = tmp_path_factory.mktemp("site")
    add_example(write_model(root / "models" / "heat"))
    write_ddpm(root / "models" / "noise")
    (root / "pages").mkdir()
    (root / "pages/index.md").write_text(PAGE)
    (root / "site.toml").write_text(SITE)
    build(root / "site.toml", BuildOptions(CPU), FigureRenderer, Silent())
    return root / "build"


@pytest.fixture(scope="module")
def served(built: Path) -> Iterator[str]:
    """The address of the site on a local server."""
    with serving(built) as address:
        yield f"{address}index.html"


def pictures(browser: Browser, address: str, scheme: Any, width: int) -> list[NDArray[np.uint8]]:
    """Look at the page, and take a picture of each of its figures."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("requestfailed", lambda request_digest: messages.append(request_digest.url))
    page.goto(address)
    page.wait_for_load_state("load")
    images = page.locator("figure img")
    assert images.count() == 3
    for image in images.all():
        assert image.evaluate("e => e.complete && e.naturalWidth") == 640
        box = box_of(image)
        assert 480 <= box["width"] <= 640  # on a narrow page it scrolls
    jobs = [image.screenshot() for image in images.all()]
    page.close()
    assert messages == []
    return [np.asarray(Image.open(io.BytesIO(job)).convert("L")) for job in jobs]


@pytest.mark.parametrize(("place", "width"), [("file", 1280), ("http", 390)])
def test_light_and_dark(browser: Browser, built: Path, served: str, place: str, width: int) -> None:
    """Dark words on the light page, light words on the dark one; nothing is blocked."""
    address = served if place == "http" else (built / "index.html").as_uri()
    light, dark = (pictures(browser, address, scheme, width) for scheme in ("light", "dark"))
    for day, night in zip(light, dark, strict=True):
        assert day[2, 2] > 220
        assert np.percentile(day, 0.5) < 110
        assert night[2, 2] < 60
        assert np.percentile(night, 99.5) > 150


def test_pictures_are_seen(browser: Browser, built: Path) -> None:
    """The embedded pixels of the process reach the screen: the flat ones at the right end."""
    picture = pictures(browser, (built / "index.html").as_uri(), "light", 1280)[0]
    height, width = picture.shape
    tile = picture[int(0.42 * height) : int(0.48 * height), int(0.80 * width) : int(0.84 * width)]
    assert tile.std() < 8
    assert 5 < tile.mean() < 215
