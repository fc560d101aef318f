"""The simulation of many workers: where its answer is known, and that it never beats the ideal."""

import pytest

from bench.distributed import WORKERS, WORKS, Measured, chart, markdown, simulate, speed_ups

EVEN = [[1.0, 1.0, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("figures", "workers", "seconds"),
    [
        ([1], 1, 4.0),
        ([1], 8, 4.0),  # a shard goes down by itself
        ([8], 1, 32.0),
        ([8], 8, 4.0),
        ([8], 4, 8.0),
        ([1, 1, 1], 2, 6.0),
        ([3], 2, 6.0),
    ],
)
def test_even_blocks(figures: list[int], workers: int, seconds: float) -> None:
    """Blocks of one second, on as many workers: whole rounds of them, by hand."""
    assert simulate(figures, EVEN, 0.0, workers) == pytest.approx(seconds)


def test_figures_at_once_and_overhead() -> None:
    """One figure at a time is one after the other; overhead comes with each block."""
    assert simulate([1, 1], EVEN, 0.0, 8, at_once=1) == pytest.approx(8.0)
    assert simulate([1], EVEN, 0.25, 8) == pytest.approx(5.0)


def test_what_is_told() -> None:
    """No number of workers gains more than itself; the table and the chart have every one."""
    measured = Measured([[1.0, 2.0, 0.5], [1.1, 2.1, 0.4]], 7.5, 2.0)
    assert measured.overhead == pytest.approx(0.2)
    assert measured.share == pytest.approx(0.4 / 7.5)
    gains = {name: speed_ups(work, measured) for name, work in WORKS.items()}
    for gain in gains.values():
        assert gain[0] == 1.0
        assert all(one <= count + 1e-9 for one, count in zip(gain, WORKERS, strict=True))
    table, drawn = markdown(measured, gains), chart(gains).text()
    assert all(name in table and name in drawn for name in WORKS)
