"""What the tests of faults share: sites built by fakes, and the record of a sweep."""

from collections.abc import Generator

import pytest

from tests.support import sweeping
from tests.unit.builder.conftest import built, prebuilt, site

__all__ = ["built", "prebuilt", "site"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the record of a sweep has already."""
    done = sweeping.stand_already()
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
    items[:] = [item for item in items if item.nodeid not in done]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Note a test that holds."""
    start, failed = sweeping.begun(), item.session.testsfailed
    result = yield
    if item.session.testsfailed == failed:
        sweeping.held(item.nodeid, start)
    return result
