"""The page in WebKitGTK, which is Safari's engine."""

from tests.conftest import SampleSite
from tests.support.stops import wrong_stops
from tests.support.webkit import webkit


def test_level_in_words_in_webkit(sample_site: SampleSite) -> None:
    """After every seek and every pause the level in words is the level of the picture."""
    with webkit() as page:
        page.open(sample_site.address)
        assert wrong_stops(page.evaluate) == []
