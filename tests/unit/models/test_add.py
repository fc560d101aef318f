"""A checkpoint becomes a model of a site: what it tells, what is asked for, and all or nothing."""

import os
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sitegen.builder.plan import BuildOptions, prepare
from sitegen.config.schema import load_site
from sitegen.content.suggestions import added_lines
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import digest, write_atomic
from sitegen.generative.card.card import ModelCard, preset, read_card
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.data.prior import read_prior
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.training.recipe import as_ddpm
from sitegen.models import add as adding
from sitegen.models.add import add_model, add_named, add_recording
from sitegen.models.options import AddOptions
from sitegen.models.registry import is_approximate, site_models
from sitegen.record import record
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
from tests.support.making import ARCHITECTURES, narrowed, published, random_unet, save, small_card
from tests.support.tinymodel import card_of, write_model
from tests.unit.generative.checkpoints.test_schedulers import saved as save_diffusers

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


def test_what_adding_writes(site: Path) -> None:
    """Its table, every line kept; what is settled unasked is told; prior, example and digests."""
    written = add(data=DATA, **TOLD)
    text = CONFIG.read_text()
    assert text == SITE + ENTRY
    assert load_site(CONFIG).models["birds"].card == site / "models/birds/model.toml"
    assert [note.partition(":")[2].strip()[:11] for note in written.notes] == [
        "IHDM, 8 ste",
        "1 attention",
        "as many hea",
        "0.0125, 1.2",
    ]
    assert written.card.noise_std == 0.0125
    assert "number of attention heads" in written.card.known_faults[0]
    sure = add("sure", data=DATA, heads=2, sampling_noise_std=0.011, **TOLD)
    assert (sure.card.finest.num_heads, sure.card.noise_std) == (2, 0.011)
    assert sure.card.known_faults == ()
    assert any("attention: 2 heads" in note for note in sure.notes)
    assert any("assumed: use_new_attention_order = true" in note for note in sure.notes)
    names = [path.name for path in written.files]
    assert names == ["example.png", "prior.safetensors", "model.toml"]
    made = source()
    assert made.missing_file is None
    assert not is_approximate(made.card)
    assert made.prior is not None
    prior = read_prior(made.prior, made.card)
    assert (len(prior), prior.data, prior.sigma) == (6, "birds", 20.0)
    assert made.card.prior is not None
    assert made.card.prior.sha256 == made.prior_sha256
    assert made.card.example is not None
    assert made.card.example.sha256 == digest(Path("models/birds/example.png"))
    shown, given = (np.asarray(Image.open(p)) for p in ("models/birds/example.png", DATA / "0.png"))
    assert np.array_equal(shown, given)

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
    """They do not tell the size, which is asked for."""
    draw(DATA / "large", size=16)
    with pytest.raises(ConfigError, match="--image-size"):
        add(data=DATA, **TOLD)
    done = add(data=DATA, image_size=8, **TOLD)
    assert done.card.image_size == 8
    assert any("the images are not squares of one size" in note for note in done.notes)
    scaled = add("scaled", data=DATA / "large", image_size=8, **TOLD)
    assert any("the images are 16×16 pixels" in note for note in scaled.notes)


def test_preset() -> None:
    """It says it all and is named where it fits; other options are refused."""
    small = preset("mnist-small")
    save(published(small), CHECKPOINT)
    with pytest.raises(ConfigError, match=r"mnist-small, .* no --levels, --heads; leave it out"):
        add(preset="mnist-small", levels=3, heads=2)
    with pytest.raises(ConfigError, match=r"if it was trained like that, --preset mnist-small$"):
        add()
    done = add(preset="mnist-small")
    assert [path.name for path in done.files] == ["prior.safetensors", "model.toml"]
    entry = tomllib.loads(CONFIG.read_text())["models"]["birds"]
    assert entry == {"path": str(CHECKPOINT), "card": "models/birds/model.toml"}
    assert source().missing_file is None
    assert replace(source().card, weights=None, prior=None) == small


MISTAKES: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "taken": ("tiny", {}, ConfigError, r"site\.toml:4: there is a model tiny already; choose"),
    "name": ("Big birds", {}, ConfigError, "the name Big birds should be 1 to 64 of a-z"),
    "no file": ("x", {"checkpoint": Path("no.pth")}, RefusedError, "there is no such checkpoint"),
    "no images": ("x", {**TOLD, "data": Path("no")}, RefusedError, "no: not there"),
    "preset": ("x", {"preset": "cifar1"}, ConfigError, 'did you mean "cifar10"'),
    "misfit": ("x", {"preset": "cifar10"}, RefusedError, "do not fit .*(\n.*)*`sitegen inspect`"),
    "heads": ("x", {**TOLD, "data": DATA, "heads": 3}, ConfigError, "must divide the channels"),
    "size": ("x", {**TOLD, "data": DATA, "image_size": 7}, ConfigError, "divisible by 2"),
    "blur": ("x", {**TOLD, "data": DATA, "blur_sigma_max": 0.1}, ConfigError, "above sigma_min"),
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


def test_an_interrupted_add_is_repeated(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before `site.toml` is written, the same command finds the folder and goes on."""
    before = CONFIG.read_text()

    def fail(path: Path, data: bytes) -> None:
        if path == CONFIG:
            raise KeyboardInterrupt
        write_atomic(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(adding, "write_atomic", fail)
        with pytest.raises(KeyboardInterrupt):
            add(data=DATA, **TOLD)
    assert CONFIG.read_text() == before
    add(data=DATA, **TOLD)
    assert source().missing_file is None


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
    add(checkpoint=home, data=DATA, **TOLD)
    made = source()
    assert made.weights == site / home
    assert made.missing_file is None


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
    assert all(source.missing_file is None for source in site_models(load_site(CONFIG)).values())
    monkeypatch.chdir(CHECKPOINT.parent)  # --config names the site, in which all is written
    options = AddOptions(Path(CHECKPOINT.name), Path("../../data/birds"), **TOLD)
    add_model(Path("../../site.toml"), "up", options)
    assert tomllib.loads((site / CONFIG).read_text())["models"]["up"]["path"] == str(CHECKPOINT)
    assert (site / "models/up/model.toml").is_file()


@pytest.mark.parametrize("what", ["runs/own", "runs/own/weights.safetensors"])
def test_models_of_our_own(site: Path, what: str) -> None:
    """A folder of `sitegen train` says all of itself; the site gets a copy of card and prior."""
    write_model(Path("runs/own"))
    before = tree_hash(site / "runs/own")
    done = add("own", checkpoint=Path(what), subject="small birds")
    assert {path.name for path in done.files} >= {"prior.safetensors", "model.toml"}
    entry = tomllib.loads(CONFIG.read_text())["models"]["own"]
    assert entry == {"path": what, "card": "models/own/model.toml"}
    assert source("own").missing_file is None
    assert done.card.subject == "small birds"
    assert source("own").card.digest == card_of(Path("runs/own")).digest
    assert tree_hash(site / "runs/own") == before
    with pytest.raises(ConfigError, match="decides all of it; leave out --training-noise-std"):
        add("other", checkpoint=Path(what), training_noise_std=0.1)
    with pytest.raises(ConfigError, match='kind "ihdm" lists its steps; leave out --levels'):
        add("other", checkpoint=Path(what), levels=3)
    Path("runs/more").mkdir()
    Path("runs/more/training.pt").touch()
    with pytest.raises(RefusedError, match="runs/more: holds an unfinished run"):
        add("more", checkpoint=Path("runs/more"))
    folder = Path("runs/own")  # without a prior it needs images
    card = replace(card_of(folder), prior=None)
    (folder / "model.toml").write_text(card.to_toml())
    with pytest.raises(ConfigError, match="names no prior to start from; --data"):
        add("bare", checkpoint=folder)
    add("bare", checkpoint=folder, data=draw(Path("grey"), channels=1))
    assert source("bare").missing_file is None


def test_a_card_in_place_is_changed_only_where_it_must(site: Path) -> None:
    """Added again, a model's card gets the subject, a new digest or a prior; all else stays."""
    add(data=DATA, **TOLD)
    card_path = Path("models/birds/model.toml")
    text = card_path.read_text().replace("levels = 8", "levels = 8  # as in the paper")
    text += "\n# measured by hand\n[quality]\nfid = 3.5  # of 1,000\n"
    text = 'known_faults = ["beaks"]\n' + re.sub("(?s)known_faults = .*?]\n", "", text)
    card_path.write_text(text)
    before = tree_hash(site)
    done = add()
    assert (done.files, done.entered) == ((), False)
    assert "nothing to change" in done.notes[-1]
    assert tree_hash(site) == before
    assert any(line.startswith("--subject ") for line in added_lines(add()))
    named = added_lines(add(subject="small birds"))
    assert not any(line.startswith("--subject ") for line in named)
    lines = card_path.read_text().splitlines()
    assert [line for line in lines if line not in text.splitlines()] == ['subject = "small birds"']
    assert set(text.splitlines()) < set(lines)
    with pytest.raises(ConfigError, match="decides all of it; edit it there, or leave out --heads"):
        add(heads=2)
    later = published(TRUTH)
    save({**later, "step": 9}, CHECKPOINT)
    done = add()
    assert any("weights have changed" in note for note in done.notes)
    changed = [line for line in card_path.read_text().splitlines() if line not in lines]
    assert changed == [f'sha256 = "{digest(CHECKPOINT)}"']
    save(published(small_card()), CHECKPOINT)
    with pytest.raises(RefusedError, match="do not fit"):
        add()
    with pytest.raises(ConfigError, match="there is a model birds already"):
        add(checkpoint=Path("models/tiny"))


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
    assert '{{ trajectories("ddpm", count=36) }}' in added_lines(done)
    assert done.notes[0] == "sampler: DDPM, 4 steps, random"
    assert sum("assumed: " in note for note in done.notes) == 3
    x = torch.rand(1, *ddpm.shape, generator=torch.Generator().manual_seed(0))
    same = replace(
        narrowed(found, Ddpm), diffusion=narrowed(ddpm, Ddpm).diffusion, levels=ddpm.levels
    )
    with torch.no_grad():
        one, other = (load_model(CHECKPOINT, card)(x, 3) for card in (same, replace(ddpm)))
    assert torch.equal(one, other)
    weights = random_unet(ddpm).state_dict()
    doubled = {name: torch.cat([weights[name]] * 2) for name in ("out.2.weight", "out.2.bias")}
    save(weights | doubled, CHECKPOINT)
    done = add("other", **{**DDPM, "kind": None})
    assert done.card.kind == "ddpm"
    assert done.card.diffusion is not None
    assert done.card.diffusion.variance == "learned"
    assert any('"learned" (variance)' in note for note in done.notes)
    with pytest.raises(ConfigError, match="a DDPM has no --preset, --blur-sigma-max"):
        add("another", **DDPM, blur_sigma_max=20.0, preset="mnist")
    with pytest.raises(ConfigError, match=r"--kind ihdm: .* has two outputs for each channel"):
        add("another", **{**DDPM, "kind": "ihdm"})
    save(weights, CHECKPOINT)
    with pytest.raises(ConfigError, match=r"--kind edm: .* alone does not say its noise"):
        add("another", **{**DDPM, "kind": "edm"})
    done = add("implicit", **{**DDPM, "levels": 200, "sampler_name": "ddim"})
    assert done.notes[0] == "sampler: DDIM, 50 steps, nothing random after the start"
    done = add("implicit", levels=20)
    assert (done.notes[0], done.card.steps) == (
        "sampler: DDIM, 20 steps, nothing random after the start",
        20,
    )


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
    """One that travels with sitegen needs no more than its name; of others the nearest is named."""
    with pytest.raises(ConfigError, match='travels with sitegen, did you mean "fashion-mnist"'):
        add_named(CONFIG, "fashion-mnits")
    with pytest.raises(ConfigError, match=r"site\.toml:4: there is a model tiny already"):
        add_named(CONFIG, "tiny")
    lines = added_lines(add_named(CONFIG, "fashion-mnist"))
    untouched()
    assert '[models.fashion-mnist]\npath = "models/fashion-mnist"\n' in CONFIG.read_text()
    assert lines[1] == "added [models.fashion-mnist] to site.toml"
    assert any('{{ trajectories("fashion-mnist"' in line for line in lines)
    assert any('{{ sampler("fashion-mnist"' in line for line in lines)


def test_diffusers_folders(site: Path) -> None:
    """A folder of diffusers gets a card with its sampler, subject and number of steps."""
    save_diffusers(Path("theirs"), "DDIM")
    done = add("theirs", checkpoint=Path("theirs"), levels=20, subject="small birds")
    assert done.notes[0].startswith(
        "sampler: DDIM, 20 steps, nothing random after the start; --lev"
    )
    assert tomllib.loads(CONFIG.read_text())["models"]["theirs"] == {
        "path": "theirs",
        "card": "models/theirs/model.toml",
    }
    card = narrowed(source("theirs").card, Ddpm)
    assert (card.steps, card.subject, card.diffusion.sampler) == (20, "small birds", "ddim")
    assert source("theirs").missing_file is None
    assert load_model(source("theirs").weights, card).card.digest == card.digest
    done = add("solved", checkpoint=Path("theirs"), levels=9, sampler_name="dpmpp2m")
    assert done.notes[0].startswith("sampler: DPM-Solver++ (dpmpp2m), 9 steps, nothing random")
    assert source("solved").card.kind == "solver"
    with pytest.raises(ConfigError, match="decides all of it; leave out --heads"):
        add("other", checkpoint=Path("theirs"), heads=2)


def test_every_proposed_call_builds(site: Path, ddpm: ModelCard) -> None:
    """What `add` proposes for a model of each kind is accepted by a build, all on one page."""
    done = [add("ddpm", **DDPM, sampler_name="ddim"), add_named(CONFIG, "fashion-mnist")]
    save({"net_model": random_unet(ddpm).state_dict()}, CHECKPOINT)
    done.append(add("flow", image_size=8, levels=6))
    save(published(TRUTH), CHECKPOINT)
    done.append(add("heat", data=DATA, **TOLD))
    for number, name in enumerate(("DDIM", "EulerDiscrete")):
        save_diffusers(Path(name), name)
        done.append(add(f"theirs-{number}", checkpoint=Path(name), levels=5))
    for count in (1, 4):
        with record(f"{count}.npz", axis=("t", ""), range=(0, 1)) as recording:
            for step in range(3):
                recording(step, np.zeros((count, 1, 8, 8)), final=np.zeros((count, 1, 8, 8)))
        done.append(add_recording(CONFIG, f"recorded-{count}", Path(f"{count}.npz")))
    with record("paths.npz", positions=[0, 0.5, 1]) as recording:
        for step in range(3):
            recording(step, np.zeros((6, 1, 8, 8)))
    done.append(add_recording(CONFIG, "paths", Path("paths.npz")))
    calls = []
    for added in done:
        lines = added_lines(added, "DDIM")
        calls += [line for line in lines if line.startswith("{{ ")]
    assert len(calls) > 2 * len(done)
    assert '{{ interpolation("paths", points=3, label="DDIM") }}' in calls
    Path("pages/index.md").write_text("\n\n".join(calls) + "\n")
    planned = prepare(load_site(site / "site.toml"), BuildOptions(CPU)).figures
    assert len(planned) == len(calls)
