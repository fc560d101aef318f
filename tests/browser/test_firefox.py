"""The page in Debian's Firefox."""

from collections.abc import Iterator

import pytest

from tests.conftest import SampleSite
from tests.support.firefox import Firefox, firefox
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
