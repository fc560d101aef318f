"""A visitor chooses the class and the guidance of samples, and a link keeps both."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from sitegen.generative.card.labels import Condition, LabelsConfig
from sitegen.media.frames import to_uint8
from sitegen.models.registry import model_source
from sitegen.sampling.models import load_sampler
from tests.support.browsing import html_faults, opened, until, violations
from tests.support.builders import CPU, write_site
from tests.support.drawing import SITE, wait
from tests.support.reporters import Silent
from tests.support.serving import serving
from tests.support.tinymodel import on_one_thread, write_flow

UNET: dict[str, Any] = {
    "num_classes": 4, "norm_groups": 8, "labels": LabelsConfig(("cat", "dog", "owl")),
}  # fmt: skip
PAGE = '{{ sampler("mnist", count=1, caption="Draw some.", id="own") }}\n'
SEED = 7
PIXELS = """canvas => {
  const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
  pen.drawImage(canvas, 0, 0);
  return [...pen.getImageData(0, 0, canvas.width, canvas.height).data];
}"""
CHANGED = """async () => {
  const choose = (kind) => document.querySelector(`.sampler-labels [value="${kind}"]`).click();
  const canvas = document.querySelector(".sampler-stage canvas");
  choose(2);
  while (!canvas.ariaLabel?.startsWith("owl")) await new Promise((done) => setTimeout(done));
  const early = canvas.ariaLabel;
  choose(1);
  return early;
}"""
"""A visitor chooses a class, and another one while it is drawn."""

one_thread = pytest.fixture(autouse=True)(on_one_thread)


def shown(page: Page) -> NDArray[np.uint8]:
    """What the canvas shows."""
    values = page.locator(".sampler-stage canvas").evaluate(PIXELS)
    return np.array(values, np.uint8).reshape(8, 8, 4)[..., 0]


def test_class_and_guidance(browser: Browser, tmp_path: Path) -> None:
    """The picture of a class is that of sitegen, from a button or a link, and is called so."""
    folder = write_flow(tmp_path / "models" / "mnist", **UNET)
    config = write_site(tmp_path, PAGE, SITE)
    build(config, BuildOptions(CPU), FigureRenderer, Silent())
    sampler = load_sampler(model_source("mnist", folder), CPU).conditioned(Condition((1,), 1.5))
    *_, (_, images) = sampler.begin(SEED, (0,)).seen("mean")
    wanted = to_uint8(images)[0, ..., 0].astype(float)
    with serving(tmp_path / "build") as served:
        link = f"{served}#figure=own&picture={SEED}.0!1,1.5"
        with opened(browser, link) as page:
            wait(page)
            assert np.abs(shown(page) - wanted).max() <= 2
            assert page.locator(".sampler-labels :checked").input_value() == "1"
            assert page.locator(".sampler-guidance").input_value() == "1.5"
            assert "--labels dog --guidance 1.5" in page.locator(".sampler-about").inner_text()
            assert "dog: Sample 0" in (
                page.locator(".sampler-stage canvas").get_attribute("aria-label") or ""
            )
            assert violations(page) == []
        with opened(browser, f"{served}#figure=own&picture={SEED}.0!3") as page:
            until(
                page, "document.querySelector('.sampler-told').textContent.includes('no picture')"
            )
        with opened(browser, served) as page:
            assert page.get_by_role("radio", name="Class").is_checked()
            page.get_by_text("owl", exact=True).click()
            wait(page)
            page.locator(".sampler-link").click()
            until(page, "location.hash.length > 1")
            (picture,) = parse_qs(urlsplit(page.url).fragment)["picture"]
            assert picture.endswith(".0!2")
    assert html_faults(tmp_path / "build" / "index.html") == ""


def test_back_to_a_class(browser: Browser, tmp_path: Path) -> None:
    """A picture that another class stopped is drawn to its end when its class is chosen again."""
    write_flow(tmp_path / "models" / "mnist", levels=300, **UNET)
    build(write_site(tmp_path, PAGE, SITE), BuildOptions(CPU), FigureRenderer, Silent())
    seen = "document.querySelector('.sampler-stage canvas').ariaLabel === '{}: Sample 0, level 0'"
    with serving(tmp_path / "build") as served, opened(browser, served) as page:
        page.get_by_text("cat", exact=True).click()
        wait(page)
        assert not page.evaluate(CHANGED).endswith("level 0")
        until(page, seen.format("dog"))
        page.get_by_text("owl", exact=True).click()
        until(page, seen.format("owl"))
