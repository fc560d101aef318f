"""A checkpoint becomes a model of a site: what it tells, what is asked for, and all or nothing."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sitegen.build.context import BuildOptions
from sitegen.build.pipeline import build
from sitegen.build.renderer import FigureRenderer
from sitegen.config.loader import load_site
from sitegen.content.suggestions import added_lines
from sitegen.core.errors import ConfigError, PlatformError, RefusedError, TargetError
from sitegen.core.files import digest, write_atomic
from sitegen.core.progress import Silent
from sitegen.ihdm.card.card import FileRef, ModelCard, preset, read_card
from sitegen.ihdm.checkpoints.loading import load_model
from sitegen.ihdm.data.prior import read_prior
from sitegen.models import add as adding
from sitegen.models.add import add_model
from sitegen.models.new_card import AddOptions, Question
from sitegen.models.registry import site_models
from tests.support.builders import CPU, Builder, decode, environment, temporaries, tree_hash
from tests.support.making import ARCHITECTURES, published, save, small_card
from tests.support.tinymodel import card_of, on_one_thread, pictures, write_model

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)

SITE = """# The site of the birds.
title = "Birds"  # all of them

[models.tiny]
path = "models/tiny"  # trained here

# How to cite us.
[citation]
key = "birds"
year = 2026
"""
ADDED = """
[models.birds]
path = "runs/birds/checkpoint.pth"
card = "models/birds/model.toml"
"""
TOLD: dict[str, Any] = {
    "levels": 8,
    "blur_sigma_min": 0.5,
    "blur_sigma_max": 20.0,
    "training_noise_std": 0.01,
}
CHECKPOINT = Path("runs/birds/checkpoint.pth")
DATA = Path("data/birds")


@pytest.fixture
def card() -> ModelCard:
    """What the birds were trained with."""
    return small_card(channels=3, channel_mult=(1, 2), attention_levels=(1,))


@pytest.fixture
def site(tmp_path: Path, card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with a checkpoint as published and its images beside it; the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("pages").mkdir()
    Path("pages/index.md").write_text("Words.\n")
    Path("site.toml").write_text(SITE)
    write_model(Path("models/tiny"))
    CHECKPOINT.parent.mkdir(parents=True)
    save(published(card), CHECKPOINT)
    draw(DATA)
    return tmp_path


def draw(folder: Path, size: int = 8, channels: int = 3, count: int = 6) -> None:
    """Write a folder of pictures in colour."""
    folder.mkdir(parents=True)
    for number, image in enumerate(pictures(count, size, channels)):
        image[0] //= 2
        Image.fromarray(np.squeeze(image.transpose(1, 2, 0))).save(folder / f"{number}.png")


def add(name: str = "birds", ask: Any = None, **wishes: Any) -> adding.Added:
    """Add the checkpoint of the birds to the site in the working folder."""
    return add_model(
        Path("site.toml"), name, AddOptions(**{"checkpoint": CHECKPOINT, **wishes}), ask
    )


def sitegen(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, without a terminal."""
    command = [sys.executable, "-m", "sitegen", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), input=""
    )


@pytest.fixture
def untouched(site: Path) -> Iterator[None]:
    """Whatever the test does, nothing in the site has changed afterwards."""
    before = tree_hash(site)
    yield
    assert tree_hash(site) == before


def test_from_checkpoint_to_page_with_two_commands(site: Path, card: ModelCard) -> None:
    """A data set never seen before: added, pasted, built; the clip shows what the network makes."""
    options = ["--levels", "8", "--blur-sigma-min", "0.5", "--blur-sigma-max", "20"]
    options += ["--training-noise-std", "0.01"]
    done = sitegen("add", "birds", "--checkpoint", str(CHECKPOINT), "--data", str(DATA), *options)
    assert (done.returncode, done.stderr) == (0, "")
    (call,) = re.findall(r'^ +(\{\{ trajectories\("birds".*\}\})$', done.stdout, re.MULTILINE)
    Path("pages/index.md").write_text(f"Words.\n\n{call.replace('36', '4')}\n")
    built = sitegen("build")
    assert built.returncode == 0, built.stderr
    assert "left out" not in built.stdout
    assert "<video" in Path("build/index.html").read_text()
    (clip,) = Path("build/media").glob("birds-trajectories-*.mp4")
    frames = decode(clip)
    assert len(frames) == card.levels + 1
    assert frames[-1].std() > 3


def test_the_site_keeps_every_line(site: Path) -> None:
    """The table stands after the other models; comments and order are as they were."""
    add(data=DATA, **TOLD)
    text = Path("site.toml").read_text()
    assert text == SITE.replace("trained here\n", f"trained here\n{ADDED}")
    assert load_site(Path("site.toml")).models["birds"].card == site / "models/birds/model.toml"


@pytest.mark.parametrize("options", ARCHITECTURES, ids=str)
def test_the_network_is_read_off_the_file(site: Path, options: dict[str, Any]) -> None:
    """Any architecture: the card makes the very network, but for heads, which are told."""
    truth = small_card(**options)
    save(published(truth), CHECKPOINT)
    heads: dict[str, Any] = {"heads": truth.unet.num_heads} if truth.unet.num_heads > 1 else {}
    draw(site / "grey", channels=truth.channels)
    found = add(data=Path("grey"), **TOLD, **heads).card
    order = truth.unet.use_new_attention_order  # has no effect with one head
    assert replace(found.unet, use_new_attention_order=order) == truth.unet
    assert (found.shape, found.schedule) == (truth.shape, truth.schedule)
    u = torch.rand(1, *truth.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = (load_model(CHECKPOINT, each)(u, 3) for each in (found, truth))
    assert torch.equal(one, other)


def test_the_prior_is_of_the_images(site: Path) -> None:
    """It is dissipated to level K and pinned; the model can be sampled."""
    written = add(data=DATA, **TOLD)
    names = [path.name for path in written.files]
    assert names == ["example.png", "prior.safetensors", "model.toml"]
    source = site_models(load_site(Path("site.toml")))["birds"]
    assert source.available
    assert not source.approximate
    assert source.prior is not None
    prior = read_prior(source.prior, source.card)
    assert (len(prior), prior.data, prior.sigma) == (6, "birds", 20.0)
    assert source.card.prior is not None
    assert source.card.prior.sha256 == source.prior_sha256


@pytest.mark.parametrize("guard", [False, True], ids=["bare", "guarded"])
def test_a_machine_without_the_checkpoint(site: Path, guard: bool) -> None:
    """The card pins the weights, so that card and store are enough to render, prior or not."""
    told = add(data=DATA, **TOLD)
    assert told.card.weights == FileRef(CHECKPOINT.name, digest(CHECKPOINT))
    assert "commit models/birds and the clips" in "\n".join(added_lines(told))
    call = '{{ trajectories("birds", count=2) }}\n'
    if guard:
        call = f'{{% if available("birds") %}}\n{call}{{% endif %}}\n'
    Path("pages/index.md").write_text(call)
    builder = Builder(Path("site.toml"))
    assert builder().rendered
    before = tree_hash(Path("build"))
    for gone in ("build", "runs", "data"):
        shutil.rmtree(gone)
    Path("models/birds/prior.safetensors").unlink()
    assert builder(offline=True, strict=True).reused
    assert tree_hash(Path("build")) == before
    shutil.rmtree(".sitegen")
    with pytest.raises((RefusedError, TargetError), match="birds"):
        builder(offline=True, strict=True)


def test_weights_that_were_trained_on(site: Path) -> None:
    """Another file in the place of the one that was added is refused, with what to write."""
    add(data=DATA, **TOLD)
    later = published(read_card(Path("models/birds")))
    save({**later, "step": later["step"] + 1}, CHECKPOINT)
    with pytest.raises(RefusedError, match=f'write sha256 = "{digest(CHECKPOINT)}" into'):
        load_model(CHECKPOINT, read_card(Path("models/birds")))


def test_what_is_missing_is_told_at_once(site: Path, untouched: None) -> None:
    """Without a terminal every option is named, with what it means; nothing is written."""
    done = sitegen("add", "birds", "--checkpoint", str(CHECKPOINT))
    assert done.returncode == 2
    options = re.findall(r"^  (--[a-z-]+) +\S", done.stderr, re.MULTILINE)
    assert options == [
        "--data",
        "--levels",
        "--blur-sigma-min",
        "--blur-sigma-max",
        "--training-noise-std",
    ]
    with pytest.raises(ConfigError) as caught:
        add(data=DATA, **{**TOLD, "levels": None})
    assert re.findall("--[a-z-]+", str(caught.value)) == ["--levels"]


def test_images_of_several_sizes(site: Path) -> None:
    """Then they do not tell the size: it is asked for, and what was done to them is told."""
    draw(DATA / "large", size=16)
    with pytest.raises(ConfigError, match="--image-size"):
        add(data=DATA, **TOLD)
    done = add(data=DATA, image_size=8, **TOLD)
    assert done.card.image_size == 8
    assert "the images are not squares of one size" in done.notes[0]
    scaled = add("scaled", data=DATA / "large", image_size=8, **TOLD)
    assert "the images are 16×16 pixels" in scaled.notes[0]


def test_what_is_settled_unasked_is_told(site: Path) -> None:
    """One head, in the card as a fault as well, and 1.25 times the training noise."""
    done = add(data=DATA, **TOLD)
    assert [note.partition(":")[0] for note in done.notes] == ["attention heads", "sampling noise"]
    assert done.card.sampling_noise_std == 0.0125
    assert "number of attention heads" in done.card.known_faults[0]
    sure = add("sure", data=DATA, heads=2, sampling_noise_std=0.011, **TOLD)
    assert (sure.card.unet.num_heads, sure.card.sampling_noise_std) == (2, 0.011)
    assert sure.card.known_faults == ()
    assert [note.partition(":")[0] for note in sure.notes] == ["the heads are split as published"]


def test_everything_is_asked_for(site: Path) -> None:
    """With somebody to ask: each thing once, in order, with an offer where published ones agree."""
    answers = {**TOLD, "data": DATA, "sampling_noise_std": 0.0125, "heads": 1}
    asked: list[Question] = []

    def ask(question: Question) -> Any:
        asked.append(question)
        return answers[question.field]

    done = add(ask=ask, blur_sigma_min=0.5)
    assert [(each.field, each.offer) for each in asked] == [
        ("data", None),
        ("levels", None),
        ("blur_sigma_max", None),
        ("training_noise_std", 0.01),
        ("sampling_noise_std", 0.0125),
        ("heads", 1),
    ]
    assert done.card.levels == 8
    assert done.card.known_faults == ()


def test_questions_on_a_terminal(site: Path) -> None:
    """`sitegen add` asks on a terminal, refuses nonsense, and takes Enter for what it offers."""
    answers = ["eight", "8", "", "20", "", "", ""]  # K twice, blurs, noises, heads
    told: list[bytes] = []

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 1024)
        told.append(data)
        if b"".join(told).count(b"]: ") + b"".join(told).count(b"): ") > asked[0]:
            asked[0] += 1
            os.write(descriptor, f"{answers.pop(0)}\n".encode())
        return data

    asked = [0]
    command = [sys.executable, "-m", "sitegen", "add", "birds", "--checkpoint", str(CHECKPOINT)]
    for key, value in environment().items():
        os.environ.setdefault(key, value)
    code = os.waitstatus_to_exitcode(pty.spawn([*command, "--data", str(DATA)], read))
    assert code == 0, b"".join(told)
    assert answers == []
    assert b"'eight' is not a valid integer" in b"".join(told)
    assert read_card(Path("models/birds")).blur == small_card().blur


@pytest.fixture
def small(site: Path) -> ModelCard:
    """The checkpoint is of the smallest published network; the card."""
    card = preset("mnist-small")
    save(published(card), CHECKPOINT)
    return card


def test_preset_says_it_all(small: ModelCard) -> None:
    """It is named in `site.toml`, and nothing else is written."""
    before = set(Path("models").rglob("*"))
    done = add(preset="mnist-small")
    assert (done.files, done.notes) == ((), ())
    entry = tomllib.loads(Path("site.toml").read_text())["models"]["birds"]
    assert entry == {"path": str(CHECKPOINT), "preset": "mnist-small"}
    assert set(Path("models").rglob("*")) == before
    source = site_models(load_site(Path("site.toml")))["birds"]
    assert (source.card, source.available) == (small, True)


def test_options_change_a_preset(small: ModelCard) -> None:
    """A card is written, with the prior that travels with the preset."""
    done = add(preset="mnist-small", levels=3, sampling_noise_std=0.02, heads=2, blur_sigma_min=0.4)
    card = read_card(Path("models/birds"))
    assert (card.levels, card.sampling_noise_std, card.unet.num_heads) == (3, 0.02, 2)
    assert card.schedule.sigmas[1] == pytest.approx(0.4)
    assert card.known_faults == small.known_faults
    assert len(done.files) == 2
    Path("pages/index.md").write_text('{{ trajectories("birds", count=1) }}\n')
    assert build(Path("site.toml"), BuildOptions(CPU), FigureRenderer, Silent()).rendered


def test_preset_with_images(small: ModelCard) -> None:
    """The prior is made of them, scaled to the preset's size, which is told."""
    draw(Path("grey"), size=16, channels=1)
    done = add(preset="mnist-small", data=Path("grey"))
    assert "scaled to 28×28" in done.notes[0]
    assert len(read_prior(Path("models/birds/prior.safetensors"), done.card)) == 6


@pytest.mark.parametrize("change", [{"blur_sigma_max": 10.0}, {"image_size": 16}])
def test_preset_whose_prior_does_not_serve(
    small: ModelCard, untouched: None, change: dict[str, Any]
) -> None:
    """With another blur or size the prior that travels is of no use, so images are needed."""
    with pytest.raises(ConfigError, match="--data"):
        add(preset="mnist-small", **change)


def test_preset_that_the_file_fits_is_named(small: ModelCard, untouched: None) -> None:
    """It is offered, and not taken unasked."""
    with pytest.raises(ConfigError, match=r"if it was trained like that, --preset mnist-small$"):
        add()


@pytest.mark.parametrize("answer", ["mnist-small", ""])
def test_preset_that_the_file_fits_is_asked_for(small: ModelCard, answer: str) -> None:
    """On a terminal its name is all that is needed; without it everything else is."""
    asked: list[str] = []
    answers = {**TOLD, "data": DATA, "sampling_noise_std": 0.0125, "heads": 1, "preset": answer}

    def ask(question: Question) -> Any:
        asked.append(question.field)
        return answers[question.field]

    draw(Path("grey"), size=28, channels=1)
    add(ask=ask, data=None if answer else Path("grey"))
    assert asked[0] == "preset"
    assert (len(asked) == 1) == bool(answer)


MISTAKES: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "taken": ("tiny", {}, ConfigError, r"site\.toml:4: there is a model tiny already; choose"),
    "name": ("Big birds", {}, ConfigError, "the name Big birds should be 1 to 64 of a-z"),
    "no file": ("x", {"checkpoint": Path("no.pth")}, RefusedError, "there is no such checkpoint"),
    "no images": ("x", {**TOLD, "data": Path("no")}, RefusedError, "no: not there"),
    "preset": ("x", {"preset": "cifar1"}, ConfigError, 'did you mean "cifar10"'),
    "misfit": ("x", {"preset": "cifar10"}, RefusedError, "do not fit .*(\n.*)*It looks like chan"),
    "heads": ("x", {**TOLD, "data": DATA, "heads": 3}, ConfigError, "must divide the channels"),
    "size": ("x", {**TOLD, "data": DATA, "image_size": 7}, ConfigError, "divisible by 2"),
    "blur": (
        "x",
        {**TOLD, "data": DATA, "blur_sigma_max": 0.1},
        ConfigError,
        "sigma_max.* must be at least sigma_min",
    ),
    "a page": ("x", {"checkpoint": Path("pages/index.md")}, RefusedError, "neither a .pth nor"),
}


@pytest.mark.parametrize(("name", "wishes", "kind", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(
    site: Path,
    untouched: None,
    name: str,
    wishes: dict[str, Any],
    kind: type[Exception],
    said: str,
) -> None:
    """Each is told, and the site stays as it is."""
    with pytest.raises(kind, match=said):
        add(name, **wishes)


def test_images_that_do_not_fit(site: Path, untouched_but: Callable[[str], None]) -> None:
    """Colour images for a grey model are refused before anything is written."""
    save(published(small_card()), CHECKPOINT)
    untouched_but("")
    with pytest.raises(RefusedError, match="do not fit"):
        add(data=DATA, **TOLD)


@pytest.fixture
def untouched_but(site: Path) -> Iterator[Callable[[str], None]]:
    """Call it when the site is as it shall remain."""
    before: list[str] = []
    yield lambda _: before.append(tree_hash(site))
    assert [tree_hash(site)] == before


def test_another_network(site: Path, untouched_but: Callable[[str], None]) -> None:
    """Weights of a stranger are refused with the command that shows what they are."""
    save({"conv.weight": torch.zeros(3, 3)}, CHECKPOINT)
    untouched_but("")
    with pytest.raises(RefusedError, match=r"not a U-Net that sitegen knows.*sitegen inspect"):
        add(data=DATA, **TOLD)


@pytest.mark.parametrize("first", [True, False], ids=["folder of models", "first model"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, PlatformError])
def test_nothing_stays_of_half_a_model(
    site: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], first: bool
) -> None:
    """Stopped where the card is written and `site.toml` is not: the card goes again."""
    if first:
        shutil.rmtree("models")
        Path("site.toml").write_text('title = "T"\n')
    before = tree_hash(site)

    def fail(path: Path, data: bytes) -> bool:
        assert Path("models/birds/model.toml").is_file()
        raise error("the disk is full")

    monkeypatch.setattr(adding, "write_atomic", fail)
    with pytest.raises(error):
        add(data=DATA, **TOLD)
    assert tree_hash(site) == before


def test_stopped_after_the_last_write(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When `site.toml` names the model already, it stays whole."""

    def late(path: Path, data: bytes) -> bool:
        write_atomic(path, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(adding, "write_atomic", late)
    with pytest.raises(KeyboardInterrupt):
        add(data=DATA, **TOLD)
    assert site_models(load_site(Path("site.toml")))["birds"].available


def test_killed_before_the_last_write(site: Path) -> None:
    """The same command again finishes what was left: nothing else is in the way."""
    code = (
        "import os, signal; from sitegen import adding\n"
        "adding.write_atomic = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from pathlib import Path; from sitegen.models.new_card import Wishes\n"
        f"wishes = Wishes(Path({str(CHECKPOINT)!r}), Path({str(DATA)!r}), **{TOLD!r})\n"
        "adding.add_model(Path('site.toml'), 'birds', wishes, None)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert Path("site.toml").read_text() == SITE
    assert add(data=DATA, **TOLD).files
    assert temporaries(site) == []
    assert site_models(load_site(Path("site.toml")))["birds"].available


def test_files_in_the_way(site: Path, untouched_but: Callable[[str], None]) -> None:
    """A card that somebody wrote is not written over; a checkpoint in that folder is no matter."""
    Path("models/birds").mkdir()
    Path("models/birds/model.toml").write_text("# mine\n")
    untouched_but("")
    with pytest.raises(ConfigError, match=r"models/birds/model\.toml: is there already"):
        add(data=DATA, **TOLD)


def test_checkpoint_in_the_models_folder(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`models/NAME` may hold it already: card and prior come beside it, or leave it alone."""
    home = Path("models/birds/best.pth")
    home.parent.mkdir()
    CHECKPOINT.rename(home)
    with monkeypatch.context() as patch:
        patch.setattr(adding, "write_atomic", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            add(checkpoint=home, data=DATA, **TOLD)
    assert [path.name for path in home.parent.iterdir()] == ["best.pth"]
    add(checkpoint=home.parent, data=DATA, **TOLD)
    source = site_models(load_site(Path("site.toml")))["birds"]
    assert source.weights == site / home
    assert source.available


def test_checkpoints_elsewhere(site: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Paths are written from the site's folder, and whole where they were given whole."""
    away = tmp_path_factory.mktemp("away") / "checkpoint.pth"
    shutil.copy(CHECKPOINT, away)
    add(checkpoint=away, data=DATA, **TOLD)
    add("near", checkpoint=site / CHECKPOINT, data=DATA, **TOLD)
    add("beside", checkpoint=Path(os.path.relpath(away)), data=DATA, **TOLD)
    models = tomllib.loads(Path("site.toml").read_text())["models"]
    assert models["birds"]["path"] == str(away)
    assert models["near"]["path"] == str(CHECKPOINT)
    assert models["beside"]["path"] == os.path.relpath(away)
    assert all(source.available for source in site_models(load_site(Path("site.toml"))).values())


def test_another_working_folder(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--config` names the site; what is written lies there."""
    monkeypatch.chdir(CHECKPOINT.parent)
    config = Path("../../site.toml")
    wishes = AddOptions(Path(CHECKPOINT.name), Path("../../data/birds"), **TOLD)
    add_model(config, "birds", wishes, None)
    assert (site / "site.toml").read_text().count(ADDED) == 1
    assert (site / "models/birds/model.toml").is_file()


@pytest.mark.parametrize("what", ["runs/own", "runs/own/weights.safetensors"])
def test_models_of_our_own(site: Path, what: str) -> None:
    """A folder that `sitegen train` left says all of itself: only `site.toml` names it."""
    write_model(Path("runs/own"))
    before = tree_hash(site / "runs/own")
    done = add("own", checkpoint=Path(what))
    assert done.files == ()
    assert tomllib.loads(Path("site.toml").read_text())["models"]["own"] == {"path": "runs/own"}
    assert tree_hash(site / "runs/own") == before
    with pytest.raises(ConfigError, match="says all of it; leave out --levels, --training-noise"):
        add("other", checkpoint=Path(what), levels=3, training_noise_std=0.1)


def test_models_of_our_own_without_a_prior(site: Path) -> None:
    """They need images, and get a card of the site's own."""
    folder = write_model(Path("runs/own"))
    card = replace(card_of(folder), prior=None)
    (folder / "model.toml").write_text(card.to_toml())
    with pytest.raises(ConfigError, match="names no prior to start from; --data"):
        add("own", checkpoint=folder)
    draw(Path("grey"), channels=1)
    add("own", checkpoint=folder, data=Path("grey"))
    source = site_models(load_site(Path("site.toml")))["own"]
    assert source.available
    assert source.weights == site / "runs/own/weights.safetensors"


def test_damaged_weights(site: Path, untouched_but: Callable[[str], None]) -> None:
    """A file that is refused when it is sampled is refused when it is added."""
    write_model(Path("runs/own"))
    Path("runs/own/weights.safetensors").write_bytes(b"x" * 100)
    untouched_but("")
    with pytest.raises(RefusedError, match=r"neither a .pth nor safetensors"):
        add("own", checkpoint=Path("runs/own"))


def test_the_first_image_is_the_example(site: Path) -> None:
    """As the model sees it, pinned by the card, so that the forward process can be shown."""
    card = add(data=DATA, **TOLD).card
    assert card.example is not None
    assert card.example.sha256 == digest(Path("models/birds/example.png"))
    shown, given = (np.asarray(Image.open(p)) for p in ("models/birds/example.png", DATA / "0.png"))
    assert np.array_equal(shown, given)
    Path("pages/index.md").write_text('{{ process("birds", columns=2) }}\n')
    assert build(Path("site.toml"), BuildOptions(CPU), FigureRenderer, Silent()).rendered
