"""The command `train`: options become a run, which tells about itself, stops, and goes on."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sitegen.cli.console import Console
from sitegen.cli.main import cli
from sitegen.content import suggestions
from sitegen.core import compute
from sitegen.core.errors import ConfigError, PlatformError, RefusedError
from sitegen.core.files import digest
from sitegen.core.progress import megabytes
from sitegen.generative.card.card import BlurRange, FileRef, read_card
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.images import read_images
from sitegen.generative.process.ddpm import Ddpm, DiffusionConfig
from sitegen.generative.training import duration
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.recipe import NOISE_UNET
from sitegen.generative.training.train import Run
from sitegen.models import training
from sitegen.models.new_card import Question
from sitegen.models.training import (
    TrainOptions,
    prepare,
    train_model,
    training_options,
    training_precision,
)
from tests.support.builders import traces, write_site
from tests.support.tinymodel import write_large

MODEL = ("weights.safetensors", "prior.safetensors", "example.png", "model.toml")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of twelve pictures of 7×7, for which our network is smallest."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for place, picture in enumerate(np.random.default_rng(0).integers(0, 256, (12, 7, 7))):
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{place}.png")
    return folder


class Told(Console):
    """A console that keeps what it tells."""

    def __init__(self) -> None:
        super().__init__(terminal=False)
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)

    warn = note


def train(pictures: Path, **changes: Any) -> list[str]:
    """Train for three steps in a folder beside the pictures; what was told."""
    report = Told()
    train_model("dots", short(pictures, **changes), report)
    return report.lines


def short(pictures: Path, **changes: Any) -> TrainOptions:
    """A run of three steps."""
    options = {"images": 12, "batch_size": 4, "levels": 3, "precision": "float32", **changes}
    return asked(pictures, **{"output": pictures.parent / "run", **options})


def asked(pictures: Path, **options: Any) -> TrainOptions:
    """What the command line would make of these options."""
    names = [name for name in options if name in vars(TrainingOptions())]
    recipe = {name: options.pop(name) for name in names}
    return TrainOptions(pictures, **options, recipe=recipe)


def test_trains_and_tells(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of PNGs becomes a model, and it is told what was done, is finished or goes on."""
    told = "\n".join(train(pictures))
    folder = pictures.parent / "run"
    assert load_model(folder).card.training["data"] == "pictures"
    size = sum((folder / name).stat().st_size for name in MODEL)
    for words in (
        "reading the images in ",
        "only 12 images",
        "12 images of 7×7 in grey",
        "3 levels, preconditioned",
        "training on cpu in float32, 3 steps of 4 images",
        "trained on 12 images",
        f"{folder}: {megabytes(size)} (weights.safetensors ",
        f"sitegen sample {folder}",
    ):
        assert words in told
    shown = capsys.readouterr().err
    assert "dots: step 3 of 3, loss" in shown
    assert "dots: estimating its residual variance: done in " in shown
    before = traces(folder)
    again = train(pictures)[-1]
    assert "dots is finished" in again
    assert "has seen 12 images; give a larger --images" in again
    for change in ({"batch_size": 2}, {"seed": 1}, {"levels": 4}, {"learning_rate": 0.1}):
        with pytest.raises(RefusedError, match="another run") as refused:
            train(pictures, **change)
        assert ("levels = 3 there and 4 here" in str(refused.value)) == ("levels" in change)
    assert traces(folder) == before
    more = train(pictures, images=20)
    assert any(line.startswith("continuing after step 3 of 5") for line in more)
    assert read_card(folder).training["images_seen"] == 20


def test_what_is_told_at_the_end_is_a_site(pictures: Path) -> None:
    """The table and the calls that the command prints at its end, pasted, are a site that plans."""
    words = ["train", "dots", "--data", str(pictures), "--output", str(pictures.parent / "run")]
    words += ["--images=12", "--batch-size=4", "--levels=3", "--precision=float32"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    indented = [line.strip() for line in done.output.splitlines() if line[:4] == "    "]
    calls = [line for line in done.output.splitlines() if line.startswith("{{")]
    assert "\n\n".join(calls) in done.output
    table = [line for line in indented if re.match(r"\[models|path = ", line)]
    assert table == ["[models.dots]", f'path = "{pictures.parent / "run"}"']
    assert any(call.startswith('{{ trajectories("dots"') for call in calls)
    write_site(
        pictures.parent / "site",
        done.output.partition("into a page:")[2].partition("not ")[0],
        site="\n".join(['title = "Dots"', *table]),
    )
    config = str(pictures.parent / "site" / "site.toml")
    planned = CliRunner().invoke(cli, ["build", "--config", config, "--dry-run"])
    assert planned.exit_code == 0, planned.output
    kinds = [call.removeprefix("{{ ").partition("(")[0].replace("_", "-") for call in calls]
    assert all(f"dots-{kind}" in planned.output for kind in kinds)


def test_stopped_while_it_measures(pictures: Path) -> None:
    """When all steps are taken, Ctrl-C still stops it at the next level; the model comes later."""
    folder, console, done = pictures.parent / "run", Told(), []

    @contextmanager
    def measuring(title: str, steps: int) -> Iterator[Callable[[], None]]:
        def advance() -> None:
            done.append((title, steps))
            signal.raise_signal(signal.SIGINT)

        yield advance

    with patch.object(console, "rendering", measuring), pytest.raises(SystemExit) as left:
        train_model("dots", short(pictures), console)
    assert left.value.code == 130
    assert done == [("dots: estimating its residual variance", 3)]
    assert not (folder / "model.toml").exists()
    train(pictures)
    assert load_model(folder).card.training["images_seen"] == 12


def test_a_short_training_is_warned_of(pictures: Path) -> None:
    """Fewer steps than the warm-up, and a last loss near that of a linear filter, are reported."""
    told = "\n".join(train(pictures))
    assert "3 steps are fewer than the 300 in which the learning rate rises" in told
    assert re.search(
        r"learned almost nothing: the last loss is \S+, and 1 is that of a linear", told
    )
    assert "repeat the command with --images 20000 to continue" in told
    folder = pictures.parent / "long"
    with patch.object(Run, "advance", lambda run: low(run)):
        told = "\n".join(train(pictures, warmup_steps=2, output=folder))
    assert "fewer than" not in told
    assert "almost nothing" not in told


def test_a_short_flow_is_warned_of(pictures: Path) -> None:
    """The loss of a flow is compared with that of a linear filter for its images."""
    told = "\n".join(train(pictures, kind="flow"))
    known = re.search(r"a loss of (\S+) is the loss of a linear filter", told)
    warned = re.search(r"last loss is (\S+), and (\S+) is that of a linear filter", told)
    assert known is not None
    assert warned is not None
    assert known[1] == warned[2]
    assert float(warned[1]) > float(known[1])
    folder = pictures.parent / "long"
    with patch.object(Run, "advance", lambda run: low(run)):
        told = "\n".join(train(pictures, kind="flow", output=folder))
    assert "almost nothing" not in told


def low(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    """A step that goes well."""
    run.step += 1
    return torch.ones(4, dtype=torch.int64), torch.full((4,), 0.5)


def test_what_the_images_show(pictures: Path) -> None:
    """It is asked for once, kept for whoever goes on, and an example of the images stands by."""
    asked: list[str] = []

    def ask(question: Question) -> str:
        asked.append(question.field)
        return "grey dots"

    folder = pictures.parent / "run"
    for images in (12, 20):
        train_model("dots", short(pictures, images=images), Told(), ask)
        assert (asked, read_card(folder).subject) == (["subject"], "grey dots")
    train_model("dots", short(pictures, images=24, subject="dots"), Told())
    card = read_card(folder)
    assert (card.subject, card.example) == (
        "dots",
        FileRef("example.png", digest(folder / "example.png")),
    )
    first = read_images(pictures)[0, 0]
    assert np.array_equal(np.asarray(Image.open(folder / "example.png")), first)
    train_model("noise", short(pictures, kind="ddpm", output=pictures.parent / "ddpm"), Told(), ask)
    assert len(asked) == 1
    assert read_card(pictures.parent / "ddpm").example is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_signals_save_first(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, number: int
) -> None:
    """A signal in the middle of a step waits for its end; the state is saved, and goes on."""
    advance, handler = Run.advance, signal.getsignal(number)

    def interrupted(run: Run) -> Any:
        if run.step == 1:
            os.kill(os.getpid(), number)
        return advance(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", interrupted)
        with pytest.raises(SystemExit) as left:
            train(pictures)
    assert (left.value.code, signal.getsignal(number)) == (128 + number, handler)
    assert not (pictures.parent / "run/model.toml").exists()
    told = capsys.readouterr().err
    assert "stopped after step 2 of 3" in told
    assert "run the same command to continue" in told
    assert any(line.startswith("continuing after step 2 of 3") for line in train(pictures))


def test_interrupted_and_then_a_choice(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C once, then yes: what was learned is averaged, measured and written; no: it is kept."""
    folder, asked, advance = pictures.parent / "run", list[str](), Run.advance

    def interrupted(run: Run) -> Any:
        if run.step == 1:
            signal.raise_signal(signal.SIGINT)
        return advance(run)

    def answer(question: str) -> bool:
        asked.append(question)
        return len(asked) > 1

    monkeypatch.setattr(Run, "advance", interrupted)
    with pytest.raises(SystemExit) as left:
        train_model("dots", short(pictures), Told(), confirm=answer)
    assert (left.value.code, (folder / "model.toml").exists()) == (130, False)
    (folder / "training.pt").unlink()
    told = Told()
    assert train_model("dots", short(pictures), told, confirm=answer) == folder
    assert "stopped after step 2; write the model now" in asked[1]
    assert "learned almost nothing: 2 steps are too few" in told.lines[-1]
    assert read_card(folder).training["images_seen"] == 8
    assert (folder / "samples.png").exists()
    assert "is finished" in train(pictures, images=8)[-1]
    assert read_card(folder).training["steps"] == 2


def test_finished_on_request(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--finish` needs no other option: card and recipe are those that the run saved."""
    folder = pictures.parent / "run"
    with pytest.raises(RefusedError, match="no run to finish; train it first"):
        train_model("dots", TrainOptions(pictures, folder, finish=True), Told())
    advance = Run.advance

    def interrupted(run: Run) -> Any:
        signal.raise_signal(signal.SIGINT)
        return advance(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "advance", interrupted)
        with pytest.raises(SystemExit):
            train(pictures, optimizer="muon", levels=4)
    train_model("dots", TrainOptions(pictures, folder, finish=True), told := Told())
    assert f"writing the model of step 1 into {folder}" in told.lines
    assert not any("continuing" in line for line in told.lines)
    card = read_card(folder)
    assert (card.levels, card.training["steps"]) == (4, 1)
    assert card.training["options"]["optimizer"] == "muon"
    more = asked(pictures, output=folder, images=20)
    train_model("dots", more, Told())
    assert read_card(folder).training["steps"] == 5


def test_for_a_duration(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes and recipe are chosen, told with the end by the clock, and kept by who goes on."""
    monkeypatch.setattr(duration, "seconds_per_step", lambda *_: 8.0)
    folder, console = pictures.parent / "run", Told()
    wanted = TrainOptions(pictures, folder, "ihdm", minutes=1, precision="float32")
    train_model("dots", wanted, console)
    told = "\n".join(console.lines)
    assert re.search(r"1 min on this machine: 7×7 pixels, 1 network, \d steps of 64 images", told)
    assert re.search(r"\(8 s a step, measured\); it ends at about \d\d:\d\d", told)
    assert "to expect from" in told
    assert f"Samples, every few minutes: {folder / 'samples.png'}" in told
    with Image.open(folder / "samples.png") as sheet:
        assert sheet.width > 100
    card = read_card(folder)
    assert card.training["options"]["optimizer"] == "muon"
    assert card.training["options"]["batch_size"] == 64
    monkeypatch.setattr(duration, "seconds_per_step", lambda *_: 1.0)
    again = Told()
    train_model("dots", wanted, again)
    assert "dots is finished" in again.lines[-1]
    assert "the length of dots was chosen when it began, and --minutes does not" in again.lines[0]
    with pytest.raises(ConfigError, match="--image-size 9: the run has 7; leave it out"):
        train_model("dots", replace(wanted, image_size=9), Told())
    with pytest.raises(ConfigError, match="--kind flow: dots was begun as ihdm; leave --kind out"):
        train_model("dots", replace(wanted, kind="flow"), Told())
    for options in ({"preset": "mnist"}, {"networks": "one"}, {"images": 5}, {"levels": 9}):
        with pytest.raises(ConfigError, match="--minutes chooses all sizes; leave out --"):
            train_model(
                "other",
                asked(pictures, minutes=1, output=pictures.parent / "other", **options),
                Told(),
            )


def test_what_to_expect() -> None:
    """The words follow from the images that a kind of model needs, and from their side."""
    flow, heat = (duration.card_of(kind, 32, 3) for kind in ("flow", "ihdm"))
    large = duration.card_of("flow", 64, 3)
    assert "almost nothing" in training.expectation(flow, 1_000)
    assert "simple shapes" in training.expectation(flow, 60_000)
    for card, images in ((flow, 10_000), (heat, 60_000), (large, 60_000)):
        assert f"from {images:,} images: colours and layout" in training.expectation(card, images)


def test_minutes_for_a_process_of_noise(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--kind` stays the author's choice: the model of a short run is one of that kind."""
    monkeypatch.setattr(duration, "seconds_per_step", lambda *_: 8.0)
    wanted = asked(pictures, minutes=1, kind="ddpm", image_size=28, output=pictures.parent / "run")
    train_model("dots", wanted, Told())
    card = read_card(pictures.parent / "run")
    assert (card.kind, card.levels, card.image_size) == ("ddpm", duration.NOISE_LEVELS["ddpm"], 28)
    assert card.finest.norm_groups == 8


GIVEN: dict[str, Any] = {
    "data": Path("here"), "output": Path("there"), "kind": "ddpm", "image_size": 32, "levels": 50,
    "blur_sigma_max": 9.5, "preset": "mnist", "parameterization": "difference", "init": "mnist",
    "networks": "one", "device": "cuda:1", "precision": "bfloat16", "minutes": 2.5,
}  # fmt: skip
RECIPE: dict[str, Any] = {
    "images": 640, "batch_size": 32, "learning_rate": 0.01, "optimizer": "muon",
    "muon_learning_rate": 0.02, "warmup_steps": 5, "decay_share": 0.5, "ema_decay": 0.99,
    "gradient_clip": 2.0, "level_focus": 0.5, "focus_centre": 0.25, "seed": 7,
}  # fmt: skip


def test_every_option_reaches_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The options are the fields of `TrainOptions`, with its defaults; --minutes means a DDPM."""
    monkeypatch.setattr(training, "train_model", called := Mock())
    monkeypatch.setattr(suggestions, "trained_lines", lambda name, folder: [])
    words = [f"--{name.replace('_', '-')}={value}" for name, value in {**GIVEN, **RECIPE}.items()]
    runner = CliRunner()
    here = ["train", "dots", "--data", "here"]
    for arguments in (["train", "dots", *words], here, [*here, "--minutes", "3"]):
        done = runner.invoke(cli, arguments)
        assert done.exit_code == 0, done.output
    first, second, third = (call.args[:2] for call in called.call_args_list)
    assert first == ("dots", TrainOptions(**GIVEN, recipe=RECIPE))
    assert second == ("dots", TrainOptions(Path("here")))
    assert third == ("dots", TrainOptions(Path("here"), minutes=3.0))
    assert runner.invoke(cli, ["train", "dots"]).exit_code == 2


CARDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "by default": ({}, {"levels": 100, "image_size": 7, "blur": BlurRange(0.5, 5.0)}),
    "as told": (
        {"image_size": 14, "levels": 20, "blur_sigma_max": 3.0, "parameterization": "difference"},
        {"image_size": 14, "levels": 20, "blur": BlurRange(0.5, 3.0)},
    ),
    "preset": ({"preset": "cifar10"}, {"image_size": 32, "channels": 3, "levels": 200}),
    "changed preset": (
        {"preset": "mnist-small", "image_size": 16, "levels": 9, "blur_sigma_max": 5.0},
        {"image_size": 16, "levels": 9, "blur": BlurRange(0.5, 5.0), "channels": 1},
    ),
}


@pytest.mark.parametrize("name", CARDS)
def test_cards(pictures: Path, name: str) -> None:
    """Size, levels and blur come into the card; a preset's notes are about other weights."""
    options, expected = CARDS[name]
    card, made = prepare("dots", TrainOptions(pictures, **options))
    assert {name: getattr(card, name) for name in expected} == expected
    assert made.images.shape == (12, *card.shape)
    assert (card.training, card.quality, card.known_faults) == ({}, {}, ())
    told = training_options(asked(pictures, level_focus=6.0, focus_centre=0.7), "difference")
    assert (told.level_focus, told.focus_centre) == (6.0, 0.7)
    published = "preset" in options or "parameterization" in options
    assert card.parameterization == ("difference" if published else "preconditioned")
    assert made.options.level_focus == (0 if published else TrainingOptions().level_focus)
    assert (made.folder, made.device) == (Path("runs/dots"), "cpu")


def test_networks(pictures: Path) -> None:
    """A cascade unless told, too small, of another kind, or begun from a model that is none."""
    wanted: list[tuple[dict[str, Any], bool]] = [
        ({}, True),
        ({"networks": "cascade"}, True),
        ({"networks": "one"}, False),
        ({"image_size": 14}, False),
        ({"levels": 20}, False),
        ({"parameterization": "difference"}, False),
        ({"kind": "ddpm"}, False),
    ]
    for options, several in wanted:
        card, _ = prepare("dots", TrainOptions(pictures, **{"image_size": 28, **options}))
        assert bool(card.bands) == several, options
    ddpm: dict[str, Any] = {"kind": "ddpm", "preset": "mnist"}
    for options in ({"image_size": 14}, ddpm, {"preset": "mnist"}, {"levels": 20}):
        told: dict[str, Any] = {"image_size": 28, "networks": "cascade", **options}
        with pytest.raises(ConfigError, match="--networks cascade: needs the parameterization"):
            prepare("dots", TrainOptions(pictures, **told))


def test_beginning(pictures: Path) -> None:
    """--init takes the U-Net of a model with one network, or a whole cascade."""
    large = {"image_size": 28, "levels": 100, "images": 4, "precision": "float32"}
    single = str(write_large(pictures.parent / "large"))
    card, made = prepare("dots", short(pictures, **{**large, "init": single}))
    assert made.beginning is not None
    assert not card.bands
    train(pictures, **large)
    again, made = prepare(
        "dots", short(pictures, **{**large, "init": str(pictures.parent / "run")})
    )
    assert len(again.bands) == 3
    assert made.beginning is not None
    assert {name[:8] for name in made.beginning.weights} == {"bands.0.", "bands.1.", "bands.2."}
    one = {**large, "networks": "one", "init": str(pictures.parent / "run")}
    with pytest.raises(RefusedError, match="run are for another network"):
        prepare("dots", short(pictures, **one))
    assert len(load_model(pictures.parent / "run").networks) == 3


def test_ddpm(pictures: Path) -> None:
    """A DDPM has the same network, the cosine schedule and no prior, and may start from a run."""
    card, made = prepare("dots", TrainOptions(pictures, kind="ddpm"))
    assert (card.kind, card.levels) == ("ddpm", 100)
    assert card.diffusion == DiffusionConfig("cosine")
    assert card.unet == prepare("dots", TrainOptions(pictures))[0].unet
    assert made.options == replace(TrainingOptions(), level_focus=0.0)
    light: dict[str, Any] = {"kind": "ddpm", "networks": "cascade", "image_size": 28, "levels": 20}
    assert prepare("dots", TrainOptions(pictures, **light))[0].unet == NOISE_UNET
    light["levels"] = 50
    velocity = DiffusionConfig("cosine", prediction_type="v_prediction")
    assert prepare("dots", TrainOptions(pictures, **light))[0].diffusion == velocity
    few, _ = prepare("dots", TrainOptions(pictures, kind="ddpm", levels=32))
    assert isinstance(few, Ddpm)
    left = few.alphas_bar
    ends = 0.1 / 32, 13 / 32
    assert few.diffusion == DiffusionConfig("linear", *ends, prediction_type="v_prediction")
    assert 1e-4 < float(left[-1]) < 1e-3
    assert left[-2] ** 0.5 * 13 / 32 < 0.02  # how much of its first estimate a step takes
    other, _ = prepare("dots", TrainOptions(pictures, kind="ddpm", preset="cifar10", levels=50))
    assert (other.kind, other.levels, other.finest.model_channels) == ("ddpm", 50, 128)
    for name, value in {"blur_sigma_max": 3.0, "parameterization": "difference"}.items():
        words = f"--{name.replace('_', '-')}: the kind ddpm has none"
        with pytest.raises(ConfigError, match=words):
            prepare("dots", asked(pictures, kind="ddpm", **{name: value}))
    train(pictures)
    parent, folder = pictures.parent / "run", pictures.parent / "noise"
    options = {"kind": "ddpm", "optimizer": "muon", "output": folder}
    told = "\n".join(train(pictures, init=str(parent), **options))
    assert "3 levels, DDPM" in told
    assert "cannot see noise" in told
    card = read_card(folder)
    assert isinstance(load_model(folder).card, Ddpm)
    assert not (folder / "prior.safetensors").exists()
    assert card.training["initial_weights"] == "run"
    assert card.training["options"]["optimizer"] == "muon"
    with pytest.raises(RefusedError, match="there is no such"):
        prepare("noise", short(pictures, init=str(parent / "absent")))


@pytest.mark.parametrize("native", [True, False])
def test_precision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, native: bool) -> None:
    """Auto is what processor or GPU computes in itself, and cannot only imitate; or as asked."""
    (tmp_path / "cpuinfo").write_text(f"flags: {'amx_bf16' if native else ''}")
    monkeypatch.setattr(compute, "CPUINFO", tmp_path / "cpuinfo")
    supported = lambda including_emulation=True: native or including_emulation  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    for device in ("cpu", "cuda:0"):
        assert training_precision("auto", device) == ("bfloat16" if native else "float32")
    assert training_precision("bfloat16", "cpu") == "bfloat16"


def test_mistakes(pictures: Path) -> None:
    """Odd names, options, presets and devices are told before the data are read, then odd data."""
    absent, one = pictures.parent / "absent", pictures.parent / "one"
    Image.new("RGB", (7, 7), (9, 99, 255)).save(pictures / "z.png")
    one.mkdir()
    Image.new("L", (7, 7)).save(one / "a.png")
    for name in ("", "a/b", "..", "-x", "a b", "é", "Birds", "a_b"):
        with pytest.raises(ConfigError, match="should be 1 to 64 of a-z"):
            train_model(name, short(absent), Told())
    wrong: list[tuple[Path, dict[str, Any], type[Exception], str]] = [
        (absent, {"images": 3, "batch_size": 4}, ConfigError, "images = 3: must be at least batch"),
        (absent, {"preset": "mnits"}, ConfigError, 'did you mean "mnist"'),
        (absent, {"device": "cuda:7"}, PlatformError, "cuda:7"),
        (absent, {}, RefusedError, "absent: not there"),
        (pictures, {"preset": "mnist"}, RefusedError, r"pictures: .*have colour"),
        (one, {}, RefusedError, "one: holds one image"),
    ]
    for data, changes, error, words in wrong:
        with pytest.raises(error, match=words):
            prepare("dots", asked(data, **changes))
