"""A run of the coarse network learns, goes on where it was saved, and gives its averages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from recipes import train_coarse
from recipes.coarse import CoarseConfig
from recipes.train_coarse import CoarseOptions, CoarseRun, low_cosines, read_net
from sitegen.ihdm.options import TrainingOptions
from tests.ihdm.lessons import images
from tests.recipes.test_coarse import model

CONFIG = CoarseConfig(side=8, width=64, blocks=1, features=16)
TRAINING = TrainingOptions(
    images=64 * 120, batch_size=64, learning_rate=3e-3, warmup_steps=10, ema_decay=0.9
)
OPTIONS = CoarseOptions(lowest_level=3, training=TRAINING)


def run(options: CoarseOptions = OPTIONS) -> CoarseRun:
    """A run over eight pictures, which can be learnt by heart."""
    return CoarseRun(model(), low_cosines(images(8), CONFIG.side), CONFIG, options)


def test_learns() -> None:
    """Where there are few images, it leaves less than the linear estimate does."""
    going = run()
    losses = [going.advance() for _ in range(120)]
    assert sum(losses[-20:]) < 0.9 * sum(losses[:20])


def test_batches() -> None:
    """Levels from the lowest to K, all of them; noise of the card's strength; step by step anew."""
    going = run(replace(OPTIONS, training=replace(TRAINING, batch_size=4096, images=10**6)))
    sharp, levels, noise = going.batch()
    assert set(levels.tolist()) == set(range(3, 9))
    assert float(noise.std()) == pytest.approx(0.05, rel=0.01)
    assert len({tuple(row.tolist()) for row in sharp}) == 8
    assert all(
        torch.equal(*pair) for pair in zip(going.batch(), (sharp, levels, noise), strict=True)
    )
    going.step = 1
    assert not torch.equal(going.batch()[1], levels)


def test_goes_on(tmp_path: Path) -> None:
    """Stopped and resumed, it has the weights of a run that was never stopped."""
    whole, first, second = run(), run(), run()
    for _ in range(6):
        whole.advance()
    for _ in range(3):
        first.advance()
    first.save(tmp_path / "state.pt")
    second.restore(tmp_path / "state.pt")
    for _ in range(3):
        second.advance()
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name]), name
    for name, value in whole.ema.values.items():
        assert torch.equal(value, second.ema.values[name]), name


def test_averages_are_read(tmp_path: Path) -> None:
    """The network in a file is the average, and stands still."""
    going = run()
    for _ in range(4):
        going.advance()
    going.save(tmp_path / "state.pt")
    net, config = read_net(tmp_path / "state.pt")
    assert config == CONFIG
    for name, value in net.named_parameters():
        assert torch.equal(value, going.ema.values[name]), name
        assert not value.requires_grad
    assert not torch.equal(net.leave.weight, going.net.leave.weight)


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reads a shipped model and images, trains and saves; a DDPM is refused."""
    for place in range(6):
        Image.new("L", (28, 28), 40 * place).save(tmp_path / f"{place}.png")
    short = CoarseOptions(training=replace(TRAINING, images=3 * 64))
    monkeypatch.setattr(train_coarse, "CoarseOptions", lambda: short)
    command = ["x", "models/mnist", "--data", str(tmp_path), "--output", str(tmp_path / "a/c.pt")]
    monkeypatch.setattr("sys.argv", command)
    train_coarse.main()
    assert read_net(tmp_path / "a/c.pt")[1] == CoarseConfig()
    monkeypatch.setattr("sys.argv", [*command[:1], "models/mnist-ddpm", *command[2:]])
    with pytest.raises(SystemExit, match="is a DDPM"):
        train_coarse.main()
