"""The loss for cosines is that for pixels; a run learns, goes on where it was, gives averages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from recipes import train_coarse
from recipes.coarse import LowCosines, low_cosines
from recipes.runs import CoarseRun, read_net
from recipes.train_coarse import coarse_loss, denoising_loss
from sitegen.ihdm.card.networks import CoarseConfig
from sitegen.ihdm.nets.coarse import CoarseNet, lowest
from sitegen.ihdm.process.heat import dct2
from sitegen.ihdm.training.loss import heat_loss
from sitegen.ihdm.training.options import TrainingOptions
from tests.support.lessons import images, without_coarse

CONFIG = CoarseConfig(lowest_level=3, side=8, width=64, blocks=1, features=16)
TRAINING = TrainingOptions(
    images=64 * 120, batch_size=64, learning_rate=3e-3, warmup_steps=10, ema_decay=0.9
)
LEVELS = torch.tensor([1, 4, 7, 8])


def run(training: TrainingOptions = TRAINING) -> CoarseRun:
    """A run over eight pictures."""
    known, sharp = LowCosines.of(without_coarse(), CONFIG.side), low_cosines(images(8), CONFIG.side)
    return CoarseRun(CONFIG, 1, coarse_loss(known, sharp, training), training)


@pytest.mark.parametrize("channels", [1, 3])
def test_loss_is_that_of_the_network_over_pixels(channels: int) -> None:
    """With all cosines and both networks silent it is `heat_loss` of the same images and noise."""
    pictures = images(4, channels).float() / 255
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(4))
    wanted = heat_loss(without_coarse(channels), pictures, LEVELS, noise)
    known = LowCosines.of(without_coarse(channels), 8)
    sharp = lowest(dct2(pictures), 8)
    states = known.attenuation[LEVELS] * sharp + 0.05 * lowest(dct2(noise), 8)
    found = denoising_loss(known, CoarseNet(CONFIG, channels), sharp, states, LEVELS)
    assert found.detach().numpy() == pytest.approx(wanted.numpy(), rel=1e-3)


def test_loss_is_least_for_the_truth() -> None:
    """A network that knew the image would have no loss."""

    class Oracle(CoarseNet):
        def forward(self, z: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
            return (sharp - known.estimate(states, LEVELS)) / known.unknown[LEVELS]

    known, sharp = LowCosines.of(without_coarse(), 8), low_cosines(images(4), 8)
    noise = torch.randn(sharp.shape, generator=torch.Generator().manual_seed(5))
    states = known.attenuation[LEVELS] * sharp + 0.05 * noise
    assert float(denoising_loss(known, Oracle(CONFIG, 1), sharp, states, LEVELS).max()) < 1e-6


def test_learns() -> None:
    """Where there are few images, it leaves less than the linear estimate does."""
    going = run()
    losses = [going.advance() for _ in range(120)]
    assert sum(losses[-20:]) < 0.9 * sum(losses[:20])


def test_goes_on(tmp_path: Path) -> None:
    """Stopped and resumed, it has the weights of a run that was never stopped."""
    short = replace(TRAINING, images=6 * 64)
    whole, first = run(short), run(short)
    for _ in range(6):
        whole.advance()
    for _ in range(3):
        first.advance()
    first.save(tmp_path / "state.pt")
    second = run(short)
    second.to_the_end(tmp_path / "state.pt")
    assert second.step == 6
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name]), name
    for name, value in whole.ema.items():
        assert torch.equal(value, second.ema[name]), name


def test_averages_are_read(tmp_path: Path) -> None:
    """The network in a file is the average, and stands still."""
    going = run()
    for _ in range(4):
        going.advance()
    going.save(tmp_path / "state.pt")
    for net in (read_net(tmp_path / "state.pt"), going.averaged()):
        assert net.config == CONFIG
        for name, value in net.named_parameters():
            assert torch.equal(value, going.ema[name]), name
            assert not value.requires_grad
        assert not torch.equal(net.leave.weight, going.net.leave.weight)


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reads a shipped model and images, trains and saves; a DDPM is refused."""
    for place in range(6):
        Image.new("L", (28, 28), 40 * place).save(tmp_path / f"{place}.png")
    monkeypatch.setattr(train_coarse, "TRAINING", replace(TRAINING, images=3 * 64))
    command = ["x", "models/mnist", "--data", str(tmp_path), "--output", str(tmp_path / "a/c.pt")]
    monkeypatch.setattr("sys.argv", command)
    train_coarse.main()
    assert read_net(tmp_path / "a/c.pt").config == train_coarse.NETWORK
    monkeypatch.setattr("sys.argv", [*command[:1], "models/mnist-ddpm", *command[2:]])
    with pytest.raises(SystemExit, match="only a preconditioned model"):
        train_coarse.main()


@pytest.mark.parametrize("changed", [{"seed": 7}, {"learning_rate": 9.0}])
def test_state_of_another_run(tmp_path: Path, changed: dict[str, float]) -> None:
    """It is refused, and what differs is named; how often to save is nobody's business."""
    run(replace(TRAINING, save_every_s=9.0)).save(tmp_path / "run.pt")
    run().restore(tmp_path / "run.pt")
    with pytest.raises(SystemExit, match=r"run\.pt: is the state of a run with other options"):
        run(replace(TRAINING, **changed)).restore(tmp_path / "run.pt")  # type: ignore[arg-type]
