"""The page in WebKitGTK, which is Safari's engine."""

from pathlib import Path

from playwright.sync_api import Browser

from tests.conftest import SampleSite
from tests.support.basics import WANTED, basics
from tests.support.browsing import opened
from tests.support.drawing import ADDRESSES, PICTURES
from tests.support.serving import serving
from tests.support.stops import wrong_stops
from tests.support.sweeping import LOG, of_a_sweep
from tests.support.webkit import webkit


@of_a_sweep
def test_level_in_words_in_webkit(sample_site: SampleSite) -> None:
    """After every seek and every pause the level in words is the level of the picture."""
    with webkit() as page:
        page.open(sample_site.address)
        assert wrong_stops(page.evaluate) == []


def test_basics_in_webkit(basics_site: Path) -> None:
    """Tabs, popovers, scrubbing, the large view and a sampler work."""
    with webkit() as page, serving(basics_site) as address:
        page.open(f"{address}#two")
        assert basics(page.evaluate) == WANTED


def test_tiles_of_a_map_in_webkit(browser: Browser, atlas_site: Path) -> None:
    """They are those of Chromium, bit for bit."""
    addresses = ADDRESSES if LOG else ADDRESSES[:2]  # a drawn one and a prepared one
    with webkit() as page, serving(atlas_site) as address:
        page.open(f"{address}#atlas/0")
        found = page.evaluate(f"{PICTURES}({list(addresses)})")
        with opened(browser, f"{address}#atlas/0") as other:
            assert found == other.evaluate(PICTURES, list(addresses))
