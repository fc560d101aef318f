"""The command `train`: wishes become a run, which tells about itself, stops, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sitegen.build import plan
from sitegen.cli import main as cli
from sitegen.cli.train_view import training_shown
from sitegen.core.errors import ConfigError, PlatformError, RefusedError
from sitegen.core.progress import Silent
from sitegen.ihdm.card.card import DiffusionConfig, read_card
from sitegen.ihdm.checkpoints.loading import load_model
from sitegen.ihdm.process.ddpm import DiffusionModel
from sitegen.ihdm.training.options import TrainingOptions
from sitegen.ihdm.training.train import Run
from sitegen.models import training
from sitegen.models.training import (
    TrainOptions,
    prepare,
    train_model,
    training_options,
    training_precision,
)
from tests.support.builders import traces
from tests.support.paths import ROOT


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors are quicker on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of twelve pictures of 7×7, for which our network is smallest."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for place, picture in enumerate(np.random.default_rng(0).integers(0, 256, (12, 7, 7))):
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{place}.png")
    return folder


def wishes(pictures: Path, **changes: Any) -> TrainOptions:
    """A run of three steps beside the pictures."""
    short: dict[str, Any] = {"images": 12, "batch_size": 4, "levels": 3, "precision": "float32"}
    return TrainOptions(pictures, pictures.parent / "run", **{**short, **changes})


def test_trains_and_tells(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of PNGs becomes a model that loads; it tells what it did, and how large that is."""
    report = Silent()
    train_model("dots", wishes(pictures), report, training_shown)
    folder = pictures.parent / "run"
    assert load_model(folder).card.training["data"] == "pictures"
    bytes_in_all = sum(
        (folder / name).stat().st_size
        for name in ("weights.safetensors", "prior.safetensors", "model.toml")
    )
    told = "\n".join(report.lines)
    for words in (
        "warning: only 12 images",
        "12 images of 7×7 in grey",
        "3 levels, preconditioned",
        "training on cpu in float32, 3 steps of 4 images",
        "trained on 12 images",
        f"{folder}: {bytes_in_all / 1e6:.2f} MB (weights.safetensors ",
        f"sitegen sample {folder}",
    ):
        assert words in told
    assert "dots: step 3 of 3, loss" in capsys.readouterr().err


def test_finished_and_more(pictures: Path) -> None:
    """Asked for again it says that it is finished; asked for more, that it goes on."""
    train_model("dots", wishes(pictures), Silent(), training_shown)
    before = traces(pictures.parent / "run")
    again, more = Silent(), Silent()
    train_model("dots", wishes(pictures), again, training_shown)
    assert "dots is finished" in again.lines[-1]
    assert "has seen 12 images; give a larger --images" in again.lines[-1]
    assert traces(pictures.parent / "run") == before
    train_model("dots", wishes(pictures, images=20), more, training_shown)
    assert any(line.startswith("going on after step 3 of 5") for line in more.lines)
    assert read_card(pictures.parent / "run").training["images_seen"] == 20


def test_other_options_are_refused(pictures: Path) -> None:
    """The same folder with another recipe is not gone on with."""
    train_model("dots", wishes(pictures), Silent(), training_shown)
    for changes in ({"batch_size": 2}, {"seed": 1}, {"learning_rate": 0.1}, {"levels": 4}):
        with pytest.raises(RefusedError, match="another run"):
            train_model("dots", wishes(pictures, **changes), Silent(), training_shown)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_first(
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
) -> None:
    """A signal in the middle of a step waits for its end; the state is saved, and goes on."""
    advance = Run.advance

    def interrupted(run: Run) -> Any:
        if run.step == 1:
            os.kill(os.getpid(), number)
        return advance(run)

    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", interrupted)
        with pytest.raises(SystemExit) as left:
            train_model("dots", wishes(pictures), Silent(), training_shown)
    assert left.value.code == code
    assert signal.getsignal(number) == handler
    told = capsys.readouterr().err
    assert "stopped after step 2 of 3" in told
    assert "the same command goes on from there" in told
    report = Silent()
    train_model("dots", wishes(pictures), report, training_shown)
    assert any(line.startswith("going on after step 2 of 3") for line in report.lines)


def test_process_killed_and_terminated(pictures: Path) -> None:
    """The real command: killed with -9 it goes on; on SIGTERM it leaves with 143."""
    run = pictures.parent / "run"
    command = [sys.executable, "-m", "sitegen", "train", "dots", "--data", str(pictures)]
    command += ["--output", str(run), "--images", "4000000", "--batch-size", "4", "--levels", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -9), (signal.SIGINT, 130)):
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        for line in process.stderr:
            if "step" in line:
                break
        process.send_signal(number)
        assert process.wait(300) == code
        rest = process.stderr.read()
        process.stderr.close()
        assert "Traceback" not in rest
        assert ("the same command goes on" in rest) == (number != signal.SIGKILL)
    with_state = torch.load(run / "training.pt")
    assert with_state["step"] > 1


def test_every_option_reaches_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line's options are the fields of the wishes, with the same defaults."""
    asked: list[tuple[str, TrainOptions]] = []
    monkeypatch.setattr(
        training, "train_model", lambda name, wishes, _: asked.append((name, wishes))
    )
    given: dict[str, Any] = {
        "data": Path("here"),
        "output": Path("there"),
        "kind": "ddpm",
        "image_size": 32,
        "levels": 50,
        "blur_sigma_max": 9.5,
        "preset": "mnist",
        "parameterization": "difference",
        "init": "mnist",
        "images": 640,
        "batch_size": 32,
        "learning_rate": 0.01,
        "optimizer": "muon",
        "muon_learning_rate": 0.02,
        "warmup_steps": 5,
        "decay_share": 0.5,
        "ema_decay": 0.99,
        "gradient_clip": 2.0,
        "seed": 7,
        "device": "cuda:1",
        "precision": "bfloat16",
    }
    words = [
        word
        for name, value in given.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    runner = CliRunner()
    for arguments in (["train", "dots", *words], ["train", "dots", "--data", "here"]):
        done = runner.invoke(cli.cli, arguments)
        assert done.exit_code == 0, done.output
    assert asked == [("dots", TrainOptions(**given)), ("dots", TrainOptions(Path("here")))]
    assert runner.invoke(cli.cli, ["train", "dots"]).exit_code == 2


def test_small_model_by_default(pictures: Path) -> None:
    """What is not wished for: K = 100, 5/7 of the side, preconditioned, a folder in runs."""
    card, made = prepare("dots", TrainOptions(pictures))
    assert (card.levels, card.image_size, card.channels) == (100, 7, 1)
    assert card.parameterization == "preconditioned"
    assert card.schedule[100] == pytest.approx(5)
    assert made.folder == Path("runs/dots")
    assert made.options == TrainingOptions()
    assert made.device == "cpu"


def test_wishes_for_the_model(pictures: Path) -> None:
    """Size, levels, blur and parameterization come into the card."""
    card, made = prepare(
        "dots",
        TrainOptions(
            pictures, image_size=14, levels=20, blur_sigma_max=3.0, parameterization="difference"
        ),
    )
    assert made.images.shape == (12, 1, 14, 14)
    assert (card.image_size, card.levels, card.parameterization) == (14, 20, "difference")
    assert card.schedule[20] == pytest.approx(3)


def test_preset(pictures: Path) -> None:
    """A preset gives network, size and channels; its notes are about other weights."""
    card, made = prepare("dots", TrainOptions(pictures, preset="cifar10"))
    assert made.images.shape == (12, 3, 32, 32)
    assert card.unet.model_channels == 128
    assert (card.training, card.quality, card.known_faults) == ({}, {}, ())
    other, _ = prepare(
        "dots",
        TrainOptions(
            pictures,
            preset="mnist-small",
            image_size=16,
            levels=9,
            blur_sigma_max=5.0,
            parameterization="preconditioned",
        ),
    )
    assert (other.image_size, other.levels, other.parameterization) == (16, 9, "preconditioned")
    assert (other.schedule[1], other.schedule[9]) == pytest.approx((0.5, 5))


def test_ddpm(pictures: Path) -> None:
    """The same network with the cosine schedule, or a preset's; levels are drawn alike."""
    card, made = prepare("dots", TrainOptions(pictures, kind="ddpm"))
    assert (card.kind, card.levels, card.blur) == ("ddpm", 100, None)
    assert card.diffusion == DiffusionConfig("cosine")
    assert card.unet == prepare("dots", TrainOptions(pictures))[0].unet
    assert made.options == replace(TrainingOptions(), level_focus=0.0)
    other, _ = prepare("dots", TrainOptions(pictures, kind="ddpm", preset="cifar10", levels=50))
    assert (other.kind, other.levels, other.unet.model_channels) == ("ddpm", 50, 128)
    for changes, option in (
        ({"blur_sigma_max": 3.0}, "--blur-sigma-max"),
        ({"parameterization": "difference"}, "--parameterization"),
    ):
        with pytest.raises(ConfigError, match=f"{option}: a DDPM has none"):
            prepare("dots", TrainOptions(pictures, kind="ddpm", **changes))


def test_ddpm_trains_and_tells(pictures: Path) -> None:
    """By Muon, from the weights of another run: a folder without a prior."""
    train_model("dots", wishes(pictures), Silent(), training_shown)
    parent, folder, report = pictures.parent / "run", pictures.parent / "noise", Silent()
    asked = wishes(pictures, kind="ddpm", optimizer="muon", init=str(parent))
    train_model("noise", replace(asked, output=folder), report, training_shown)
    told = "\n".join(report.lines)
    assert "3 levels, DDPM" in told
    assert "sees no noise" in told
    card = read_card(folder)
    assert isinstance(load_model(folder), DiffusionModel)
    assert not (folder / "prior.safetensors").exists()
    assert card.training["initial_weights"] == "run"
    assert card.training["options"]["optimizer"] == "muon"
    with pytest.raises(RefusedError, match="there is no such"):
        prepare("noise", wishes(pictures, init=str(parent / "absent")))


def test_published_loss_draws_all_levels_alike(pictures: Path) -> None:
    """Only our own parameterization prefers the middle levels."""
    assert training_options(TrainOptions(pictures), "difference").level_focus == 0
    focused = training_options(TrainOptions(pictures), "preconditioned").level_focus
    assert focused == TrainingOptions().level_focus > 0
    assert prepare("dots", TrainOptions(pictures, preset="mnist"))[1].options.level_focus == 0
    told = training_options(TrainOptions(pictures, level_focus=6.0, focus_centre=0.7), "difference")
    assert (told.level_focus, told.focus_centre) == (6.0, 0.7)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_by_the_processor(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Auto is what renders are made in; what is asked for is done."""
    monkeypatch.setattr(plan, "CPUINFO", Path("nowhere"))
    assert training_precision("auto", "cpu") == "float32"
    monkeypatch.setattr(plan, "resolve_precision", lambda asked, device: precision)
    assert training_precision("auto", "cpu") == precision


@pytest.mark.parametrize("native", [True, False])
def test_precision_by_the_gpu(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    """On a GPU it is what the GPU computes in itself, not what it can imitate."""

    def supported(including_emulation: bool = True) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert training_precision("auto", "cuda:0") == ("bfloat16" if native else "float32")


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a b", "é"])
def test_names(pictures: Path, name: str) -> None:
    """A name is a folder's name, and no path."""
    with pytest.raises(ConfigError, match="a model's name has"):
        train_model(name, wishes(pictures), Silent(), training_shown)


def test_mistakes_before_the_data_are_read(tmp_path: Path) -> None:
    """Options, presets and devices that cannot be are told first."""
    absent = tmp_path / "absent"
    for changes, error, words in (
        ({"images": 3, "batch_size": 4}, ConfigError, "images = 3: must be at least batch_size"),
        ({"preset": "mnits"}, ConfigError, 'did you mean "mnist"'),
        ({"device": "cuda:7"}, PlatformError, "cuda:7"),
        ({}, RefusedError, "absent: not there"),
    ):
        with pytest.raises(error, match=words):
            prepare("dots", TrainOptions(absent, **changes))


def test_data_that_cannot_be_used(pictures: Path) -> None:
    """One picture alone, and colour for a grey preset, are refused by the data's path."""
    Image.new("RGB", (7, 7), (9, 99, 255)).save(pictures / "z.png")
    with pytest.raises(RefusedError, match=r"pictures: .*have colour"):
        prepare("dots", TrainOptions(pictures, preset="mnist"))
    for path in list(pictures.iterdir())[1:]:
        path.unlink()
    with pytest.raises(RefusedError, match="pictures: holds one image"):
        prepare("dots", TrainOptions(pictures))
