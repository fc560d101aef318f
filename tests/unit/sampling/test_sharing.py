"""Equal trajectories of several figures are computed once, and kept no longer than wanted."""

from collections.abc import Iterator
from typing import get_args

import pytest
import torch

from sitegen.core import files as spool
from sitegen.sampling.run import Selection, Visible
from sitegen.sampling.sharing import Begin, Sharing

LEVELS = (3, 2, 1, 0)
SIZE = 100


class Source:
    """A trajectory of numbers, ten times the level for states; tells what it was begun for."""

    def __init__(self) -> None:
        self.begun: list[Selection] = []

    def __call__(self, keep: Selection) -> Iterator[Visible]:
        """Begin it."""
        self.begun.append(keep)
        for level in LEVELS:
            state, mean = torch.tensor(10.0 * level), torch.tensor(float(level))
            kept = {"steps": (state, mean), "mean": (mean,), "state": (state if level else mean,)}
            yield level, kept.get(keep, () if level else (mean,))


def taken(begin: Begin, keep: Selection) -> list[tuple[int, list[float]]]:
    """All that a consumer sees."""
    return [(level, [float(each) for each in kept]) for level, kept in begin(keep)]


@pytest.fixture
def source() -> Source:
    """One that was not begun yet."""
    return Source()


@pytest.mark.parametrize("room", [1, 1000])
def test_once_for_all(source: Source, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever each wants of the steps, it sees what it would have seen alone.

    Be that kept in memory or in a file.
    """
    monkeypatch.setattr(spool, "IN_MEMORY", room)
    sharing, keeps = Sharing(SIZE), [each for each in get_args(Selection) if each != "final"]
    begins = [sharing.asked("one", SIZE, source) for _ in keeps]
    found = [taken(begin, keep) for begin, keep in zip(begins, keeps, strict=True)]
    assert source.begun == ["steps"]
    assert found == [taken(Source(), keep) for keep in keeps]


def test_alone(source: Source) -> None:
    """Nothing is kept for nobody: what is asked for once is computed as it is wanted."""
    sharing = Sharing(SIZE)
    for key in ("one", "another"):
        assert len(taken(sharing.asked(key, SIZE, source), "last")) == len(LEVELS)
    assert source.begun == ["last", "last"]


@pytest.mark.parametrize(("most", "begun"), [(SIZE, 3), (2 * SIZE, 2), (SIZE - 1, 4)])
def test_no_more_than_there_is_room_for(source: Source, most: int, begun: int) -> None:
    """What does not fit is computed anew, and what was seen by all makes room for others."""
    sharing = Sharing(most)
    for keys in (("a", "b", "a", "b"), ("c", "c")):
        before = len(source.begun)
        begins = [sharing.asked(key, SIZE, source) for key in keys]
        for begin in begins:
            taken(begin, "mean")
        made = len(source.begun) - before
        assert made == (begun if len(keys) == 4 else 1 if most >= SIZE else 2)


def test_one_that_stops(source: Source) -> None:
    """What was not computed to its end is not kept for the others."""
    sharing = Sharing(SIZE)
    first, second = (sharing.asked("one", SIZE, source) for _ in range(2))
    next(first("mean"))
    assert len(taken(second, "mean")) == len(LEVELS)
    assert len(source.begun) == 2


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_cancelled_figure(source: Source, steps: int) -> None:
    """However far a figure came before it was cancelled, others find all room free again."""
    sharing = Sharing(SIZE)
    first, second = (sharing.asked("one", SIZE, source) for _ in range(2))
    levels = first("mean")
    for _ in range(steps):
        next(levels)
    levels.close()  # type: ignore[attr-defined]
    del first, second
    source.begun.clear()
    for begin in [sharing.asked("another", SIZE, source) for _ in range(2)]:
        taken(begin, "mean")
    assert source.begun == ["steps"]


def test_a_figure_that_is_cancelled_after_another_was_made(source: Source) -> None:
    """What was kept for it is dropped with it."""
    sharing = Sharing(SIZE)
    first, second = (sharing.asked("one", SIZE, source) for _ in range(2))
    taken(first, "mean")
    del second
    for begin in [sharing.asked("another", SIZE, source) for _ in range(2)]:
        taken(begin, "mean")
    assert source.begun == ["steps", "steps"]


def test_two_that_keep_at_the_same_time(source: Source) -> None:
    """Only one of them is kept, and the room of both is free again in the end."""
    sharing = Sharing(2 * SIZE)
    begins = [sharing.asked("one", SIZE, source) for _ in range(3)]
    both = [begin("mean") for begin in begins[:2]]
    for levels in zip(*both, strict=True):
        assert len(levels) == 2
    taken(begins[2], "mean")
    source.begun.clear()
    for keys in ("a", "b"), ("a", "b"):
        del begins
        begins = [sharing.asked(key, SIZE, source) for key in keys for _ in range(2)]
        for begin in begins:
            taken(begin, "mean")
    assert source.begun == ["steps"] * 4
