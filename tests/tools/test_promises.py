"""The page of promises is written from the tests, and no fault is without one."""

from scripts import promises


def test_every_fault_is_tried() -> None:
    """Each fault of the table has a test, or a reason why it cannot be tried; no test another."""
    found = promises.tests()
    assert set(found) <= set(promises.FAULTS)
    for number, fault in promises.FAULTS.items():
        assert found.get(number) or fault.not_tried, fault
        assert all(test.sentence for test in found.get(number, []))


def test_page_is_up_to_date() -> None:
    """`make docs` would write the page as it is; the last sweep stands in it."""
    assert promises.PAGE.read_text() == promises.page()
    assert not promises.SWEEP.exists() or "## The last sweep" in promises.page()
