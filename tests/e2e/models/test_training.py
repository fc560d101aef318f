"""The command `train`: options become a run, which reports, stops, and continues."""

import os
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sitegen.cli.console import Console
from sitegen.core import compute
from sitegen.core.errors import ConfigError, PlatformError, RefusedError
from sitegen.core.files import digest
from sitegen.core.progress import megabytes
from sitegen.generative.card.card import BlurRange, FileRef, read_card
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.images import read_images
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.dissipation import heat_of
from sitegen.generative.training import duration
from sitegen.generative.training.train import Run
from sitegen.models import training
from sitegen.models.training import Prepared, TrainOptions, train_model, training_precision
from tests.support.builders import traces

MODEL = ("weights.safetensors", "prior.safetensors", "example.png", "model.toml")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of twelve pictures of 7×7, for which our network is smallest."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(np.random.default_rng(0).integers(0, 256, (12, 7, 7))):
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four images a step."""
    monkeypatch.setattr(training, "BATCH", 4)
    monkeypatch.setattr(duration, "CHOSEN", {**duration.CHOSEN, "batch_size": 4})
    monkeypatch.setattr(duration, "OF_NOISE", {**duration.OF_NOISE, "batch_size": 4})


class Recorded(Console):
    """A console that keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)

    warn = note


def short(pictures: Path, **changes: Any) -> TrainOptions:
    """Return the options of a run of three steps."""
    options = {"images": 12, "levels": 3, "precision": "float32", **changes}
    return TrainOptions(pictures, **{"output": pictures.parent / "run", **options})


def train(pictures: Path, **changes: Any) -> list[str]:
    """Train for three steps in a folder beside the pictures; return the lines of the report."""
    report = Recorded()
    train_model("dots", short(pictures, **changes), report)
    return report.lines


def prepare(pictures: Path, **options: Any) -> Prepared:
    """Return the run of some options."""
    return training.prepare("dots", TrainOptions(pictures, **options), Recorded(), 0.0)


def test_trains_and_reports(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of PNGs becomes a model; the report says what was done, is finished or continues."""
    report = "\n".join(train(pictures))
    folder = pictures.parent / "run"
    assert load_model(folder).card.training["data"] == "pictures"
    size = sum((folder / name).stat().st_size for name in MODEL)
    for part in (
        "reading the images in ",
        "only 12 images",
        "12 images of 7×7 in grey",
        "3 levels, IHDM",
        "training on cpu in float32, 3 steps of 4 images",
        "trained on 12 images",
        f"{folder}: {megabytes(size)} (weights.safetensors ",
        f"sitegen sample {folder}",
    ):
        assert part.lower() in report.lower()
    progress = capsys.readouterr().err
    assert "dots: step 3 of 3, loss" in progress
    assert "dots: estimating its residual variance: 3 steps in " in progress
    before = traces(folder)
    again = train(pictures)[-1]
    assert "dots is finished" in again
    assert "has seen 12 images; give a larger --images" in again
    with pytest.raises(RefusedError, match=r"another run: seed was 0 and is now 1"):
        train(pictures, seed=1)
    for changes in ({"levels": 4}, {"image_size": 9}, {"kind": "ddpm"}):
        with pytest.raises(ConfigError, match=r"--\S+ \S+: the run of dots has \S+; leave it"):
            train(pictures, **changes)
    assert traces(folder) == before
    more = train(pictures, images=20)
    assert any(line.startswith("continuing after step 3 of 5") for line in more)
    assert read_card(folder).training["images_seen"] == 20


def test_what_the_images_show(pictures: Path) -> None:
    """It is given once and kept by whoever continues, with an example of the images."""
    folder = pictures.parent / "run"
    for images, given in ((12, {"subject": "grey dots"}), (20, {})):
        train_model("dots", short(pictures, images=images, **given), Recorded())
        assert read_card(folder).subject == "grey dots"
    train_model("dots", short(pictures, images=24, subject="dots"), Recorded())
    card = read_card(folder)
    example = FileRef("example.png", digest(folder / "example.png"))
    assert (card.subject, card.example) == ("dots", example)
    first = read_images(pictures)[0, 0]
    assert np.array_equal(np.asarray(Image.open(folder / "example.png")), first)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_signals_save_first(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, number: int
) -> None:
    """A signal in the middle of a step waits for its end; the state is saved, and continues."""
    advance, handler = Run.advance, signal.getsignal(number)

    def interrupted(run: Run) -> Any:
        if run.step == 1:
            os.kill(os.getpid(), number)
        return advance(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", interrupted)
        with pytest.raises(SystemExit) as stopped:
            train(pictures)
    assert (stopped.value.code, signal.getsignal(number)) == (128 + number, handler)
    assert not (pictures.parent / "run/model.toml").exists()
    report = capsys.readouterr().err
    assert "stopped after step 2 of 3" in report
    assert "run the same command to continue" in report
    assert any(line.startswith("continuing after step 2 of 3") for line in train(pictures))


def test_finished_on_request(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--finish` needs no other option: card and recipe are those that the run saved."""
    folder = pictures.parent / "run"
    with pytest.raises(RefusedError, match="no run to finish; train it first"):
        train_model("dots", TrainOptions(pictures, folder, finish=True), Recorded())
    advance = Run.advance

    def interrupted(run: Run) -> Any:
        signal.raise_signal(signal.SIGINT)
        return advance(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", interrupted)
        with pytest.raises(SystemExit):
            train(pictures, levels=4)
    report = Recorded()
    train_model("dots", TrainOptions(pictures, folder, finish=True), report)
    assert f"writing the model of step 1 into {folder}" in report.lines
    assert not any("continuing" in line for line in report.lines)
    card = read_card(folder)
    assert (card.levels, card.training["steps"]) == (4, 1)
    train_model("dots", TrainOptions(pictures, folder, images=20), Recorded())
    assert read_card(folder).training["steps"] == 5


def test_for_a_duration(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes and recipe are chosen, reported with the end by the clock, and kept afterwards."""
    monkeypatch.setattr(duration, "seconds_per_step", lambda *_: 8.0)
    folder, console = pictures.parent / "run", Recorded()
    options = TrainOptions(pictures, folder, "ihdm", minutes=1, precision="float32")
    train_model("dots", options, console)
    report = "\n".join(console.lines)
    assert re.search(r"1 min on this machine: 7×7 pixels, 1 network, \d steps of 4 images", report)
    assert re.search(r"\(8 s a step, measured\); it ends at about \d\d:\d\d", report)
    again = Recorded()
    train_model("dots", options, again)
    assert "dots is finished" in again.lines[-1]
    assert "the length of dots was chosen when it began, and --minutes does not" in again.lines[0]
    elsewhere = replace(options, output=pictures.parent / "other")
    for other in (replace(elsewhere, images=5), replace(elsewhere, levels=9)):
        with pytest.raises(ConfigError, match="--minutes chooses all sizes; leave out --"):
            train_model("other", other, Recorded())


def test_cards(pictures: Path) -> None:
    """Size and levels come into the card; short of 50 levels and for small images, no cascade."""
    prepared = prepare(pictures)
    assert (prepared.card.levels, prepared.card.image_size) == (100, 7)
    assert heat_of(prepared.card).blur == BlurRange(0.5, 5.0)
    assert (prepared.training.folder, prepared.training.device) == (Path("runs/dots"), "cpu")
    assert prepared.training.options.steps == 250_000
    assert prepare(pictures, images=8).training.options.warmup_steps == 0
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"image_size": 28}, True),
        ({"image_size": 14}, False),
        ({"image_size": 28, "levels": 20}, False),
        ({"image_size": 28, "kind": "ddpm"}, False),
    ]
    for options, several in cases:
        assert bool(prepare(pictures, **options).card.bands) == several, options


def test_ddpm(pictures: Path) -> None:
    """A DDPM has the cosine schedule, or a linear one with few levels, and no prior."""
    card = prepare(pictures, kind="ddpm").card
    assert (card.kind, card.levels) == ("ddpm", 100)
    assert isinstance(card, Ddpm)
    assert card.diffusion == DiffusionConfig("cosine")
    few = prepare(pictures, kind="ddpm", levels=32).card
    assert isinstance(few, Ddpm)
    alphas_bar = few.alphas_bar
    ends = 0.1 / 32, 13 / 32
    assert few.diffusion == DiffusionConfig("linear", *ends, prediction_type="v_prediction")
    assert 1e-4 < float(alphas_bar[-1]) < 1e-3
    assert alphas_bar[-2] ** 0.5 * 13 / 32 < 0.02  # share of its first estimate that a step takes
    folder = pictures.parent / "run"
    assert "3 levels, DDPM" in "\n".join(train(pictures, kind="ddpm"))
    assert isinstance(load_model(folder).card, Ddpm)
    assert not (folder / "prior.safetensors").exists()


def test_mistakes(pictures: Path) -> None:
    """Odd names and devices are reported before the data are read, then odd data."""
    absent, one = pictures.parent / "absent", pictures.parent / "one"
    one.mkdir()
    Image.new("L", (7, 7)).save(one / "a.png")
    for name in ("", "a/b", "..", "-x", "a b", "é", "Birds", "a_b"):
        with pytest.raises(ConfigError, match="should be 1 to 64 of a-z"):
            train_model(name, short(absent), Recorded())
    cases: list[tuple[Path, dict[str, Any], type[Exception], str]] = [
        (absent, {"device": "cuda:7"}, PlatformError, "cuda:7"),
        (absent, {}, RefusedError, "absent: not there"),
        (one, {}, RefusedError, "one: holds one image"),
    ]
    for data, changes, error, message in cases:
        with pytest.raises(error, match=message):
            prepare(data, **changes)


@pytest.mark.parametrize("native", [True, False])
def test_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, native: bool) -> None:
    """Auto is what processor or GPU computes in itself, and cannot only imitate."""
    (tmp_path / "cpuinfo").write_text(f"flags: {'amx_bf16' if native else ''}")
    monkeypatch.setattr(compute, "CPUINFO", tmp_path / "cpuinfo")
    supported = lambda including_emulation=True: native or including_emulation  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    for device in ("cpu", "cuda:0"):
        assert training_precision("auto", device) == ("bfloat16" if native else "float32")
    assert training_precision("bfloat16", "cpu") == "bfloat16"
