"""A small network learns what a large one knows, and becomes part of a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from recipes import distil
from recipes.coarse import LowCosines, low_cosines
from recipes.distil import Lessons, distillation_loss
from recipes.runs import CoarseRun
from sitegen.ihdm.card.networks import CoarseConfig
from sitegen.ihdm.checkpoints.loading import load_model
from sitegen.ihdm.nets.coarse import CoarseNet
from sitegen.ihdm.process.model import Model
from sitegen.ihdm.training.options import TrainingOptions
from sitegen.models.registry import model_source
from tests.support.lessons import CONFIG, images, outspoken, without_coarse

SMALL = CoarseConfig(lowest_level=6, side=3, width=16, blocks=1, features=4, level_features=4)
TRAINING = TrainingOptions(
    images=64 * 200, batch_size=64, learning_rate=3e-3, warmup_steps=5, ema_decay=0.9
)


def lessons(size: int = 2048) -> Lessons:
    """Those of a network with random weights."""
    known, sharp = LowCosines.of(without_coarse(), 3), low_cosines(images(), 3)
    return Lessons(known, sharp, outspoken(), SMALL.lowest_level, size)


def test_lessons() -> None:
    """States of the levels asked for, each with what the teacher says to it."""
    given = lessons()
    states, levels, wanted = given.draw(500, torch.Generator().manual_seed(1))
    assert set(levels.tolist()) == {6, 7, 8}
    assert torch.equal(wanted, given.known.answer(outspoken(), states, levels))
    assert len(states.unique(dim=0)) > 400  # type: ignore[no-untyped-call]


def test_lessons_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest give way, in turn, until none of the first is left."""
    monkeypatch.setattr(distil, "FRESH", 512)
    given = lessons()
    first = [part.clone() for part in given._pool]
    generator = torch.Generator().manual_seed(2)
    for turn in range(4):
        given.renew(turn, generator)
        same = (given._pool[0] == first[0]).all(1)
        assert int(same.sum()) == 2048 - 512 * (turn + 1)
        assert not bool(same[: 512 * (turn + 1)].any())
    second = given._pool[0].clone()
    given.renew(4, generator)
    assert torch.equal(given._pool[0][512:], second[512:])
    assert not torch.equal(given._pool[0][:512], second[:512])


def test_learns() -> None:
    """The small network comes nearer to the large one; that one has no loss."""
    given = lessons()
    loss = distillation_loss(given, TRAINING)
    assert float(loss(outspoken(), 1, torch.Generator().manual_seed(3)).max()) < 1e-9
    run = CoarseRun(SMALL, 1, loss, TRAINING)
    losses = [run.advance() for _ in range(200)]
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a shipped model and a large network comes the folder of a model with a small one."""
    source = model_source("mnist", Path("models/mnist"))
    shipped = load_model(source.weights, source.card)
    assert isinstance(shipped, Model)
    large = replace(CONFIG, lowest_level=54, side=6)
    sharp = torch.zeros(1, 36)
    loss = distillation_loss(
        Lessons(LowCosines.of(shipped, 6), sharp, CoarseNet(large, 1), 54, 64), TRAINING
    )
    CoarseRun(large, 1, loss, TRAINING).save(tmp_path / "large.pt")
    for place in range(6):
        Image.new("L", (28, 28), 40 * place).save(tmp_path / f"{place}.png")
    monkeypatch.setattr(distil, "TRAINING", replace(TRAINING, images=128))
    monkeypatch.setattr(distil, "POOL", 256)
    folder = tmp_path / "out"
    command = ["x", "models/mnist", "--teacher", str(tmp_path / "large.pt")]
    more = ["--data", str(tmp_path), "--output", str(folder)]
    monkeypatch.setattr("sys.argv", [*command, *more])
    distil.main()
    assert {file.name for file in folder.iterdir()} == {
        *("weights.safetensors", "model.toml", "prior.safetensors", "example.png")
    }
    made = model_source("out", folder)
    assert made.prior is not None
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
    again = [*command[:1], str(folder), *command[2:], "--data", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*again, "--output", str(tmp_path / "twice")])
    distil.main()  # a model that has such a network gets another one
    assert (tmp_path / "twice/weights.safetensors").stat().st_size == made.weights.stat().st_size


def test_not_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is not written over, which is told before anything is read."""
    command = ["x", "models/mnist", "--teacher", "none.pt", "--data", "none"]
    monkeypatch.setattr("sys.argv", [*command, "--output", "models/../models/mnist"])
    with pytest.raises(SystemExit, match="is the model itself"):
        distil.main()
