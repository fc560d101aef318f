"""The core of a page in the whole Chromium; the other tests of this tier use its headless shell."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.basics import WANTED, basics
from tests.support.browsing import chromium, opened
from tests.support.serving import serving


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The whole browser."""
    yield from chromium(whole=True)


def test_basics_in_chromium(browser: Browser, basics_site: Path) -> None:
    """Tabs, popovers, scrubbing, the large view and a sampler work."""
    with serving(basics_site) as address, opened(browser, f"{address}#two") as page:
        assert basics(page.evaluate) == WANTED
