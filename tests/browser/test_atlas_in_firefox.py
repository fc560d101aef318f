"""A map in Debian's Firefox: the same pictures as in Chromium, bit for bit."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browsing import opened
from tests.support.drawing import ADDRESSES, PICTURES
from tests.support.firefox import Firefox, firefox
from tests.support.serving import serving


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
    assert {picture[0] for picture in found} == {28}
    assert found == wanted
    assert len({tuple(picture) for picture in found}) == len(ADDRESSES)
    assert fox.messages == []
