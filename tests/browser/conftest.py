"""Pages of the sample site in a browser, for a reader who is fond of motion or not."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import SampleSite
from tests.support.browsing import opened

Look = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def look(browser: Browser, sample_site: SampleSite) -> Look:
    """Opens a page of the site in a window of any size, for one who asks for little motion."""

    def open_page(uri: str = "", *, width: int = 1280, height: int = 800, **options: Any) -> Any:
        wishes = {"viewport": {"width": width, "height": height}, "reduced_motion": "reduce"}
        return opened(browser, sample_site.address + uri, **{**wishes, **options})

    return open_page


@pytest.fixture
def calm(look: Look) -> Iterator[Page]:
    """For one who asks for little motion: nothing plays by itself."""
    with look() as page:
        yield page


@pytest.fixture
def moving(browser: Browser, sample_site: SampleSite) -> Iterator[Page]:
    """For everybody else."""
    with opened(browser, sample_site.address) as page:
        yield page
