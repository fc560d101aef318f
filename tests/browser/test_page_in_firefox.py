"""The page in Debian's Firefox."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SampleSite
from tests.support.basics import WANTED, basics
from tests.support.builders import decode
from tests.support.firefox import WAIT_S, Firefox, firefox
from tests.support.serving import serving
from tests.support.stops import wrong_stops


@pytest.fixture(scope="module")
def fox() -> Iterator[Firefox]:
    """One Firefox for all tests of this module, since it takes seconds to start."""
    with firefox() as running:
        yield running


def test_level_in_words_in_firefox(fox: Firefox, sample_site: SampleSite) -> None:
    """After every seek and every pause the level in words is the level of the picture."""
    page = fox.open(sample_site.address)
    assert wrong_stops(page.evaluate) == []
    assert fox.messages == []


def test_basics_in_firefox(fox: Firefox, basics_site: Path) -> None:
    """Tabs, popovers, scrubbing, the large view and a sampler work."""
    with serving(basics_site) as address:
        page = fox.open(f"{address}#two")
        assert basics(page.evaluate) == WANTED
    assert fox.messages == []


def test_clips_are_no_tab_stops_in_firefox(fox: Firefox, sample_site: SampleSite) -> None:
    """Tab goes from control to control, and never to a video, which has none of its own."""
    page = fox.open(sample_site.address)
    focused = [page.press_tab() for _ in range(25)]
    assert "VIDEO" not in focused
    assert page.evaluate("[...document.querySelectorAll('.clip')].every(e => e.tabIndex < 0)")


def test_slider_in_firefox(fox: Firefox, sample_site: SampleSite) -> None:
    """The thumb on a filmstrip is one bar of 8 x 44 pixels, of one colour."""
    page = fox.open(sample_site.address)
    picture = Image.open(io.BytesIO(page.screenshot("#trajectories .slider"))).convert("RGB")
    pixels = np.asarray(picture, dtype=int)
    middle = len(pixels) // 2
    colour = pixels[middle, -4]  # inside the thumb, at the right end
    same = np.abs(pixels - colour).max(axis=2) < 12
    assert 40 <= same[:, -4].sum() <= 44
    assert same[middle - 18 : middle + 18, -4].all()
    assert 7 <= same[middle, -16:].sum() <= 8
    assert np.abs(colour - pixels[middle, -10]).max() > 60


@pytest.fixture(scope="module")
def drawing(drawing_site: Path) -> Iterator[str]:
    """The address of a site with one sampler."""
    with serving(drawing_site) as address:
        yield address


DRAW = """(async () => {
  const find = (name) => document.querySelector(`.sampler-${name}`);
  const words = async (wanted) => {
    for (let turn = 0; !find("told").textContent.startsWith(wanted); turn++) {
      if (turn > 2000) throw new Error(find("told").textContent);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  };
  while (!document.querySelector(".sampler.live"))
    await new Promise((resolve) => setTimeout(resolve, 30));
  find("new").click();
  await words("The picture is done.");
  find("film").click();
  await words("The film is saved");
  return [Number(find("slider").max) + 1, find("told").textContent];
})()"""


@pytest.mark.parametrize("codec", ["h264", "none"])
def test_saved_film_in_firefox(fox: Firefox, drawing: str, codec: str) -> None:
    """A film has every level as MP4; without H.264 it is WebM, which is said."""
    fox.open(f"{drawing}?codec={codec}")  # the query makes it a new page
    if codec == "none":
        fox.evaluate("delete window.VideoEncoder")
    levels, told = fox.evaluate(DRAW)
    suffix = "mp4" if codec == "h264" else "webm"
    film = downloaded(fox.downloads, suffix)
    count = len(decode(film))
    assert told == f"The film is saved as {'MP4' if codec == 'h264' else 'WebM'}."
    if codec == "h264":
        assert count == levels + 24  # it stays at its end for a second
    assert count >= 0.93 * (levels + 24)
    assert fox.messages == []


def downloaded(folder: Path, suffix: str) -> Path:
    """Wait for a download and return its file."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        files = [each for each in folder.glob(f"*.{suffix}") if each.stat().st_size]
        if files and not [*folder.glob("*.part")]:
            return files[0]
        time.sleep(0.05)
    pytest.fail(f"no {suffix} was saved in {folder}")
