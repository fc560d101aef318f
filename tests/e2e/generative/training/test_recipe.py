"""The folder of a finished run is a model, and a card of our own making fits its images."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from sitegen.core.errors import LockedError, PlatformError, RefusedError
from sitegen.core.files import digest, lock
from sitegen.generative.card.card import ModelCard, read_card
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.prior import read_prior
from sitegen.generative.maths.noise import independent, initial_noise
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.dissipation import HeatDissipation, heat_of
from sitegen.generative.process.flow import Flow
from sitegen.generative.process.model import Model
from sitegen.generative.process.protocol import process_of, reverse_process, run
from sitegen.generative.training import recipe
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.residual import residual_shares
from sitegen.generative.training.train import Progress, Run, Training
from tests.support.lessons import images
from tests.support.making import load_heat, narrowed, small_card

SILENT: Callable[[Progress], None] = Mock()
SHORT = TrainingOptions(images=24, batch_size=8, warmup_steps=2)
NOTES = {
    "data": "pictures", "images": 64, "images_seen": 24, "steps": 3, "precision": "float32",
    "device": "cpu",
}  # fmt: skip


def training(folder: Path, channels: int = 1, **options: Any) -> Training:
    """A short run on random pictures."""
    pictures = images(channels=channels).numpy()
    return Training(pictures, "pictures", folder, replace(SHORT, **options))


def preconditioned(**changes: Any) -> HeatDissipation:
    """A small preconditioned card."""
    card = small_card(**{"parameterization": "preconditioned", **changes})
    return narrowed(card, HeatDissipation)


def trained(card: ModelCard, training: Training) -> ModelCard:
    """Train to the end, or see that nothing is left to do; the card that was written."""
    with recipe.opened(card, training) as run:
        written = recipe.finished_card(run) or recipe.go_on(run, SILENT)
    assert written is not None
    return written


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Time of change and digest of every file."""
    return {file.name: (file.stat().st_mtime_ns, digest(file)) for file in folder.iterdir()}


@pytest.mark.parametrize("parameterization", ["preconditioned", "difference"])
def test_folder_is_a_model(tmp_path: Path, parameterization: str) -> None:
    """Weights, prior, card and recipe fit each other, and sampling from them works."""
    channels = 1 if parameterization == "preconditioned" else 3
    asked = preconditioned(channels=channels, parameterization=parameterization)
    written = trained(asked, training(tmp_path, channels, seed=5))
    assert written == read_card(tmp_path)
    assert written.prior is not None
    for part in (written.weights, written.prior):
        assert part is not None
        assert part.sha256 == digest(tmp_path / part.file)
    assert replace(written, weights=None, prior=None, example=None, training={}) == asked
    noted = dict(written.training)
    assert noted.pop("seconds_last_session") >= 0
    assert TrainingOptions(**noted.pop("options")) == replace(SHORT, seed=5)
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
    with recipe.opened(preconditioned(), training(tmp_path)) as run:
        recipe.go_on(run, SILENT)
    stored, averages = load_file(tmp_path / "weights.safetensors"), run.weights()
    assert stored.keys() == run.ema.keys() | {"statistics.mean", "statistics.variance"}
    assert all(averages[name] is value for name, value in run.ema.items())
    for name, tensor in averages.items():
        kind = torch.float32 if name.startswith("statistics.") else torch.float16
        assert stored[name].dtype == kind
        assert torch.equal(stored[name], tensor.to(kind))
    assert all(value.dtype == torch.float32 for value in load_heat(tmp_path).unet.parameters())


def test_tells_what_the_averages_leave(tmp_path: Path) -> None:
    """A card that wants the estimated variance has it in its weights, of the averaged networks."""
    asked = replace(preconditioned(dropout=0.2), sampling=SamplingConfig(variance="estimated"))
    with recipe.opened(asked, training(tmp_path)) as run:
        recipe.go_on(run, SILENT)
    model = load_heat(tmp_path)
    known = model.statistics
    assert known is not None
    assert known.residual is not None
    averaged = run.averaged()
    assert isinstance(averaged, Model)
    assert torch.equal(known.residual, residual_shares(averaged, images().numpy()))
    assert known.residual.numpy() == pytest.approx(
        residual_shares(model, images().numpy()).numpy(), rel=0.02, abs=1e-3
    )  # float16
    assert isinstance(model.noise_std(8, 7, 0.05), Tensor)


def test_ddpm_folder_is_a_model(tmp_path: Path) -> None:
    """A DDPM has weights and a card, no prior, and is finished without one; sampling works."""
    asked = recipe.as_ddpm(small_card())
    written = trained(asked, training(tmp_path))
    assert written == read_card(tmp_path)
    assert replace(written, weights=None, training={}) == asked
    before = contents(tmp_path)
    assert trained(asked, training(tmp_path)) == written
    assert contents(tmp_path) == before
    model = load_model(tmp_path)
    assert isinstance(model.card, Ddpm)
    x_K = initial_noise(0, [0], asked.shape)
    *_, last = reverse_process(model, x_K, lambda _: torch.ones(1, 1, 8, 8))
    assert bool(last.mean.isfinite().all())


def test_flow_folder_is_a_model(tmp_path: Path) -> None:
    """A flow has weights that say what its time means, a card and no prior; sampling works.

    Its guidance may be removed from the card, but not be added to one whose weights were trained
    without, since these lack the statistics of the data.
    """
    plain = narrowed(recipe.as_flow(small_card()), Flow)
    asked = replace(plain, sampling=SamplingConfig(guidance=0.5))
    written = narrowed(trained(asked, training(tmp_path)), Flow)
    assert written == read_card(tmp_path)
    model = load_model(tmp_path)
    process = process_of(model)
    *_, last = run(process, process.start(0, [0]), None)
    assert bool(last.mean.isfinite().all())
    other = replace(written, flow=replace(asked.flow, time_scale=1.0))
    with pytest.raises(RefusedError, match=r"its card must have flow\.time_scale = 1000"):
        load_model(tmp_path, other)
    assert not inspect_checkpoint(tmp_path / "weights.safetensors").preconditioned
    without = load_model(tmp_path, replace(written, sampling=None))
    state = torch.rand(1, 1, 8, 8)
    assert not torch.equal(without(state, 0.5), model(state, 0.5))
    never = narrowed(trained(plain, training(tmp_path / "never")), Flow)
    with pytest.raises(RefusedError, match=r"statistics\.mean 1×8×8 is missing"):
        load_model(tmp_path / "never", replace(never, sampling=asked.sampling))


def test_finished(tmp_path: Path) -> None:
    """Asked for no more, nothing is written; more images go on, also after a kill at the end."""
    first = trained(preconditioned(), training(tmp_path))
    before = contents(tmp_path)
    assert trained(preconditioned(), training(tmp_path)) == first
    assert trained(preconditioned(), training(tmp_path, images=16)) == first
    assert contents(tmp_path) == before
    with recipe.opened(preconditioned(), training(tmp_path, images=40)) as run:
        assert run.advance_to_end(SILENT)
    assert contents(tmp_path)["model.toml"] == before["model.toml"]
    more = trained(preconditioned(), training(tmp_path, images=40))
    assert (more.weights != first.weights, more.prior) == (True, first.prior)
    assert more.training["images_seen"] == 40
    load_model(tmp_path)
    (tmp_path / "training.pt").unlink()  # now it is a model of another origin
    before = contents(tmp_path)
    with pytest.raises(RefusedError, match=r"has model\.toml, .*but no training\.pt"):
        trained(preconditioned(), training(tmp_path, images=48))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["weights.safetensors", "prior.safetensors", "example.png"])
def test_a_run_among_files_of_others(tmp_path: Path, name: str) -> None:
    """A new run would write over a file of that name, and does not begin; other files stay."""
    (tmp_path / name).write_text("theirs")
    (tmp_path / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(RefusedError, match=f"has {name}, but no training.pt to resume from"):
        trained(preconditioned(), training(tmp_path))
    assert contents(tmp_path) == before
    (tmp_path / name).unlink()
    trained(preconditioned(), training(tmp_path))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_notes_in_a_card_stay(tmp_path: Path) -> None:
    """A run that goes on keeps what its author has measured of the model."""
    trained(preconditioned(), training(tmp_path))
    card = tmp_path / "model.toml"
    card.write_text('known_faults = ["tints"]\n' + card.read_text() + "\n[quality]\nfid = 3.5\n")
    written = trained(preconditioned(), training(tmp_path, images=40))
    assert (written.quality, written.known_faults) == ({"fid": 3.5}, ("tints",))
    assert read_card(tmp_path) == written


def test_killed_while_the_model_was_written(tmp_path: Path) -> None:
    """All steps taken but the model not whole: it is written again, the same."""
    written = trained(preconditioned(), training(tmp_path))
    for lost in ("model.toml", "weights.safetensors", "prior.safetensors"):
        (tmp_path / lost).unlink()
        again = trained(preconditioned(), training(tmp_path))
        assert (again.weights, again.prior) == (written.weights, written.prior)
        load_model(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 512 MiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 512 MiB"),
    ],
)
def test_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A GPU or memory that is too small is the machine's failure, with what to do."""
    monkeypatch.setattr(Run, "advance", Mock(side_effect=error))
    with pytest.raises(PlatformError, match=r"512 MiB requested.*smaller images"):
        trained(preconditioned(), training(tmp_path))


def test_small_card() -> None:
    """As many halvings as the side allows, and a blur in proportion; a cascade where it can be."""
    for size, multipliers in ((24, (1, 2, 4)), (30, (1, 2)), (15, (1,))):
        made = recipe.small_card(size, 1)
        assert made.finest.channel_mult == multipliers
        assert made.schedule[100] == pytest.approx(size * 5 / 7)
        assert (heat_of(made).parameterization, made.bands) == ("preconditioned", ())
    assert not recipe.small_card(28, 1, 49).bands


def test_two_at_once(tmp_path: Path) -> None:
    """A folder has one run at a time."""
    with lock(tmp_path / recipe.LOCK_NAME), pytest.raises(LockedError, match="another sitegen"):
        trained(preconditioned(), training(tmp_path))
