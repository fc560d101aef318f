"""A U-Net learns what its teachers know, at the levels of each, and goes on where it was saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from recipes import distil
from recipes.coarse import CoarseConfig, CoarseExpert, CoarseNet
from recipes.distil import DistilOptions, DistilRun, Teacher, describe, distance
from recipes.train_coarse import CoarseOptions, CoarseRun
from sitegen.ihdm.checkpoint import load_model
from sitegen.ihdm.loss import image_statistics
from sitegen.ihdm.model import Model
from sitegen.ihdm.options import TrainingOptions
from sitegen.models import model_source
from tests.ihdm.lessons import blur, images, kept, preconditioned, wiener
from tests.ihdm.making import random_unet
from tests.recipes.test_coarse import SMALL, outspoken

TRAINING = TrainingOptions(
    images=16 * 60,
    batch_size=16,
    optimizer="muon",
    learning_rate=2e-3,
    warmup_steps=5,
    muon_learning_rate=4e-3,
    ema_decay=0.9,
)
OPTIONS = DistilOptions(lowest_level=5, training=TRAINING)


def model() -> Model:
    """A preconditioned model with random weights."""
    card = preconditioned()
    return Model(card, random_unet(card), image_statistics(images())).requires_grad_(False)


def expert(net: CoarseNet | None = None) -> CoarseExpert:
    """One for `model`, with an answer unless a network is given."""
    return CoarseExpert(model(), net or outspoken(SMALL), SMALL.side)


def run() -> DistilRun:
    """A run with both teachers."""
    return DistilRun(model(), expert(), images(), OPTIONS)


def test_two_teachers() -> None:
    """Below the border the model itself, from it on the expert, whatever the order of levels."""
    u, levels = images(6).float() / 255, torch.tensor([5, 1, 8, 4, 7, 2])
    teacher = Teacher(model(), expert(), 5)
    found = teacher.mean(u, levels)
    old = model()(u, levels)
    fine = levels < 5
    assert torch.equal(found[fine], model()(u[fine], levels[fine]))
    assert float((found - old)[~fine].abs().amax((1, 2, 3)).min()) > 1e-3
    assert torch.allclose(teacher.mean(u.flip(0), levels.flip(0)).flip(0), found, atol=1e-6)


def test_silent_expert_is_the_linear_estimate() -> None:
    """An expert that answers nothing teaches the Wiener filter, by SciPy."""
    u, card = images(4).float() / 255, preconditioned()
    teacher = Teacher(model(), expert(CoarseNet(SMALL)), 5)
    for level in (5, 8):
        found = teacher.mean(u, torch.full((4,), level))
        assert found.numpy() == pytest.approx(wiener(card, images(), u, level), abs=1e-5)


def test_distance() -> None:
    """It is the squared error in units of what the linear estimate leaves; 0 for the same."""
    u, levels = images(3).float() / 255, torch.tensor([2, 5, 8])
    own = model()(u, levels)
    assert float(distance(model(), u, levels, own).max()) < 1e-9
    off = own.clone()
    off[:, :, 0, 0] += 0.1
    found = distance(model(), u, levels, off)
    statistics = model().statistics
    assert statistics is not None
    variance = statistics.variance.double().numpy()
    card = preconditioned()
    for place, level in enumerate(levels.tolist()):
        here, below, sigma = kept(card, level), kept(card, level - 1), card.training_noise_std
        left = (below**2 * variance * sigma**2 / (here**2 * variance + sigma**2)).sum()
        assert float(found[place]) == pytest.approx(0.01 / left, rel=1e-3)


def test_learns() -> None:
    """The U-Net comes nearer to the expert, and stays with itself elsewhere."""
    going = run()
    steps = [going.advance() for _ in range(60)]
    levels, apart = (torch.cat(part) for part in zip(*steps, strict=True))
    coarse = levels >= 5
    before, after = apart[coarse][:100].mean(), apart[coarse][-200:].mean()
    assert float(apart[:16][~coarse[:16]].max()) < 1e-9
    assert float(after) < 0.8 * float(before)
    assert float(apart[~coarse][-50:].mean()) < 0.8 * float(before)


def test_batches() -> None:
    """Three quarters of the levels are coarse; states carry 1 to 1.3 times the noise."""
    many = replace(TRAINING, batch_size=4000, images=10**6)
    going = DistilRun(model(), expert(), images(), replace(OPTIONS, training=many))
    states, levels = going.batch()
    assert float((levels >= 5).float().mean()) == pytest.approx(0.75, abs=0.01)
    assert set(levels.tolist()) == set(range(1, 9))
    flat = states[levels == 8].double()
    assert len(flat) > 500
    rest = flat - torch.from_numpy(blur(flat.numpy(), kept(preconditioned(), 8)))
    noise = rest.std((1, 2, 3)).numpy() / 0.05
    assert 0.7 < noise.min() < 1.0
    assert 1.2 < noise.max() < 1.7
    assert noise.mean() == pytest.approx(1.15, abs=0.04)


def test_goes_on(tmp_path: Path) -> None:
    """Stopped and resumed, it has the weights of a run that was never stopped."""
    whole, first, second = run(), run(), run()
    for _ in range(4):
        whole.advance()
    for _ in range(2):
        first.advance()
    first.save(tmp_path / "state.pt")
    second.restore(tmp_path / "state.pt")
    for _ in range(2):
        second.advance()
    for name, value in whole.weights().items():
        assert torch.equal(value, second.weights()[name]), name


def test_describe() -> None:
    """What is printed is the mean of each ten levels."""
    recent = [
        (torch.tensor([3, 57]), torch.tensor([0.1, 0.2])),
        (torch.tensor([58, 100]), torch.tensor([0.4, 0.5])),
    ]
    assert describe(recent) == "0+ 0.1000  50+ 0.3000  100+ 0.5000"


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a shipped model and a coarse network comes the folder of a model."""
    source = model_source("mnist", Path("models/mnist"))
    shipped = load_model(source.weights, source.card)
    assert isinstance(shipped, Model)
    coarse = CoarseRun(shipped, torch.zeros(1, 100), CoarseConfig(width=16), CoarseOptions())
    coarse.save(tmp_path / "coarse.pt")
    for place in range(6):
        Image.new("L", (28, 28), 40 * place).save(tmp_path / f"{place}.png")
    short = DistilOptions(training=replace(TRAINING, images=8, batch_size=4))
    monkeypatch.setattr(distil, "DistilOptions", lambda: short)
    coarse_file, folder = str(tmp_path / "coarse.pt"), tmp_path / "out"
    command = ["x", "models/mnist", "--coarse", coarse_file, "--data", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*command, "--output", str(folder)])
    distil.main()
    made = model_source("out", folder)
    assert made.prior is not None
    assert made.card.training["images_seen"] == 8
    assert made.card.training["initial_weights_sha256"] == source.weights_sha256
    found = load_model(made.weights, made.card)
    before, after = shipped.state_dict(), found.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
