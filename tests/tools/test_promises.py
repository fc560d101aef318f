"""The page of promises is up to date, and no fault is without a test."""

from scripts import promises


def test_every_fault_is_tried() -> None:
    """Each fault of the table has a test or a reason against one; tests name no other fault."""
    found = promises.tests()
    assert set(found) <= set(promises.FAULTS)
    for number, fault in promises.FAULTS.items():
        assert found.get(number) or fault.not_tested, fault
        assert all(test.sentence for test in found.get(number, []))


def test_page_is_up_to_date() -> None:
    """`make docs` would not change the page, which shows the last sweep."""
    assert promises.PAGE.read_text() == promises.page()
    assert not promises.SWEEP.exists() or "## The last sweep" in promises.page()
