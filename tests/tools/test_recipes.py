"""The network for coarse levels learns from images or a larger one, and joins a model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recipes import distil, train_coarse
from recipes.coarse import LowCosines, draw_states, low_cosines
from recipes.distil import Lessons, distillation_loss
from recipes.runs import CoarseRun, read_net
from recipes.train_coarse import coarse_loss, denoising_loss
from sitegen.ihdm.card.networks import CoarseConfig
from sitegen.ihdm.checkpoints.loading import load_model
from sitegen.ihdm.nets.coarse import CoarseNet, lowest
from sitegen.ihdm.process.heat import dct2
from sitegen.ihdm.process.model import Model
from sitegen.ihdm.training.loss import heat_loss
from sitegen.ihdm.training.options import TrainingOptions
from sitegen.models.registry import model_source
from tests.support.lessons import (
    CONFIG,
    dct,
    images,
    kept,
    outspoken,
    preconditioned,
    without_coarse,
)
from tests.support.lessons import model as with_coarse


@pytest.mark.parametrize("channels", [1, 3])
def test_known_numbers(channels: int) -> None:
    """Mean and deviation of the coefficients of states are those of the data, by SciPy."""
    known = LowCosines.of(without_coarse(channels), 3)
    assert known.levels == 8
    cosines = dct(images(channels=channels).double().numpy() / 255)[..., :3, :3]
    card = preconditioned(channels)
    for level in (1, 5, 8):
        here = kept(card, level)[:3, :3]
        deviation = np.sqrt(here**2 * cosines.var(0) + card.training_noise_std**2)
        assert known.mean[level].numpy() == pytest.approx(
            (here * cosines.mean(0)).ravel(), rel=1e-4
        )
        assert known.std[level].numpy() == pytest.approx(deviation.ravel(), rel=1e-4)


def test_estimate_and_answer_are_the_model_s() -> None:
    """With the answer of a network the estimate is the mean that the whole model gives."""
    both, u = with_coarse(), images(4).float() / 255
    known = LowCosines.of(both, 3)
    for level in (5, 8):
        levels = torch.full((4,), level)
        seen = lowest(dct2(u), 3)
        answer = known.unknown[levels] * known.answer(outspoken(), seen, levels)
        found = known.attenuation[levels - 1] * (known.estimate(seen, levels) + answer)
        assert torch.allclose(found, lowest(dct2(both(u, level)), 3), atol=1e-5)


def test_states() -> None:
    """Levels from the lowest to K, all of them; images of the data; noise of 1 to 1.5 times σ."""
    known, data = LowCosines.of(without_coarse(), 3), low_cosines(images(8), 3)
    drawn = draw_states(known, data, 4096, 3, 1.5, torch.Generator().manual_seed(4))
    sharp, states, levels = drawn
    assert set(levels.tolist()) == set(range(3, 9))
    assert len({tuple(row.tolist()) for row in sharp}) == 8
    noise = (states - known.attenuation[levels] * sharp) / 0.05
    assert float(noise.square().mean()) == pytest.approx((1 + 1.5 + 1.5**2) / 3, rel=0.03)
    again = draw_states(known, data, 4096, 3, 1.5, torch.Generator().manual_seed(4))
    assert all(map(torch.equal, drawn, again))


TRAINED = CoarseConfig(lowest_level=3, side=8, width=64, blocks=1, features=16)
TRAINING = TrainingOptions(
    images=64 * 200, batch_size=64, learning_rate=3e-3, warmup_steps=5, ema_decay=0.9
)
LEVELS = torch.tensor([1, 4, 7, 8])


def run(training: TrainingOptions = TRAINING) -> CoarseRun:
    """A run over eight pictures."""
    known, sharp = (
        LowCosines.of(without_coarse(), TRAINED.side),
        low_cosines(images(8), TRAINED.side),
    )
    return CoarseRun(TRAINED, 1, coarse_loss(known, sharp, training), training)


@pytest.mark.parametrize("channels", [1, 3])
def test_loss_is_that_of_the_network_over_pixels(channels: int) -> None:
    """With all cosines and both networks silent it is `heat_loss` of the same images and noise."""
    pictures = images(4, channels).float() / 255
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(4))
    wanted = heat_loss(without_coarse(channels), pictures, LEVELS, noise)
    known = LowCosines.of(without_coarse(channels), 8)
    sharp = lowest(dct2(pictures), 8)
    states = known.attenuation[LEVELS] * sharp + 0.05 * lowest(dct2(noise), 8)
    found = denoising_loss(known, CoarseNet(TRAINED, channels), sharp, states, LEVELS)
    assert found.detach().numpy() == pytest.approx(wanted.numpy(), rel=1e-3)


def test_training_learns(tmp_path: Path) -> None:
    """It leaves less than the linear estimate does, and its file holds the averages."""
    going = run()
    losses = [going.advance() for _ in range(120)]
    assert sum(losses[-20:]) < 0.9 * sum(losses[:20])
    going.save(tmp_path / "state.pt")
    for net in (read_net(tmp_path / "state.pt"), going.averaged()):
        assert net.config == TRAINED
        assert all(torch.equal(value, going.ema[name]) for name, value in net.named_parameters())
        assert not any(value.requires_grad for value in net.parameters())
        assert not torch.equal(net.leave.weight, going.net.leave.weight)


def test_goes_on(tmp_path: Path) -> None:
    """Resumed, it has the weights of a run that never stopped; other options are refused."""
    short = replace(TRAINING, images=6 * 64)
    whole, first, state = run(short), run(replace(short, save_every_s=9.0)), tmp_path / "run.pt"
    for _ in range(6):
        whole.advance()
    for _ in range(3):
        first.advance()
    first.save(state)
    for changed in ({"seed": 7}, {"learning_rate": 9.0}):
        with pytest.raises(SystemExit, match=r"run\.pt: is the state of a run with other options"):
            run(replace(short, **changed)).restore(state)
    second = run(short)
    second.to_the_end(state)
    assert second.step == 6
    kept = second.net.state_dict() | {f"ema.{name}": value for name, value in second.ema.items()}
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, kept[name]), name
    for name, value in whole.ema.items():
        assert torch.equal(value, kept[f"ema.{name}"]), name


def test_command_that_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


SMALL = CoarseConfig(lowest_level=6, side=3, width=16, blocks=1, features=4, level_features=4)


def lessons(size: int = 2048) -> Lessons:
    """Those of a network with random weights."""
    known, sharp = LowCosines.of(without_coarse(), 3), low_cosines(images(), 3)
    return Lessons(known, sharp, outspoken(), SMALL.lowest_level, size)


def test_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    """States of the levels asked for with the teacher's answers, the oldest renewed in turn."""
    monkeypatch.setattr(distil, "FRESH", 512)
    given, generator = lessons(), torch.Generator().manual_seed(1)
    states, levels, wanted = given.draw(500, generator)
    assert set(levels.tolist()) == {6, 7, 8}
    assert torch.equal(wanted, given.known.answer(outspoken(), states, levels))
    assert len(states.unique(dim=0)) > 400  # type: ignore[no-untyped-call]
    first = given._pool[0].clone()
    for turn in range(4):
        given.renew(turn, generator)
        same = (given._pool[0] == first).all(1)
        assert int(same.sum()) == 2048 - 512 * (turn + 1)
        assert not bool(same[: 512 * (turn + 1)].any())
    second = given._pool[0].clone()
    given.renew(4, generator)
    assert torch.equal(given._pool[0][512:], second[512:])
    assert not torch.equal(given._pool[0][:512], second[:512])


def test_distillation_learns() -> None:
    """The small network comes nearer to the large one; that one has no loss."""
    given = lessons()
    loss = distillation_loss(given, TRAINING)
    assert float(loss(outspoken(), 1, torch.Generator().manual_seed(3)).max()) < 1e-9
    run = CoarseRun(SMALL, 1, loss, TRAINING)
    losses = [run.advance() for _ in range(200)]
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])


def test_command_that_distils(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a model and a large network comes a model with a small one, never in place."""

    def run(model: str | Path, output: str | Path) -> None:
        words = {"--teacher": teacher, "--data": tmp_path, "--output": output}
        options = [str(word) for pair in words.items() for word in pair]
        monkeypatch.setattr("sys.argv", ["x", str(model), *options])
        distil.main()

    teacher, folder = tmp_path / "large.pt", tmp_path / "out"
    with pytest.raises(SystemExit, match="is the model itself"):
        run("models/mnist", "models/../models/mnist")
    source = model_source("mnist", Path("models/mnist"))
    shipped = load_model(source.weights, source.card)
    assert isinstance(shipped, Model)
    large = replace(CONFIG, lowest_level=54, side=6)
    given = Lessons(LowCosines.of(shipped, 6), torch.zeros(1, 36), CoarseNet(large, 1), 54, 64)
    CoarseRun(large, 1, distillation_loss(given, TRAINING), TRAINING).save(teacher)
    for place in range(6):
        Image.new("L", (28, 28), 40 * place).save(tmp_path / f"{place}.png")
    monkeypatch.setattr(distil, "TRAINING", replace(TRAINING, images=128))
    monkeypatch.setattr(distil, "POOL", 256)
    run("models/mnist", folder)
    names = ["example.png", "model.toml", "prior.safetensors", "weights.safetensors"]
    assert sorted(file.name for file in folder.iterdir()) == names
    made = model_source("out", folder)
    assert made.card.coarse == replace(distil.NETWORK, side=6)
    recipe = made.card.training["coarse"]
    assert (recipe["states_seen"], recipe["steps"], recipe["network"]["width"]) == (128, 2, 128)
    assert (recipe["options"]["optimizer"], recipe["options"]["pool"]) == ("adamw", 256)
    assert "level_focus" not in recipe["options"]
    assert recipe["teacher"]["network"]["lowest_level"] == 54
    found = load_model(made.weights, made.card)
    assert isinstance(found, Model)
    before, after = shipped.unet.state_dict(), found.unet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    run(folder, tmp_path / "twice")  # a model that has such a network gets another one
    assert (tmp_path / "twice/weights.safetensors").stat().st_size == made.weights.stat().st_size
