"""A trained folder is a model: loaded, sampled, pinned, and left alone once it is finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def train(
    card: ModelCard,
    training: Training,
    report: Callable[[Progress], None],
    stop: Callable[[], bool] = lambda: False,
) -> ModelCard | None:
    """Train, or go on where an earlier run stopped; a run that is complete is left as it is."""
    with recipe.opened(card, training) as run:
        return recipe.finished_card(run) or recipe.go_on(run, report, stop)


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Time of change and digest of every file."""
    return {file.name: (file.stat().st_mtime_ns, digest(file)) for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("channels", "parameterization"), [(1, "preconditioned"), (3, "difference")]
)
def test_folder_is_a_model(tmp_path: Path, channels: int, parameterization: str) -> None:
    """Weights, prior and card fit each other, and sampling from them works."""
    asked = card(channels=channels, parameterization=parameterization)
    written = train(asked, training(tmp_path, channels), nothing)
    assert written == read_card(tmp_path)
    assert written is not None
    assert written.weights is not None
    assert written.prior is not None
    assert written.weights.sha256 == digest(tmp_path / written.weights.file)
    assert written.prior.sha256 == digest(tmp_path / written.prior.file)
    assert replace(written, weights=None, prior=None, training={}) == asked
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
    stored = load_file(tmp_path / "weights.safetensors")
    assert stored.keys() == run.weights().keys()
    for name, tensor in run.weights().items():
        kind = torch.float32 if name.startswith("statistics.") else torch.float16
        assert stored[name].dtype == kind
        assert torch.equal(stored[name], tensor.to(kind))
    loaded = load_heat(tmp_path)
    assert loaded.statistics is not None
    assert run.model.statistics is not None
    assert torch.equal(loaded.statistics.variance, run.model.statistics.variance)
    assert all(value.dtype == torch.float32 for value in loaded.unet.parameters())


def test_recipe_is_in_the_card(tmp_path: Path) -> None:
    """Whoever reads the card can train the same again."""
    written = train(card(), training(tmp_path, seed=5), nothing)
    assert written is not None
    noted = dict(written.training)
    assert noted.pop("seconds_last_session") >= 0
    options = noted.pop("options")
    assert TrainingOptions(**options) == replace(OPTIONS, seed=5)
    assert noted == {
        "data": "pictures",
        "images": 64,
        "images_seen": 24,
        "steps": 3,
        "precision": "float32",
        "device": "cpu",
    }
    assert ModelCard.from_toml(written.to_toml()) == written


def test_ddpm_folder_is_a_model(tmp_path: Path) -> None:
    """A DDPM has weights and a card, no prior, and is finished without one; sampling works."""
    asked = recipe.as_ddpm(making.small_card())
    written = train(asked, training(tmp_path), nothing)
    assert written == read_card(tmp_path)
    assert replace(written, weights=None, training={}) == asked
    assert recipe.model_sizes(tmp_path).keys() == {"weights.safetensors", "model.toml"}
    before = contents(tmp_path)
    assert train(asked, training(tmp_path), nothing) == written
    assert contents(tmp_path) == before
    model = load_model(tmp_path)
    assert isinstance(model, DiffusionModel)
    *_, last = ddpm_process(
        model, initial_noise(0, [0], asked.shape), lambda _: torch.ones(1, 1, 8, 8)
    )
    assert bool(last.mean.isfinite().all())


def test_beginning_is_in_the_card(tmp_path: Path) -> None:
    """A run may start from another kind of model with the same network; the card names it."""
    parent = train(card(), training(tmp_path / "parent"), nothing)
    assert parent is not None
    assert parent.weights is not None
    asked = recipe.as_ddpm(card(dropout=0.1))
    path = tmp_path / "parent" / parent.weights.file
    begun = recipe.beginning("parent", path, parent, asked)
    assert begun.weights.keys() == making.random_unet(asked).state_dict().keys()
    written = train(asked, replace(training(tmp_path / "child"), beginning=begun), nothing)
    assert written is not None
    assert written.training["initial_weights"] == "parent"
    assert written.training["initial_weights_sha256"] == parent.weights.sha256
    for other in (card(model_channels=64), card(channels=3), card(num_heads=2)):
        with pytest.raises(RefusedError, match="parent are of another network"):
            recipe.beginning("parent", path, parent, other)


def test_finished(tmp_path: Path) -> None:
    """Asked for again, or for less, nothing is written, not even a time; more images go on."""
    first = train(card(), training(tmp_path), nothing)
    before = contents(tmp_path)
    assert first is not None
    assert train(card(), training(tmp_path), nothing) == first
    assert train(card(), training(tmp_path, images=16), nothing) == first
    assert contents(tmp_path) == before
    more = train(card(), training(tmp_path, images=40), nothing)
    assert more is not None
    assert more.weights != first.weights
    assert more.prior == first.prior
    assert more.training["images_seen"] == 40
    load_model(tmp_path)
    (tmp_path / "training.pt").unlink()  # now it is a model of another origin
    before = contents(tmp_path)
    with pytest.raises(RefusedError, match=r"holds a model but no training\.pt"):
        train(card(), training(tmp_path, images=48), nothing)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("lost", ["model.toml", "weights.safetensors", "prior.safetensors"])
def test_killed_while_the_model_was_written(tmp_path: Path, lost: str) -> None:
    """All steps taken but the model not whole: it is written again, the same."""
    written = train(card(), training(tmp_path), nothing)
    (tmp_path / lost).unlink()
    again = train(card(), training(tmp_path), nothing)
    assert written is not None
    assert again is not None
    assert (again.weights, again.prior) == (written.weights, written.prior)
    load_model(tmp_path)


def test_card_of_an_earlier_end(tmp_path: Path) -> None:
    """Killed between the last step and the model, the old model does not count as finished."""
    train(card(), training(tmp_path), nothing)
    old = contents(tmp_path)
    with recipe.opened(card(), training(tmp_path, images=40)) as run:
        assert run.advance_to_end(nothing)
    assert contents(tmp_path)["model.toml"] == old["model.toml"]
    written = train(card(), training(tmp_path, images=40), nothing)
    assert written is not None
    assert written.training["images_seen"] == 40


def test_stopped(tmp_path: Path) -> None:
    """A run that is asked to stop saves its state and writes no model; the next one goes on."""
    asked = iter([False, True])
    assert train(card(), training(tmp_path), nothing, lambda: next(asked)) is None
    assert not (tmp_path / "model.toml").exists()
    with recipe.opened(card(), training(tmp_path)) as run:
        assert run.step == 1
    assert train(card(), training(tmp_path), nothing) is not None


def test_two_at_once(tmp_path: Path) -> None:
    """A folder has one run at a time."""
    with lock(tmp_path / recipe.LOCK_NAME), pytest.raises(LockedError, match="process"):
        train(card(), training(tmp_path), nothing)


def test_remains_of_a_killed_save(tmp_path: Path) -> None:
    """What a kill left half written is removed."""
    remains = tmp_path / f".sitegen-tmp-{host_mark()}-999999999-1-abcdef"
    remains.write_bytes(b"half a state")
    train(card(), training(tmp_path), nothing)
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
        train(card(), unfit, nothing)
    assert not (tmp_path / "run").exists()


def test_pictures_all_the_same(tmp_path: Path) -> None:
    """Data without any variance train to something finite."""
    flat = replace(training(tmp_path), images=np.full((4, 1, 8, 8), 200, np.uint8))
    assert train(card(), flat, nothing) is not None
    u = torch.full((1, 1, 8, 8), 200 / 255)
    assert float((load_model(tmp_path)(u, 8) - u).abs().max()) < 0.05


def test_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is too small is the machine's failure, with what to do."""

    def fail(_run: Run) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Run, "advance", fail)
    with pytest.raises(PlatformError, match="smaller batch size"):
        train(card(), training(tmp_path), nothing)


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
