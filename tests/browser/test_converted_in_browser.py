"""The published tiny checkpoint, added with `--sampler`, draws in a browser what sitegen draws."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from sitegen.media.frames import to_uint8
from sitegen.models.add import add_model
from sitegen.models.options import AddOptions
from sitegen.models.registry import find_model
from sitegen.sampling.export import Request, draw_samples
from sitegen.sampling.models import load_sampler
from tests.browser.test_sampler_in_browser import decibels, drawn, seen
from tests.support.adding import TOLD, draw
from tests.support.builders import CPU, write_site
from tests.support.paths import TESTS
from tests.support.reporters import Silent
from tests.support.serving import serving
from tests.support.tinymodel import on_one_thread

CHECKPOINT = TESTS / "reference" / "tiny" / "checkpoint.pth"
PAGE = 'Words.\n\n{{ sampler("published", count=1, id="own") }}\n'

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """Add the checkpoint to a new site, build it, and serve it; the site's folder."""
    config = write_site(tmp_path, PAGE, 'title = "A title"\n')
    with contextlib.chdir(tmp_path):
        data = draw(tmp_path / "digits", size=28, channels=1)
        add_model(config, "published", AddOptions(CHECKPOINT, data=data, **TOLD), True)
        build(config, BuildOptions(CPU), FigureRenderer, Silent())
        yield tmp_path


def test_published_checkpoint_draws(browser: Browser, site: Path) -> None:
    """The picture of a link is that of `sitegen sample`, though its four steps taught it little."""
    source = find_model("published", None, site / "site.toml")
    output = draw_samples(
        load_sampler(source, CPU), Request(count=2, seed=7), site / "x.npz", Silent()
    )
    with np.load(output) as arrays:
        wanted = to_uint8(arrays["final"])[1][..., 0]
    with (
        serving(site / "build") as address,
        drawn(browser, address, "#figure=own&picture=7.1&level=0") as page,
    ):
        assert decibels(seen(page), wanted) >= 35
