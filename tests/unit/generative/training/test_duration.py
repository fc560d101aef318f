"""A run of a given duration: what is chosen from the measured steps, and that it fits the time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sitegen.generative.card.card import ModelCard
from sitegen.generative.training import duration
from sitegen.generative.training.duration import chosen_for, options_for
from sitegen.generative.training.recipe import NOISE_UNET, card_of, small_card
from sitegen.generative.training.residual import evaluations
from sitegen.generative.training.train import Run, Training


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


@pytest.mark.parametrize("real", [0.5, 2.0])
def test_ends_in_time(real: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that turn out faster or slower than measured change their number, not the end.

    100 steps of 1 s were planned, and each takes `real` seconds.
    """
    clock, rates = [0.0], list[float]()
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    images = np.zeros((16, 1, 28, 28), np.uint8)
    options = options_for(100, {**duration.OF_NOISE, "batch_size": 1})
    run = Run(
        card_of("flow", 28, 1, levels=16, light=True), Training(images, "x", tmp_path, options)
    )

    def advance() -> tuple[Tensor, Tensor]:
        clock[0] += real
        rates.append(run.options.rate(run.step))
        run.step += 1
        return torch.ones(1), torch.ones(1)

    monkeypatch.setattr(run, "advance", advance)
    run.ends_at = 100.0
    assert run.advance_to_end(lambda progress: None)
    assert clock[0] == pytest.approx(100, abs=5)
    falling = sum(rate < options.learning_rate for rate in rates[options.warmup_steps :])
    assert falling / len(rates) == pytest.approx(options.decay_share, abs=0.1)
    assert rates[-1] < 0.1 * options.learning_rate
