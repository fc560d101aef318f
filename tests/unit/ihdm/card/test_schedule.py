"""The blur schedule is the published one, and one that makes no sense is refused."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from torch import Tensor

from sitegen.core.errors import ConfigError
from sitegen.ihdm import BlurSchedule


def test_recorded_schedule(expected: dict[str, Tensor]) -> None:
    """The recorded one of K = 8 levels, to the last digits of a double."""
    found = BlurSchedule.log_spaced(8, 0.5, 20)
    assert found.sigmas == pytest.approx(expected["blur_schedule"].tolist(), rel=1e-12)


def test_published_ends(reference: Path) -> None:
    """First and last entries of all eight; the one published fault is afhq-64's last."""
    models = json.loads((reference / "official_models.json").read_text())
    for name, model in models.items():
        config, ends = model["config"], model["blur_schedule_ends"]
        found = BlurSchedule.log_spaced(
            config["K"], config["blur_sigma_min"], config["blur_sigma_max"]
        )
        assert len(found.sigmas) == model["blur_schedule_len"]
        assert [found[k] for k in (0, 1, 2, -2)] == pytest.approx(ends[:4], rel=1e-12)
        assert found[-1] == pytest.approx(32 if name == "afhq-64" else ends[4], rel=1e-12)


def test_steps_are_even_in_log() -> None:
    """Each level above 1 blurs by the same factor more."""
    sigmas = BlurSchedule.log_spaced(50, 0.5, 20).sigmas
    factors = [above / below for below, above in pairwise(sigmas[1:])]
    assert factors == pytest.approx([40 ** (1 / 49)] * 49)


def test_one_level() -> None:
    """A single level has the largest blur."""
    assert BlurSchedule.log_spaced(1, 0.5, 20).sigmas == (0.0, 20.0)


@pytest.mark.parametrize(
    ("sigmas", "rule"),
    [
        ((0.0,), "at least one level more"),
        ((0.5, 1.0), "level 0 is the sharp image"),
        ((0.0, 1.0, 1.0), "level 2 has 1.0"),
        ((0.0, 1.0, 2.0, 0.0), "level 3 has 0.0"),
        ((0.0, math.nan), r"sigmas\[1\] = nan"),
        ((0.0, math.inf), r"sigmas\[1\] = inf"),
    ],
)
def test_senseless_schedules(sigmas: tuple[float, ...], rule: str) -> None:
    """Each is refused with the level that is wrong; a last entry of 0 is afhq-64's fault."""
    with pytest.raises(ConfigError, match=rule):
        BlurSchedule.explicit(sigmas)


@pytest.mark.parametrize(
    ("levels", "low", "high"),
    [(0, 0.5, 20), (8, 0, 20), (8, 20, 0.5), (8, math.nan, 20), (8, 0.5, math.inf)],
)
def test_senseless_ranges(levels: int, low: float, high: float) -> None:
    """No levels, no blur, a falling or an endless range."""
    with pytest.raises(ConfigError):
        BlurSchedule.log_spaced(levels, low, high)
