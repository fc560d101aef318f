"""A trained folder is a model: loaded, sampled, pinned, and left alone once it is finished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sitegen.core.errors import LockedError, PlatformError, RefusedError
from sitegen.core.files import digest, host_mark, lock
from sitegen.ihdm.card.card import ModelCard, read_card
from sitegen.ihdm.checkpoints.loading import load_model
from sitegen.ihdm.data.prior import read_prior
from sitegen.ihdm.process.ddpm import DiffusionModel, initial_noise
from sitegen.ihdm.process.noise import independent
from sitegen.ihdm.process.reverse import ddpm_process, reverse_process
from sitegen.ihdm.training import recipe
from sitegen.ihdm.training.options import TrainingOptions
from sitegen.ihdm.training.recipe import small_card
from sitegen.ihdm.training.train import Progress, Run, Training
from tests.support import making
from tests.support.lessons import images
from tests.support.making import load_heat

OPTIONS = TrainingOptions(images=24, batch_size=8, warmup_steps=2)
NOTES = {
    "data": "pictures", "images": 64, "images_seen": 24, "steps": 3, "precision": "float32",
    "device": "cpu",
}  # fmt: skip


def training(folder: Path, channels: int = 1, **options: Any) -> Training:
    """A short run on random pictures."""
    return Training(
        images(channels=channels).numpy(), "pictures", folder, replace(OPTIONS, **options)
    )


def card(**changes: Any) -> ModelCard:
    """A small preconditioned card."""
    return making.small_card(**{"parameterization": "preconditioned", **changes})


def nothing(_progress: Progress) -> None:
    """Show nothing."""


def trained(card: ModelCard, training: Training) -> ModelCard:
    """Train to the end, or see that nothing is left to do; the card that was written."""
    written = recipe.train(card, training, nothing)
    assert written is not None
    return written


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Time of change and digest of every file."""
    return {file.name: (file.stat().st_mtime_ns, digest(file)) for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("channels", "parameterization"), [(1, "preconditioned"), (3, "difference")]
)
def test_folder_is_a_model(tmp_path: Path, channels: int, parameterization: str) -> None:
    """Weights, prior and card fit each other, and sampling from them works; whoever reads the card
    can train the same again.
    """
    asked = card(channels=channels, parameterization=parameterization)
    written = trained(asked, training(tmp_path, channels, seed=5))
    assert written == read_card(tmp_path)
    assert written.prior is not None
    for part in (written.weights, written.prior):
        assert part is not None
        assert part.sha256 == digest(tmp_path / part.file)
    assert replace(written, weights=None, prior=None, training={}) == asked
    noted = dict(written.training)
    assert noted.pop("seconds_last_session") >= 0
    assert TrainingOptions(**noted.pop("options")) == replace(OPTIONS, seed=5)
    assert noted == NOTES
    assert ModelCard.from_toml(written.to_toml()) == written
    model, prior = load_model(tmp_path), read_prior(tmp_path / written.prior.file, written)
    assert len(prior) == 64
    noise = independent(0, range(2), written.shape)
    *_, last = reverse_process(model, prior.initial_states(0, range(2)), noise)
    assert last.mean.shape == (2, channels, 8, 8)
    assert bool(last.mean.isfinite().all())


def test_weights_are_the_averages_in_float16(tmp_path: Path) -> None:
    """What is stored are the averaged weights, of half the size, and exact statistics."""
    with recipe.opened(card(), training(tmp_path)) as run:
        recipe.go_on(run, nothing)
    stored, averages = load_file(tmp_path / "weights.safetensors"), run.weights()
    assert stored.keys() == run.ema.keys() | {"statistics.mean", "statistics.variance"}
    assert all(averages[name] is value for name, value in run.ema.items())
    for name, tensor in averages.items():
        kind = torch.float32 if name.startswith("statistics.") else torch.float16
        assert stored[name].dtype == kind
        assert torch.equal(stored[name], tensor.to(kind))
    assert all(value.dtype == torch.float32 for value in load_heat(tmp_path).unet.parameters())


def test_ddpm_folder_is_a_model(tmp_path: Path) -> None:
    """A DDPM has weights and a card, no prior, and is finished without one; sampling works."""
    asked = recipe.as_ddpm(making.small_card())
    written = trained(asked, training(tmp_path))
    assert written == read_card(tmp_path)
    assert replace(written, weights=None, training={}) == asked
    assert recipe.model_sizes(tmp_path).keys() == {"weights.safetensors", "model.toml"}
    before = contents(tmp_path)
    assert trained(asked, training(tmp_path)) == written
    assert contents(tmp_path) == before
    model = load_model(tmp_path)
    assert isinstance(model, DiffusionModel)
    x_K = initial_noise(0, [0], asked.shape)
    *_, last = ddpm_process(model, x_K, lambda _: torch.ones(1, 1, 8, 8))
    assert bool(last.mean.isfinite().all())


def test_beginning_is_in_the_card(tmp_path: Path) -> None:
    """A run may start from another kind of model with the same network; the card names it."""
    parent = trained(card(), training(tmp_path / "parent"))
    assert parent.weights is not None
    asked = recipe.as_ddpm(card(dropout=0.1))
    path = tmp_path / "parent" / parent.weights.file
    begun = recipe.beginning("parent", path, parent, asked)
    written = trained(asked, replace(training(tmp_path / "child"), beginning=begun))
    assert written.training["initial_weights"] == "parent"
    assert written.training["initial_weights_sha256"] == parent.weights.sha256
    for other in (card(model_channels=64), card(channels=3), card(num_heads=2)):
        with pytest.raises(RefusedError, match="parent are of another network"):
            recipe.beginning("parent", path, parent, other)


def test_finished(tmp_path: Path) -> None:
    """Asked for again, or for less, nothing is written, not even a time; more images go on, also
    where the last run was killed between its last step and the model.
    """
    first = trained(card(), training(tmp_path))
    before = contents(tmp_path)
    assert trained(card(), training(tmp_path)) == first
    assert trained(card(), training(tmp_path, images=16)) == first
    assert contents(tmp_path) == before
    with recipe.opened(card(), training(tmp_path, images=40)) as run:
        assert run.advance_to_end(nothing)
    assert contents(tmp_path)["model.toml"] == before["model.toml"]
    more = trained(card(), training(tmp_path, images=40))
    assert (more.weights != first.weights, more.prior) == (True, first.prior)
    assert more.training["images_seen"] == 40
    load_model(tmp_path)
    (tmp_path / "training.pt").unlink()  # now it is a model of another origin
    before = contents(tmp_path)
    with pytest.raises(RefusedError, match=r"holds a model but no training\.pt"):
        trained(card(), training(tmp_path, images=48))
    assert contents(tmp_path) == before


def test_killed_while_the_model_was_written(tmp_path: Path) -> None:
    """All steps taken but the model not whole: it is written again, the same."""
    written = trained(card(), training(tmp_path))
    for lost in ("model.toml", "weights.safetensors", "prior.safetensors"):
        (tmp_path / lost).unlink()
        again = trained(card(), training(tmp_path))
        assert (again.weights, again.prior) == (written.weights, written.prior)
        load_model(tmp_path)


def test_two_at_once(tmp_path: Path) -> None:
    """A folder has one run at a time; what a kill left half written is removed by the next one."""
    remains = tmp_path / f".sitegen-tmp-{host_mark()}-999999999-1-abcdef"
    remains.write_bytes(b"half a state")
    with lock(tmp_path / recipe.LOCK_NAME), pytest.raises(LockedError, match="process"):
        trained(card(), training(tmp_path))
    trained(card(), training(tmp_path))
    assert not remains.exists()


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (np.zeros((9, 1, 16, 16), np.uint8), r"\(1, 16, 16\) do not fit"),
        (np.zeros((9, 3, 8, 8), np.uint8), r"\(3, 8, 8\) do not fit"),
        (np.zeros((1, 1, 8, 8), np.uint8), "one image"),
    ],
)
def test_images_that_do_not_fit(tmp_path: Path, pictures: Any, words: str) -> None:
    """Refused by the data's name, before anything is written."""
    unfit = replace(training(tmp_path / "run"), images=pictures)
    with pytest.raises(RefusedError, match=f"pictures: .*{words}"):
        recipe.train(card(), unfit, nothing)
    assert not (tmp_path / "run").exists()


def test_pictures_all_the_same(tmp_path: Path) -> None:
    """Data without any variance train to something finite."""
    flat = replace(training(tmp_path), images=np.full((4, 1, 8, 8), 200, np.uint8))
    assert recipe.train(card(), flat, nothing) is not None
    u = torch.full((1, 1, 8, 8), 200 / 255)
    assert float((load_model(tmp_path)(u, 8) - u).abs().max()) < 0.05


def test_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is too small is the machine's failure, with what to do."""
    full = Mock(side_effect=torch.OutOfMemoryError("CUDA out of memory"))
    monkeypatch.setattr(Run, "advance", full)
    with pytest.raises(PlatformError, match="smaller batch size"):
        trained(card(), training(tmp_path))


@pytest.mark.parametrize(
    ("size", "multipliers"), [(28, (1, 2, 4)), (32, (1, 2, 4)), (30, (1, 2)), (15, (1,))]
)
def test_small_card(size: int, multipliers: tuple[int, ...]) -> None:
    """As many halvings as the side allows, and a blur in proportion."""
    made = small_card(size, 1)
    assert made.unet.channel_mult == multipliers
    assert made.schedule[100] == pytest.approx(size * 5 / 7)
    assert made.parameterization == "preconditioned"
    assert small_card(size, 3, 20, 9.0, "difference").schedule[20] == pytest.approx(9)
