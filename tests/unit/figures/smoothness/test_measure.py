"""How even a path is: by hand on small paths, and the intervals beside scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sitegen.figures.smoothness.measure import Interval, evenness, median_interval


def test_straight_and_even() -> None:
    """A blend in equal steps has 1 and 1, of any size and shape."""
    first, last = np.random.default_rng(0).random((2, 3, 1, 5, 5))
    share = np.linspace(0, 1, 6)[None, :, None, None, None]
    found = evenness((1 - share) * first[:, None] + share * last[:, None])
    assert found.peak == pytest.approx(np.ones(3))
    assert found.tortuosity == pytest.approx(np.ones(3))
    assert found.steps.shape == (3, 5)
    assert found.shape == pytest.approx(np.ones(5))


def test_by_hand() -> None:
    """Steps of 1, 3 and 2 out and back: peak 3/2, and 6 over a distance of 2."""
    path = np.array([[[0.0], [1.0], [4.0], [2.0]]]) * np.ones(7)
    found = evenness(path)
    assert found.steps.tolist() == [[1, 3, 2]]
    assert found.peak == pytest.approx([1.5])
    assert found.tortuosity == pytest.approx([3])
    assert found.shape == pytest.approx([0.5, 1.5, 1])


def test_sudden_change() -> None:
    """All of the way in one of n steps: peak n, and still the shortest way."""
    found = evenness(np.repeat([[0.0], [1.0]], [4, 3], axis=0)[None])
    assert found.peak == pytest.approx([6])
    assert found.tortuosity == pytest.approx([1])


def test_what_does_not_move() -> None:
    """Counts as even, and a way back to its start is not infinite as JSON has it."""
    assert evenness(np.ones((2, 4, 9))).peak.tolist() == [1, 1]
    assert evenness(np.ones((2, 4, 9))).tortuosity.tolist() == [1, 1]
    assert np.isfinite(evenness(np.array([[[0.0], [1.0], [0.0]]])).tortuosity).all()


def test_interval_is_that_of_scipy() -> None:
    """The percentile bootstrap of the median, but for what resampling scatters; the same seed
    gives the same numbers.
    """
    values = np.random.default_rng(3).gamma(2.0, size=40)
    found = median_interval(values)
    wanted = stats.bootstrap(
        (values,), np.median, method="percentile", n_resamples=10_000, rng=np.random.default_rng(9)
    ).confidence_interval
    assert found.median == np.median(values)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=0.05)
    assert median_interval(values) == found
    assert median_interval(values[:16], seed=1) != median_interval(values[:16])


def test_interval_in_words() -> None:
    """Two digits, and a minus that is as wide as a digit."""
    assert str(Interval(-0.5, -1.234, 0.5)) == "−0.50 [−1.23, 0.50]"
