"""A site whose front page draws digits in a browser, and when it has drawn one."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from tests.support.browsing import until
from tests.support.builders import CPU, write_site
from tests.support.paths import ROOT
from tests.support.quick import SHORTER
from tests.support.reporters import Silent
from tests.support.tinymodel import write_flow, write_model

SITE = """
title = "A title"
[models.mnist]
path = "models/mnist"
"""
PAGE = """Words.

{{ sampler("mnist", count=2, caption="Draw some.", id="own") }}

More words.
"""
MAPS = """Words.

{{ atlas("mnist", columns=2, caption="All digits.", id="atlas") }}

More words.

Below.
"""
_DRAWN = "document.querySelector('.sampler-told').textContent === 'The picture is done.'"
ADDRESSES = ("2.02131", "0.3", "1.3333", "1.33", "3.0000", "3.11203")
PICTURES = """(async (addresses) => {
  const find = (name) => document.querySelector(`.atlas-${name}`);
  const sleep = () => new Promise((resolve) => setTimeout(resolve, 30));
  const pictures = [];
  for (const address of addresses) {
    location.hash = `#atlas/${address}`;
    for (let turn = 0; ; turn++) {
      if (turn > 2000) throw new Error(`${address}: ${find("address").textContent}`);
      await sleep();
      const isThere = find("address").textContent.split(" ")[1] === address;
      const isDrawn = ["", "All tiles in view are drawn."].includes(find("told").textContent);
      if (isThere && isDrawn && turn > 20) break;
    }
    find("large").click();
    const canvas = document.querySelector("dialog[open] canvas");
    while (canvas.width < 28) await sleep(); // a prepared tile, which is drawn in full
    const { width, height } = canvas;
    const pen = new OffscreenCanvas(width, height).getContext("2d");
    pen.drawImage(canvas, 0, 0);
    pictures.push([width, ...pen.getImageData(0, 0, width, height).data]);
    document.querySelector("dialog[open] [type=submit]").click();
  }
  return pictures;
})"""
"""The pixels of tiles by their addresses, as the large view of a map has them."""


def site_that_draws(root: Path, page: str = PAGE) -> Path:
    """Build a site with a sampler on its front page and none on another page; return its folder."""
    write_site(root, page, SITE)
    (root / "pages" / "more.md").write_text("# More\n\nWords.\n")
    shutil.copytree(ROOT / "models" / "mnist", root / "models" / "mnist")
    build(root / "site.toml", BuildOptions(CPU), FigureRenderer, Silent())
    return root / "build"


def site_of_maps(root: Path) -> Path:
    """Build a site with a map of digits on its front page, two maps on another page, and one
    under a tab in details; return its folder.
    """
    write_site(root, MAPS, f'{SITE}[models.tiny]\npath = "tiny"\n[models.flow]\npath = "flow"\n')
    both = '{{ atlas("tiny", beside="flow", columns=2, caption="Two.", id="both") }}'
    (root / "pages" / "more.md").write_text(f"# More\n\n{both}\n")
    tabs = 'tabs(table([["a", 1]], columns=["A", "B"]), atlas("mnist", columns=2, id="hidden"),'
    words = f'::: details More\n{{{{ {tabs} names=["Other", "Map"]) }}}}\n:::\n'
    (root / "pages" / "tabs.md").write_text(f"# Tabs\n\n{words}")
    write_model(root / "tiny")
    write_flow(root / "flow")
    shutil.copytree(ROOT / "models" / "mnist", root / "models" / "mnist")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SHORTER.items():
            patch.setattr(name, value)
        build(root / "site.toml", BuildOptions(CPU), FigureRenderer, Silent())
    return root / "build"


def wait(page: Page) -> None:
    """Wait until a picture is done; the words of the one before go first."""
    until(page, _DRAWN)


def level(page: Page) -> int:
    """The level that the page says it shows."""
    return int(page.locator(".sampler-readout b").first.inner_text())
