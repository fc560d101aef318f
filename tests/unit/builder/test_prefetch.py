"""Handing items from the thread that makes them to one that takes them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sitegen.builder.executor import BackgroundIterator
from sitegen.core.errors import RefusedError, SitegenError, TargetError


def test_items_arrive_in_order_and_few_are_ahead() -> None:
    """All that are made are taken; no more than what may wait, and one, is made ahead."""
    made: list[int] = []
    ahead: list[int] = []

    def source() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    handed = BackgroundIterator(source(), ahead=2)

    def take() -> list[int]:
        taken = []
        for item in handed:
            ahead.append(len(made) - item)
            taken.append(item)
        return taken

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(take)
        assert handed.make()
        assert future.result(60) == list(range(50))
    assert max(ahead) <= 5


@pytest.mark.parametrize(
    ("error", "told"),
    [(RefusedError("why"), RefusedError), (KeyboardInterrupt(), TargetError)],
)
def test_what_goes_wrong(error: BaseException, told: type[SitegenError]) -> None:
    """Errors for users arrive where items are taken; an interruption stays, and ends the taking."""

    def source() -> Iterator[int]:
        yield 1
        raise error

    handed = BackgroundIterator(source())
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(list, handed)
        if isinstance(error, SitegenError):
            assert not handed.make()
        else:
            with pytest.raises(KeyboardInterrupt):
                handed.make()
        with pytest.raises(told):
            future.result(60)


@pytest.mark.parametrize("ahead", [1, 2])
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_one_that_leaves(taken: int, ahead: int) -> None:
    """Whoever wants no more items stops their making, however many wait to be taken."""
    count = 0

    def source() -> Iterator[int]:
        nonlocal count
        while True:
            count += 1
            yield count

    handed = BackgroundIterator(source(), ahead)
    maker = threading.Thread(target=handed.make)
    maker.start()
    items = iter(handed)
    assert [next(items) for _ in range(taken)] == list(range(1, taken + 1))
    handed.leave()
    maker.join(60)
    assert not maker.is_alive()
    assert count <= taken + ahead + 3
