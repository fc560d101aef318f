"""A prior from training images serves as the model's own; one travels with each preset."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import preset, presets
from sitegen.generative.data.images import read_images
from sitegen.generative.data.prior import draw_places, make_prior, read_prior
from sitegen.models import priors
from sitegen.models.priors import add_prior, prior_and_example
from sitegen.models.registry import (
    APPROXIMATE,
    is_approximate,
    measured,
    model_source,
    preset_prior,
)
from tests.support.adding import draw
from tests.support.tinymodel import card_of, write_model


def data(folder: Path, channels: int = 1) -> Path:
    """A folder of six training images."""
    return draw(folder, channels=channels)


def bare(folder: Path) -> Path:
    """A model whose card names no prior, and has a comment."""
    write_model(folder)
    card = replace(card_of(folder), prior=None)
    (folder / "model.toml").write_text("# my notes\n" + card.to_toml())
    (folder / "prior.safetensors").unlink()
    return folder


def test_prior_from_data(tmp_path: Path) -> None:
    """All images are in it, grey ones also for colour; the first of them is the example."""
    card = card_of(write_model(tmp_path / "tiny"))
    prior = prior_and_example(card, data(tmp_path / "grey"))[0]
    assert len(prior) == 6
    assert prior.sigma == card.schedule[card.levels]
    assert prior.initial_states(0, range(4)).shape == (4, 1, 8, 8)
    card = card_of(write_model(tmp_path / "colour", channels=3))
    states = prior_and_example(card, data(tmp_path / "data"))[0].initial_states(0, [0])
    assert states.shape == (1, 3, 8, 8)
    assert float((states[0, 0] - states[0, 1]).abs().max()) < 1e-6
    tmp_path = tmp_path / "more"
    card = card_of(write_model(tmp_path / "tiny", channels=3))
    folder = data(tmp_path / "data")
    _, png = prior_and_example(card, folder)
    with Image.open(io.BytesIO(png)) as shown, Image.open(folder / "0.png") as given:
        assert (shown.mode, shown.size) == ("RGB", (8, 8))
        assert np.array_equal(np.asarray(shown)[..., 0], np.asarray(given))


@pytest.mark.parametrize("name", ["prior.safetensors", "example.png"])
def test_files_that_the_card_does_not_name(tmp_path: Path, name: str) -> None:
    """A file of the author where the prior or the example would be written is left alone."""
    model = bare(tmp_path / "tiny")
    (model / name).write_text("mine")
    before = (model / "model.toml").read_text()
    with pytest.raises(RefusedError, match=rf"{name}: is there already, and model\.toml does not"):
        add_prior(model / "model.toml", data(tmp_path / "data"))
    assert ((model / name).read_text(), (model / "model.toml").read_text()) == ("mine", before)


def test_add_prior(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card pins the file and keeps its comments; images that do not fit change nothing."""
    model = bare(tmp_path / "tiny")
    assert model_source("tiny", model).prior is None
    path = add_prior(model / "model.toml", data(tmp_path / "data"))
    assert path == model / "prior.safetensors"
    assert (model / "model.toml").read_text().startswith("# my notes\n")
    source = model_source("tiny", model)
    assert (source.prior, source.example) == (path, model / "example.png")
    source.require_usable()
    assert len(read_prior(path, source.card)) == 6
    add_prior(model / "model.toml", tmp_path / "data")  # again changes nothing
    assert model_source("tiny", model).card == source.card
    for name in ("prior.safetensors", "example.png"):
        (model / name).unlink()
    card = (bare(model) / "model.toml").rename(tmp_path / "faces.toml")  # perhaps beside cars.toml
    assert add_prior(card, tmp_path / "data").name == "faces-prior.safetensors"
    tmp_path = tmp_path / "more"
    tmp_path.mkdir()
    card = bare(tmp_path / "tiny") / "model.toml"
    before = card.read_bytes()
    with pytest.raises(RefusedError, match=r"8×8 pixels in colour and do not fit .* in grey"):
        add_prior(card, data(tmp_path / "data", channels=3))
    with pytest.raises(RefusedError, match="not there"):
        add_prior(card, tmp_path / "nowhere")
    assert card.read_bytes() == before
    assert not card.with_name("prior.safetensors").exists()
    tmp_path = tmp_path / "more"
    known = card_of(write_model(tmp_path / "tiny"))
    folder = data(tmp_path / "data")
    wanted = make_prior(read_images(folder), known, 3)
    for number in set(range(1, 6)) - set(draw_places(6, 3)):  # the first is the example
        (folder / f"{number}.png").write_bytes(b"not opened")
    monkeypatch.setattr(priors, "PRIOR_IMAGES", 3)
    assert torch.equal(prior_and_example(known, folder)[0].coefficients, wanted.coefficients)


NATURAL = sorted(set(presets()) - {"mnist", "mnist-small"})


def test_priors_of_presets() -> None:
    """Each preset's prior fits it and is small; all but MNIST's say so, and their colours."""
    assert [name for name in presets() if is_approximate(preset(name))] == NATURAL
    for name in presets():
        card = measured(preset(name))
        assert not is_approximate(card)
        assert len(card.known_faults) == len(preset(name).known_faults) - (name in NATURAL)
        assert card.digest == preset(name).digest
    for name in presets():
        card = preset(name)
        prior = read_prior(preset_prior(name), card)
        states = prior.states(range(len(prior)))
        assert states.shape == (256, *card.shape)
        assert 0 <= float(states.min()) < float(states.max()) <= 1
        assert preset_prior(name).stat().st_size < 30_000
    for name in NATURAL:
        card = preset(name)
        means = read_prior(preset_prior(name), card).states(range(256)).mean((2, 3))
        (fault,) = (fault for fault in card.known_faults if fault.startswith(APPROXIMATE))
        told = fault.partition("mean RGB ")[2].split(",")[:3]
        assert means.mean(0).tolist() == pytest.approx([float(value) for value in told], abs=0.02)
        assert 0.1 < float(means.std(0).mean()) < 0.15
        assert float(means.T.corrcoef().min()) > 0.85
