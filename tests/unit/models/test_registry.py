"""Models as files: found by name or path, and what is missing is told with what to do."""

from dataclasses import replace
from pathlib import Path

import pytest

from sitegen.config.schema import load_site
from sitegen.core import installed
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import digest
from sitegen.core.installed import resource
from sitegen.generative.card.card import preset
from sitegen.generative.data.prior import read_prior
from sitegen.models.registry import (
    ModelSource,
    find_model,
    is_approximate,
    model_source,
    named_folder,
    site_models,
)
from tests.support.builders import CARD, write_site

NOWHERE, CONFIG = Path("nowhere/site.toml"), Path("site.toml")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Models that travel with sitegen: `tiny` and `other`."""
    for name in ("tiny", "other"):
        folder = tmp_path / "shipped" / name
        folder.mkdir(parents=True)
        (folder / "model.toml").write_text(CARD)
    monkeypatch.setattr(installed, "resource", lambda name: tmp_path / "shipped")
    return tmp_path / "shipped"


def test_names_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of the site or a shipped one by its name; a path, there or not, is itself."""
    monkeypatch.chdir(tmp_path)
    assert named_folder(Path("mnist")) == resource("models") / "mnist"
    for path in (Path("nothing"), Path("models/mnist"), tmp_path / "mnist"):
        assert named_folder(path) == path
    Path("mnist").touch()
    assert named_folder(Path("mnist")) == Path("mnist")
    Path("runs/birds").mkdir(parents=True)
    Path("runs/birds/training.pt").touch()
    for find in (lambda: named_folder(Path("birds")), lambda: find_model("birds", None, CONFIG)):
        with pytest.raises(RefusedError, match=r"runs/birds: holds an unfinished run.*--finish"):
            find()


def test_folder(config: Path, tmp_path: Path) -> None:
    """The card says where weights and prior lie; what is missing, empty or none is named."""
    folder = config.parent / "models/tiny"
    source = model_source("tiny", folder)
    assert source.weights == folder / "weights.safetensors"
    assert source.prior == folder / "prior.safetensors"
    assert source.card_path == folder / "model.toml"
    assert source.missing_file is None
    source.require_usable()
    for path in (source.prior, source.weights):  # where one is missing, it is named
        path.unlink()
        assert source.missing_file == path
        with pytest.raises(RefusedError, match=f"{path}: there is no such"):
            source.require_usable()
    path = folder / "weights.safetensors"
    path.write_bytes(b"")
    with pytest.raises(RefusedError, match="is empty"):
        model_source("tiny", folder).require_usable()
    path.unlink()
    path.mkdir()
    with pytest.raises(RefusedError, match="this is a folder"):
        model_source("tiny", folder).require_usable()
    with pytest.raises(RefusedError, match=r"model\.toml: there is no such model card"):
        model_source("x", tmp_path)
    (tmp_path / "model.toml").write_text(CARD.partition("[weights]")[0])
    with pytest.raises(RefusedError, match=r"names no weights; add \[weights\]"):
        model_source("x", tmp_path)


def test_checkpoint_and_its_card(config: Path, reference: Path, tmp_path: Path) -> None:
    """The card beside counts if it names the file; its picture is there, or its digest known."""
    folder, checkpoint = config.parent / "models/tiny", tmp_path / "checkpoint.pth"
    checkpoint.write_bytes(b"weights")
    source = model_source("x", checkpoint, folder / "model.toml")
    assert (source.weights, source.prior) == (checkpoint, folder / "prior.safetensors")
    assert model_source("x", folder / "weights.safetensors").card_path == folder / "model.toml"
    (folder / "other.pth").write_bytes((reference / "tiny/checkpoint.pth").read_bytes())
    with pytest.raises(RefusedError, match=r"other\.pth: a checkpoint does not record .*--card"):
        model_source("x", folder / "other.pth")
    assert model_source("tiny", folder).example is None
    assert model_source("tiny", folder).example_sha256 is None
    pinned = f'[example]\nfile = "one.png"\nsha256 = "{"a" * 64}"\n'
    (folder / "model.toml").write_text(CARD + pinned)
    source = model_source("tiny", folder)
    assert source.example == folder / "one.png"
    assert source.example_sha256 == "a" * 64
    (folder / "one.png").write_bytes(b"picture")
    assert model_source("tiny", folder).example_sha256 == digest(folder / "one.png")
    assert source.missing_file is None
    source = model_source("tiny", config.parent / "models/tiny")
    moved = replace(source, weights=source.weights.rename(source.weights.with_name("moved")))
    assert moved.weights_sha256 == model_source("x", moved.weights, moved.card_path).weights_sha256
    assert moved.weights_sha256 != moved.prior_sha256


def test_model_without_prior(config: Path) -> None:
    """It can be planned, not used, and how to make a prior is told; a DDPM needs none."""
    card = config.parent / "models/tiny/model.toml"
    card.write_text(CARD.partition("[prior]")[0])
    source = model_source("tiny", card.parent)
    assert source.missing_file is None
    assert source.prior_sha256 is None
    with pytest.raises(RefusedError, match=rf"sitegen add tiny --checkpoint {source.weights} --d"):
        source.require_usable()
    with pytest.raises(RefusedError, match=r"remove \[models\.tiny\] from site\.toml, and make"):
        replace(source, card_path=None).require_usable()
    card.write_text(
        'kind = "ddpm"\n'
        + CARD.partition("[blur]")[0].replace("sampling_noise_std = 0.0125\n", "")
        + '[diffusion]\nbeta_schedule = "cosine"\n[weights]\nfile = "weights.safetensors"\n'
    )
    source = model_source("tiny", card.parent)
    assert source.prior is None
    source.require_usable()
    source.weights.unlink()
    with pytest.raises(RefusedError, match="there is no such checkpoint"):
        source.require_usable()


def test_find_by_name(
    config: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site's model, a shipped one, a folder here, a card given; a path needs no site."""
    assert find_model("tiny", None, config).weights.parent == config.parent / "models/tiny"
    assert find_model("other", None, config).weights.parent == shipped / "other"
    assert find_model("tiny", None, NOWHERE).weights.parent == shipped / "tiny"
    with pytest.raises(RefusedError, match=r"neither a file nor a model's name.*tiny"):
        find_model("tini", None, config)
    with pytest.raises(RefusedError, match=r"no/such.pth: there is no such checkpoint"):
        find_model("no/such.pth", None, config)
    card = tmp_path / "card.toml"
    card.write_text(CARD.replace("levels = 4", "levels = 7"))
    for name in ("tiny", str(config.parent / "models/tiny")):
        assert find_model(name, card, config).card.levels == 7
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    (shipped / "other").rename(tmp_path / "mine")
    assert find_model("tiny", None, config).weights.parent == config.parent / "models/tiny"
    assert find_model("mine", None, config).weights == Path("mine/weights.safetensors")
    for path in ["models/tiny", "models/tiny/weights.safetensors"]:
        config.write_text("broken")
        found = find_model(str(config.parent / path), None, config)
        assert found.weights == config.parent / "models/tiny/weights.safetensors"
        with pytest.raises(ConfigError, match="is not TOML"):
            find_model("tiny", None, config)


PRESET = """
title = "A title"
[models.cifar]
path = "checkpoints/cifar.pth"
preset = "cifar10"
"""


@pytest.fixture
def dropped(tmp_path: Path) -> Path:
    """Where the checkpoint of a site's preset belongs; nothing is there."""
    write_site(tmp_path / "waiting", site=PRESET)
    return tmp_path / "waiting/checkpoints/cifar.pth"


def cifar(dropped: Path) -> ModelSource:
    """The model of that checkpoint."""
    return site_models(load_site(dropped.parent.parent / "site.toml"))["cifar"]


def test_preset_with_its_checkpoint(dropped: Path) -> None:
    """Card and prior are the preset's."""
    file = dropped
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    source = cifar(dropped)
    assert (source.weights, source.missing_file) == (file, None)
    assert is_approximate(source.card)
    assert source.card == preset("cifar10")
    assert source.prior is not None
    assert read_prior(source.prior, source.card).image_size == 32
    source.require_usable()
    config = dropped.parent.parent / "site.toml"
    found = find_model("cifar", None, config)
    assert (found.weights, found.prior) == (file, source.prior)
    own = config.parent / "models/tiny/model.toml"  # instead of the preset's
    found = find_model("cifar", own, config)
    assert (found.weights, found.card.levels) == (file, 4)
