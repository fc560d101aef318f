"""A checkpoint becomes a model of a site: what it tells, what is asked for, and all or nothing."""

import builtins
import io
import os
import re
import shutil
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sitegen.config.loader import load_site, parse_site
from sitegen.config.schema import Site
from sitegen.content.suggestions import added_lines
from sitegen.core.errors import ConfigError, PlatformError, RefusedError
from sitegen.core.files import digest, write_atomic
from sitegen.generative.card.card import ModelCard, preset, read_card
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.prior import read_prior
from sitegen.generative.training.recipe import as_ddpm
from sitegen.models import add as adding
from sitegen.models.add import add_model, add_named
from sitegen.models.new_card import AddOptions, Question
from sitegen.models.registry import site_models
from sitegen.sampling.models import load_sampler
from tests.support.adding import (
    CHECKPOINT,
    CONFIG,
    DATA,
    SITE,
    TOLD,
    TRUTH,
    add,
    draw,
    source,
    write_birds,
)
from tests.support.builders import CPU, tree_hash
from tests.support.making import ARCHITECTURES, published, random_unet, save, small_card
from tests.support.tinymodel import card_of, write_large, write_model

ENTRY = """
[models.birds]
path = "runs/birds/checkpoint.pth"
card = "models/birds/model.toml"
"""
DDPM: dict[str, Any] = {"kind": "ddpm", "image_size": 8, "levels": 4, "noise_schedule": "linear"}


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with a checkpoint as published and its images beside it; the working folder."""
    monkeypatch.chdir(tmp_path)
    write_birds()
    return tmp_path


@pytest.fixture
def untouched(site: Path) -> Iterator[Callable[[], None]]:
    """Nothing in the site has changed after the test, or since it called this."""
    before = [tree_hash(site)]
    yield lambda: before.append(tree_hash(site))
    assert tree_hash(site) == before[-1]


class Asked:
    """Answers questions, and keeps them."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.questions: list[tuple[str, Any]] = []

    def __call__(self, question: Question) -> Any:
        """Give the answer to a question."""
        self.questions.append((question.field, question.offer))
        return self.answers[question.field]


def test_what_adding_writes(site: Path) -> None:
    """Its table, every line kept; what is settled unasked is told; prior, example and digests."""
    written = add(data=DATA, **TOLD)
    text = CONFIG.read_text()
    assert text == SITE.replace("trained here\n", f"trained here\n{ENTRY}")
    assert load_site(CONFIG).models["birds"].card == site / "models/birds/model.toml"
    assert [note.partition(":")[0] for note in written.notes] == [
        "attention heads",
        "sampling noise",
    ]
    assert written.card.sampling_noise_std == 0.0125
    assert "number of attention heads" in written.card.known_faults[0]
    sure = add("sure", data=DATA, heads=2, sampling_noise_std=0.011, **TOLD)
    assert (sure.card.finest.num_heads, sure.card.sampling_noise_std) == (2, 0.011)
    assert sure.card.known_faults == ()
    assert [note.partition(":")[0] for note in sure.notes] == ["the heads are split as published"]
    names = [path.name for path in written.files]
    assert names == ["example.png", "prior.safetensors", "model.toml"]
    made = source()
    assert made.available
    assert not made.approximate
    assert made.prior is not None
    prior = read_prior(made.prior, made.card)
    assert (len(prior), prior.data, prior.sigma) == (6, "birds", 20.0)
    assert made.card.prior is not None
    assert made.card.prior.sha256 == made.prior_sha256
    assert made.card.example is not None
    assert made.card.example.sha256 == digest(Path("models/birds/example.png"))
    shown, given = (np.asarray(Image.open(p)) for p in ("models/birds/example.png", DATA / "0.png"))
    assert np.array_equal(shown, given)

    into_git = "into git, so that a clone builds without the weights: site.toml, "
    assert f"{into_git}models/birds, .sitegen" in added_lines(written)
    assert not any("sampler(" in line for line in added_lines(written))  # none out of a .pth
    # Another file in its place is refused, with what to write.
    later = published(read_card(Path("models/birds")))
    save({**later, "step": later["step"] + 1}, CHECKPOINT)
    with pytest.raises(RefusedError, match=f'write sha256 = "{digest(CHECKPOINT)}" into'):
        load_model(CHECKPOINT, read_card(Path("models/birds")))


@pytest.mark.parametrize("options", ARCHITECTURES, ids=str)
def test_the_network_is_read_off_the_file(site: Path, options: dict[str, Any]) -> None:
    """Any architecture: the card makes the very network, but for heads, which are told."""
    truth = small_card(**options)
    save(published(truth), CHECKPOINT)
    heads: dict[str, Any] = {"heads": truth.finest.num_heads} if truth.finest.num_heads > 1 else {}
    draw(site / "grey", channels=truth.channels)
    found = add(data=Path("grey"), **TOLD, **heads).card
    order = truth.finest.use_new_attention_order  # has no effect with one head
    assert replace(found.finest, use_new_attention_order=order) == truth.finest
    assert (found.shape, found.schedule) == (truth.shape, truth.schedule)
    u = torch.rand(1, *truth.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = (load_model(CHECKPOINT, each)(u, 3) for each in (found, truth))
    assert torch.equal(one, other)


def test_images_of_several_sizes() -> None:
    """They do not tell the size, which is asked for; few images make few states and calls."""
    draw(DATA / "large", size=16)
    with pytest.raises(ConfigError, match="--image-size"):
        add(data=DATA, **TOLD)
    done = add(data=DATA, image_size=8, **TOLD)
    assert done.card.image_size == 8
    assert "the images are not squares of one size" in done.notes[0]
    scaled = add("scaled", data=DATA / "large", image_size=8, **TOLD)
    assert "the images are 16×16 pixels" in scaled.notes[0]
    grey = add("grey", data=draw(Path("grey"), channels=1), **TOLD)
    assert any("grey, and the model makes images in colour" in note for note in grey.notes)
    assert not any("grey" in note for note in (*done.notes, *scaled.notes))
    calls = {}
    for count in (1, 3, 6):
        done = add(f"n{count}", data=draw(Path(f"few{count}"), count=count), **TOLD)
        assert done.states == count
        calls[count] = [line for line in added_lines(done) if "{{ shared_noise" in line]
    assert calls[1] == []
    assert "count=3" in calls[3][0]
    assert "count=5" in calls[6][0]


def test_preset() -> None:
    """It says it all and is named where it fits; options or images make a card of it."""
    small = preset("mnist-small")
    save(published(small), CHECKPOINT)
    before = set(Path("models").rglob("*"))
    for change in ({"blur_sigma_max": 10.0}, {"image_size": 16}):
        assert missing(preset="mnist-small", **change) == ["data"]  # the prior is of no use
    with pytest.raises(ConfigError, match=r"if it was trained like that, --preset mnist-small$"):
        add()
    done = add(preset="mnist-small")
    assert (done.files, done.notes) == ((), ())
    entry = tomllib.loads(CONFIG.read_text())["models"]["birds"]
    assert entry == {"path": str(CHECKPOINT), "preset": "mnist-small"}
    assert set(Path("models").rglob("*")) == before
    assert (source().card, source().available) == (small, True)
    ask = Asked(preset="mnist-small")
    assert add("asked", ask).card == small
    assert ask.questions == [("preset", "")]

    changes = {"levels": 3, "sampling_noise_std": 0.02, "heads": 2, "blur_sigma_min": 0.4}
    done = add("changed", preset="mnist-small", **changes)
    card = read_card(Path("models/changed"))
    assert (card.levels, card.sampling_noise_std, card.finest.num_heads) == (3, 0.02, 2)
    assert card.schedule.sigmas[1] == pytest.approx(0.4)
    assert card.known_faults == small.known_faults
    assert len(done.files) == 2  # the prior is the one that travels with the preset
    source("changed").require_usable()

    done = add("told", preset="mnist-small", subject="digits")  # which needs a card of its own
    assert read_card(done.files[-1]).subject == "digits"
    done = add("scaled", preset="mnist-small", data=draw(Path("grey"), size=16, channels=1))
    assert "scaled to 28×28" in done.notes[0]
    assert len(read_prior(Path("models/scaled/prior.safetensors"), done.card)) == 6
    ask = Asked(**TOLD, sampling_noise_std=0.0125, heads=1, preset="", subject="")
    assert add("own", ask, data=draw(Path("large"), size=28, channels=1)).card.levels == 8
    assert len(ask.questions) == 8


MISTAKES: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "taken": ("tiny", {}, ConfigError, r"site\.toml:4: there is a model tiny already; choose"),
    "name": ("Big birds", {}, ConfigError, "the name Big birds should be 1 to 64 of a-z"),
    "no file": ("x", {"checkpoint": Path("no.pth")}, RefusedError, "there is no such checkpoint"),
    "no images": ("x", {**TOLD, "data": Path("no")}, RefusedError, "no: not there"),
    "preset": ("x", {"preset": "cifar1"}, ConfigError, 'did you mean "cifar10"'),
    "misfit": ("x", {"preset": "cifar10"}, RefusedError, "do not fit .*(\n.*)*It looks like chan"),
    "heads": ("x", {**TOLD, "data": DATA, "heads": 3}, ConfigError, "must divide the channels"),
    "size": ("x", {**TOLD, "data": DATA, "image_size": 7}, ConfigError, "divisible by 2"),
    "blur": ("x", {**TOLD, "data": DATA, "blur_sigma_max": 0.1}, ConfigError, "at least sigma_min"),
    "a page": ("x", {"checkpoint": Path("pages/index.md")}, RefusedError, "neither a .pth nor"),
}


def test_what_does_not_fit(untouched: Callable[[], None]) -> None:
    """Colour for a grey model, another network, a damaged file, a card in the way: refused."""
    save(published(small_card()), CHECKPOINT)
    untouched()
    with pytest.raises(RefusedError, match="do not fit"):
        add(data=DATA, **TOLD)
    save({"conv.weight": torch.zeros(3, 3)}, CHECKPOINT)
    untouched()
    for options in ({"data": DATA, **TOLD}, DDPM):
        with pytest.raises(RefusedError, match=r"not a U-Net .*sitegen inspect"):
            add(**options)
    write_model(Path("runs/own"))
    Path("runs/own/weights.safetensors").write_bytes(b"x" * 100)
    untouched()
    with pytest.raises(RefusedError, match=r"neither a .pth nor safetensors"):
        add("own", checkpoint=Path("runs/own"))
    Path("models/birds").mkdir()
    Path("models/birds/model.toml").write_text("# mine\n")
    save(published(TRUTH), CHECKPOINT)
    untouched()
    with pytest.raises(ConfigError, match=r"models/birds/model\.toml: is there already"):
        add(data=DATA, **TOLD)


def missing(**options: Any) -> list[str]:
    """The options that are said to be missing where nobody can be asked."""
    with pytest.raises(ConfigError) as caught:
        add(**options)
    return re.findall(r"^  --([a-z-]+) +\S", str(caught.value), re.MULTILINE)


def test_what_is_missing_is_told_at_once(untouched: object) -> None:
    """Every option that is missing is named, and each mistake told; the site stays as it is."""
    heat = ["data", "levels", "blur-sigma-min", "blur-sigma-max", "training-noise-std"]
    assert missing() == heat
    assert missing(data=DATA, **{**TOLD, "levels": None}) == ["levels"]
    assert missing(kind="ddpm") == ["image-size", "levels", "noise-schedule"]
    for name, options, kind, said in MISTAKES.values():
        with pytest.raises(kind, match=said):
            add(name, **options)


def test_everything_is_asked_for() -> None:
    """With somebody to ask: each thing once, in order, with an offer where published ones agree."""
    ask = Asked(**TOLD, data=DATA, sampling_noise_std=0.0125, heads=1, subject="small birds")
    done = add(ask=ask, blur_sigma_min=0.5)
    asked = [("data", None), ("levels", None), ("blur_sigma_max", None)]
    offered: list[tuple[str, Any]] = [
        ("training_noise_std", 0.01),
        ("sampling_noise_std", 0.0125),
        ("heads", 1),
        ("subject", ""),
    ]
    assert ask.questions == [*asked, *offered]
    assert (done.card.levels, done.card.known_faults) == (8, ())
    assert read_card(Path("models/birds")).subject == "small birds"
    ask = Asked(**DDPM, heads=1)
    done = add("ddpm", ask=ask, kind="ddpm")
    offered = [("levels", 1000), ("noise_schedule", "linear"), ("heads", 1)]
    assert ask.questions == [("image_size", None), *offered]
    assert (done.card.levels, done.card.known_faults) == (4, ())


def bytes_read() -> int:
    """How many bytes this process has read in its life, by whatever call but mmap."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file is opened, by its name."""
    count = Counter[str]()

    def counting(real: Any) -> Any:
        def call(file: Any, *rest: Any, **more: Any) -> Any:
            count[Path(file).name if isinstance(file, str | Path) else ""] += 1
            return real(file, *rest, **more)

        return call

    monkeypatch.setattr(builtins, "open", counting(open))
    monkeypatch.setattr(io, "open", counting(io.open))
    return count


def test_everything_is_read_once(opened: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding opens checkpoint, images and `site.toml` once; building, once more."""
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (96, 96, 3), np.uint8)
        Image.fromarray(noise).save(DATA / f"{number}.png")
    parsed: list[str] = []

    def parse(text: str, path: Path) -> Site:
        parsed.append(text)
        return parse_site(text, path)

    monkeypatch.setattr(adding, "parse_site", parse)
    time.sleep(0.05)  # what was written just now is not remembered
    whole = CHECKPOINT.stat().st_size
    images = sum(path.stat().st_size for path in DATA.iterdir())
    opened.clear()
    before = bytes_read()
    add(data=DATA, image_size=8, **TOLD)
    assert whole + images <= bytes_read() - before < 2.15 * whole + 2 * images  # and its digest
    assert opened[CHECKPOINT.name] == 1
    assert all(opened[path.name] <= 2 for path in DATA.iterdir())
    assert [text == SITE for text in parsed] == [True, False]
    before = bytes_read()
    load_sampler(source(), CPU)
    assert whole <= bytes_read() - before < 2.15 * whole  # verified and loaded in one pass


@pytest.mark.parametrize("first", [True, False], ids=["folder of models", "first model"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, PlatformError])
def test_nothing_stays_of_half_a_model(
    site: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], first: bool
) -> None:
    """Stopped before `site.toml` is written, the card goes again; after it, the model is whole."""
    if first:
        shutil.rmtree("models")
        CONFIG.write_text('title = "T"\n')
    before, late = tree_hash(site), False

    def fail(path: Path, data: bytes) -> bool:
        if path != CONFIG:
            return write_atomic(path, data)
        assert Path("models/birds/model.toml").is_file()
        if late:
            write_atomic(path, data)
        raise error("the disk is full")

    monkeypatch.setattr(adding, "write_atomic", fail)
    with pytest.raises(error):
        add(data=DATA, **TOLD)
    assert tree_hash(site) == before
    late = True
    with pytest.raises(error):
        add(data=DATA, **TOLD)
    assert source().available


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
    made = source()
    assert made.weights == site / home
    assert made.available


def test_checkpoints_elsewhere(
    site: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths are written from the site's folder, wherever one is; whole where they were so given."""
    away = tmp_path_factory.mktemp("away") / "checkpoint.pth"
    shutil.copy(CHECKPOINT, away)
    add(checkpoint=away, data=DATA, **TOLD)
    add("near", checkpoint=site / CHECKPOINT, data=DATA, **TOLD)
    add("beside", checkpoint=Path(os.path.relpath(away)), data=DATA, **TOLD)
    models = tomllib.loads(CONFIG.read_text())["models"]
    assert models["birds"]["path"] == str(away)
    assert models["near"]["path"] == str(CHECKPOINT)
    assert models["beside"]["path"] == os.path.relpath(away)
    assert all(source.available for source in site_models(load_site(CONFIG)).values())
    monkeypatch.chdir(CHECKPOINT.parent)  # --config names the site, in which all is written
    options = AddOptions(Path(CHECKPOINT.name), Path("../../data/birds"), **TOLD)
    add_model(Path("../../site.toml"), "up", options, None)
    assert tomllib.loads((site / CONFIG).read_text())["models"]["up"]["path"] == str(CHECKPOINT)
    assert (site / "models/up/model.toml").is_file()


@pytest.mark.parametrize("what", ["runs/own", "runs/own/weights.safetensors"])
def test_models_of_our_own(site: Path, what: str) -> None:
    """A folder that `sitegen train` left says all of itself: only `site.toml` names it."""
    write_model(Path("runs/own"))
    before = tree_hash(site / "runs/own")
    done = add("own", checkpoint=Path(what))
    assert done.files == ()
    assert tomllib.loads(CONFIG.read_text())["models"]["own"] == {"path": "runs/own"}
    assert tree_hash(site / "runs/own") == before
    with pytest.raises(
        ConfigError, match="decides all of it; leave out --levels, --training-noise"
    ):
        add("other", checkpoint=Path(what), levels=3, training_noise_std=0.1)
    Path("runs/more").mkdir()
    Path("runs/more/training.pt").touch()
    with pytest.raises(RefusedError, match="runs/more: holds an unfinished run"):
        add("more", checkpoint=Path("runs/more"))
    folder = Path("runs/own")  # without a prior it needs images, and gets a card of the site's own
    card = replace(card_of(folder), prior=None)
    (folder / "model.toml").write_text(card.to_toml())
    with pytest.raises(ConfigError, match="names no prior to start from; --data"):
        add("bare", checkpoint=folder)
    add("bare", checkpoint=folder, data=draw(Path("grey"), channels=1))
    made = source("bare")
    assert made.available
    assert made.weights == site / "runs/own/weights.safetensors"


@pytest.fixture
def ddpm() -> ModelCard:
    """The checkpoint is a bare state dict of a DDPM, of one grey channel; what it is."""
    card = as_ddpm(replace(small_card(), channels=1))
    save(random_unet(card).state_dict(), CHECKPOINT)
    return card


def test_ddpm(ddpm: ModelCard) -> None:
    """The card makes the weights' network, without prior; a learned variance tells the kind."""
    done = add("ddpm", **DDPM)
    found = done.card
    assert (found.kind, found.levels, found.shape) == ("ddpm", 4, ddpm.shape)
    assert found.prior is found.example is None
    calls = added_lines(done)
    assert '{{ interpolation("tiny", ddpm="ddpm") }}' in calls
    assert '{{ trajectories("ddpm", count=36) }}' in calls
    both = 'trajectories("tiny", count=9), trajectories("ddpm", count=9)'
    assert f"{{{{ beside({both}) }}}}" in calls
    x = torch.rand(1, *ddpm.shape, generator=torch.Generator().manual_seed(0))
    same = replace(found, diffusion=ddpm.diffusion, levels=ddpm.levels)
    with torch.no_grad():
        one, other = (load_model(CHECKPOINT, card)(x, 3) for card in (same, replace(ddpm)))
    assert torch.equal(one, other)
    weights = random_unet(ddpm).state_dict()
    doubled = {name: torch.cat([weights[name]] * 2) for name in ("out.2.weight", "out.2.bias")}
    save(weights | doubled, CHECKPOINT)
    done = add("other", **{**DDPM, "kind": None})
    assert done.card.kind == "ddpm"
    assert done.card.diffusion is not None
    assert done.card.diffusion.variance == "fixed_small"
    assert any("fixed_small" in note for note in done.notes)
    with pytest.raises(ConfigError, match="--preset, --blur-sigma-max"):
        add("another", **DDPM, blur_sigma_max=20.0, preset="mnist")
    with pytest.raises(ConfigError, match="an IHDM has no --noise-schedule; leave it out"):
        add("another", **{**DDPM, "kind": "ihdm"})


@pytest.mark.parametrize(
    ("levels", "ends"), [(1000, (1e-4, 0.02, False)), (4000, (2.5e-5, 0.005, True))]
)
def test_schedule_is_scaled(ddpm: ModelCard, levels: int, ends: tuple[float, float, bool]) -> None:
    """β of 1000 steps is that of Ho et al.; of 4000 a quarter, as improved-diffusion scales it."""
    card = add("ddpm", **{**DDPM, "levels": levels, "heads": 2}).card
    found = card.diffusion
    assert found is not None
    assert (found.beta_start, found.beta_end, found.rescale_timesteps) == ends
    assert isinstance(card.unet, UNetConfig)
    assert (card.unet.num_heads, card.unet.use_new_attention_order) == (2, False)


def test_shipped_models_are_added_by_name(untouched: Callable[[], None]) -> None:
    """One that travels with sitegen needs no more than its name; the nearest is told of others."""
    with pytest.raises(ConfigError, match='travels with sitegen, did you mean "fashion-mnist"'):
        add_named(CONFIG, "fashion-mnits")
    with pytest.raises(ConfigError, match=r"site\.toml:4: there is a model tiny already"):
        add_named(CONFIG, "tiny")
    ours = Path("runs/mine")
    write_model(ours)
    hint = "site.toml, runs/mine/model.toml, .sitegen (`git add -f` what .gitignore keeps out)"
    assert any(line.endswith(hint) for line in added_lines(add("mine", checkpoint=ours)))
    CONFIG.write_text(SITE)
    lines = added_lines(add_named(CONFIG, "fashion-mnist"))
    untouched()
    assert '[models.fashion-mnist]\npath = "models/fashion-mnist"\n' in CONFIG.read_text()
    assert lines[1] == "added [models.fashion-mnist] to site.toml"
    assert any('{{ trajectories("fashion-mnist"' in line for line in lines)
    assert any('{{ sampler("fashion-mnist"' in line for line in lines)
    large = added_lines(add("large", checkpoint=write_large(Path("runs/large"))))
    assert any('{{ trajectories("large"' in line for line in large)
    assert not any("sampler(" in line for line in large)  # it is too heavy
    untouched()


def test_answers_are_kept(site: Path) -> None:
    """Where one answer cannot be, all are told as options, to be given again."""
    answers = {**TOLD, "blur_sigma_max": 0.1, "sampling_noise_std": 0.0125, "heads": 1}
    ask = Asked(**answers, subject="small birds")
    with pytest.raises(ConfigError) as caught:
        add(ask=ask, data=DATA)
    again = str(caught.value).splitlines()[-1]
    assert "sigma_max" in str(caught.value).splitlines()[0]
    assert again.startswith(
        "your answers, as options for the next try: --levels 8 --blur-sigma-min 0.5"
    )
    assert again.endswith("--heads 1 --subject 'small birds'")
