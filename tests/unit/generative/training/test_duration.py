"""A run of a given duration: what is chosen from the measured steps, and that it fits the time."""

from typing import Any

import pytest

from sitegen.generative.card.card import ModelCard
from sitegen.generative.training import duration
from sitegen.generative.training.duration import chosen_for, options_for
from sitegen.generative.training.recipe import NOISE_UNET, small_card
from sitegen.generative.training.residual import evaluations


@pytest.mark.parametrize(
    ("seconds", "per_step", "sides", "side"),
    [
        (600, 0.3, (64, 32), 32),
        (36_000, 0.3, (64, 32), 64),
        (600, 0.004, (64, 32), 64),
        (600, 0.3, (28,), 28),
    ],
)
def test_fits_the_time(
    seconds: float,
    per_step: float,
    sides: tuple[int, ...],
    side: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Steps and the estimate at the end take the whole time, and none of it twice."""

    def measure(card: ModelCard, *_: Any) -> float:
        return per_step * (card.image_size / 32) ** 2

    monkeypatch.setattr(duration, "seconds_per_step", measure)
    found = chosen_for("ihdm", seconds, sides, 3, "cpu", "float32", {"seed": 5})
    options = found.options
    assert found.card.image_size == side
    assert found.card.bands[-1].cosines is not None
    assert options.seed == 5
    more = evaluations(found.card, found.measured)
    total = options.steps * found.seconds_per_step
    total += more * found.seconds_per_step / (3 * options.batch_size)
    assert total == pytest.approx(seconds, rel=0.02)
    assert options.warmup_steps < options.steps / 10
    assert 1 / (1 - options.ema_decay) < options.steps / 5


@pytest.mark.parametrize("kind", ["ddpm", "flow"])
def test_kinds_that_start_from_noise(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have one light network and few levels, and no images are kept to measure a variance."""
    monkeypatch.setattr(duration, "seconds_per_step", lambda *_: 0.3)
    found = chosen_for(kind, 600, (32,), 3, "cpu", "float32", {})
    assert (found.card.kind, found.card.levels) == (kind, duration.NOISE_LEVELS[kind])
    assert found.card.unet == NOISE_UNET
    chosen = {name: getattr(found.options, name) for name in duration.OF_NOISE}
    assert chosen == duration.OF_NOISE
    given = chosen_for(kind, 600, (32,), 3, "cpu", "float32", {"batch_size": 8})
    assert given.options.batch_size == 8
    assert found.options.steps == pytest.approx(600 / 0.3, rel=0.02)


def test_options_that_are_given() -> None:
    """Given options take precedence, and the number of images follows from the batch size."""
    options = options_for(1000, {"batch_size": 8, "warmup_steps": 3})
    assert (options.images, options.steps, options.warmup_steps) == (8000, 1000, 3)
    assert options_for(1, {}).steps == 1


def test_measured_here() -> None:
    """Some steps on noise are timed, and nothing is written."""
    card = small_card(28, 1, light=True)
    assert 0 < duration.seconds_per_step(card, 1, "cpu", "float32", {"batch_size": 2}) < 600
