"""Pages of the sample site in a browser, for a reader who is fond of motion or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import SampleSite
from tests.support.browsing import opened


@pytest.fixture
def calm(browser: Browser, sample_site: SampleSite) -> Iterator[Page]:
    """For one who asks for little motion: nothing plays by itself."""
    with opened(browser, sample_site.address, reduced_motion="reduce") as page:
        yield page


@pytest.fixture
def moving(browser: Browser, sample_site: SampleSite) -> Iterator[Page]:
    """For everybody else."""
    with opened(browser, sample_site.address) as page:
        yield page
