"""A map in Debian's Firefox: the same pictures as in Chromium, bit for bit."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browsing import opened
from tests.support.firefox import Firefox, firefox
from tests.support.serving import serving

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
    const { width, height } = canvas;
    const pen = new OffscreenCanvas(width, height).getContext("2d");
    pen.drawImage(canvas, 0, 0);
    pictures.push([width, ...pen.getImageData(0, 0, width, height).data]);
    document.querySelector("dialog[open] [type=submit]").click();
  }
  return pictures;
})"""


@pytest.fixture(scope="module")
def fox() -> Iterator[Firefox]:
    """One Firefox for all tests of this module, since it takes seconds to start."""
    with firefox() as running:
        yield running


def test_pictures_are_those_of_chromium(fox: Firefox, browser: Browser, atlas_site: Path) -> None:
    """Prepared tiles and drawn ones, whatever was drawn before them."""
    with serving(atlas_site) as address:
        found = fox.open(f"{address}#atlas/0").evaluate(f"{PICTURES}({list(ADDRESSES)})")
        with opened(browser, f"{address}#atlas/0", reduced_motion="reduce") as page:
            wanted = page.evaluate(PICTURES, list(reversed(ADDRESSES)))[::-1]
    assert [len(picture) for picture in found] == [len(picture) for picture in wanted]
    assert {picture[0] for picture in found} >= {28, 4}
    assert found == wanted
    assert len({tuple(picture) for picture in found}) == len(ADDRESSES)
    assert fox.messages == []
