"""The options of a run: their rules, the learning rate, and what may change in a resumed run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from sitegen.core.errors import ConfigError
from sitegen.ihdm.training.options import TrainingOptions

SHORT = TrainingOptions(
    images=1000, batch_size=10, learning_rate=2.0, warmup_steps=10, decay_share=0.4
)


def test_rates() -> None:
    """A straight rise, flat, and a straight fall to 0, for both rates; either may be left out."""
    rates = [SHORT.rate(step) for step in range(SHORT.steps)]
    assert SHORT.steps == 100
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10:61] == pytest.approx([2.0] * 51)
    assert rates[60:] == pytest.approx([2.0 - 0.05 * step for step in range(40)])
    assert SHORT.rate(100) == 0
    both = TrainingOptions(learning_rate=2.0, muon_learning_rate=0.5, optimizer="muon")
    for step in (0, 100, both.steps // 2, both.steps - 5):
        assert both.muon_rate(step) == pytest.approx(both.rate(step) / 4)
    flat = TrainingOptions(images=100, batch_size=10, warmup_steps=0, decay_share=0)
    assert {flat.rate(step) for step in range(10)} == {1e-3}
    both = TrainingOptions(images=40, batch_size=10, warmup_steps=4, decay_share=1)
    assert [both.rate(step) for step in range(4)] == pytest.approx(
        [1e-3 * share for share in (1 / 4, 2 / 4 * 3 / 4, 3 / 4 * 2 / 4, 1 / 4)]
    )


def test_averages_and_problems() -> None:
    """(1 + n) / (10 + n) until that is the decay; each mistake is told by its name."""
    shares = [SHORT.ema_share(step) for step in range(30_000)]
    assert shares[:3] == pytest.approx([2 / 11, 3 / 12, 4 / 13])
    assert shares == sorted(shares)
    assert shares[17_000] < 0.9995
    assert shares[-1] == 0.9995
    with pytest.raises(ConfigError) as caught:
        TrainingOptions(batch_size=-1, seed=-2)
    assert len(str(caught.value).splitlines()) == 2
    for name, value in [(k, v) for k, each in _WRONG.items() for v in each]:
        with pytest.raises(ConfigError, match=name):
            TrainingOptions(**{name: value})


_WRONG: dict[str, tuple[Any, ...]] = {
    "images": (0, 63, 1.5),
    "batch_size": (0, True),
    "optimizer": ("sgd",),
    "ema_decay": (1,),
    "learning_rate": (0, float("nan"), float("inf")),
    "decay_share": (1.1,),
    **dict.fromkeys(("muon_learning_rate", "gradient_clip"), (0,)),
    **dict.fromkeys(("warmup_steps", "level_focus", "seed", "save_every_s"), (-1,)),
}


_OTHER: dict[str, Any] = {
    "batch_size": 20,
    "learning_rate": 1.0,
    "warmup_steps": 11,
    "decay_share": 0.3,
    "ema_decay": 0.9,
    "gradient_clip": 2.0,
    "level_focus": 0.0,
    "seed": 12_345_678,
}


def test_images_may_grow() -> None:
    """What changes the result conflicts; images may grow; what is not said is the default."""
    saved = asdict(SHORT)
    more = TrainingOptions(**{**saved, "images": 2000, "save_every_s": 1.0})
    fewer = TrainingOptions(**{**saved, "images": 500})
    assert more.conflicts(saved, 5) == []
    assert fewer.conflicts(saved, 99) == ["images was 1000 and is 500 now; it may only grow"]
    assert fewer.conflicts(saved, 100) == []
    saved = {key: value for key, value in asdict(SHORT).items() if key != "level_focus"}
    assert SHORT.conflicts(saved, 5) == []
    for name, value in _OTHER.items():
        saved = asdict(SHORT)
        changed = TrainingOptions(**{**saved, name: value})
        assert changed.conflicts(saved, 5) == [f"{name} was {saved[name]} and is {value} now"]
