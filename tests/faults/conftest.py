"""What the tests of faults share: sites that are built by fakes, and published."""

from tests.support.publishing import nobody_is_asked, paper
from tests.unit.build.conftest import built, prebuilt, site

__all__ = ["built", "nobody_is_asked", "paper", "prebuilt", "site"]
