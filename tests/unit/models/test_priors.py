"""A prior from training images serves as the model's own, and the card is told of it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sitegen.core.errors import RefusedError
from sitegen.ihdm.data.images import read_images
from sitegen.ihdm.data.prior import draw_places, make_prior, read_prior
from sitegen.models import priors
from sitegen.models.priors import add_prior, prior_and_example, prior_from_data
from sitegen.models.registry import model_source
from tests.support.tinymodel import card_of, pictures, write_model


def data(folder: Path, channels: int = 1) -> Path:
    """A folder of training images."""
    folder.mkdir()
    for number, image in enumerate(pictures(6, channels=channels)):
        image[:1] //= 2  # in colour where it can be
        Image.fromarray(np.squeeze(image.transpose(1, 2, 0))).save(folder / f"{number}.png")
    return folder


def bare(folder: Path) -> Path:
    """A model whose card names no prior, and has a comment."""
    write_model(folder)
    card = replace(card_of(folder), prior=None)
    (folder / "model.toml").write_text("# my notes\n" + card.to_toml())
    (folder / "prior.safetensors").unlink()
    return folder


def test_prior_from_data(tmp_path: Path) -> None:
    """All images are in it, blurred to level K."""
    card = card_of(write_model(tmp_path / "tiny"))
    prior = prior_from_data(card, data(tmp_path / "data"))
    assert len(prior) == 6
    assert prior.sigma == card.schedule[card.levels]
    assert prior.initial_states(0, range(4)).shape == (4, 1, 8, 8)


def test_grey_images_for_a_colour_model(tmp_path: Path) -> None:
    """They serve as they are."""
    card = card_of(write_model(tmp_path / "tiny", channels=3))
    states = prior_from_data(card, data(tmp_path / "data")).initial_states(0, [0])
    assert states.shape == (1, 3, 8, 8)
    assert float((states[0, 0] - states[0, 1]).abs().max()) < 1e-6


def test_add_prior(tmp_path: Path) -> None:
    """The file lies beside the card, which pins it and keeps its comments; the model is whole."""
    model = bare(tmp_path / "tiny")
    assert model_source("tiny", model).prior is None
    path, states = add_prior(model / "model.toml", data(tmp_path / "data"))
    assert (path, states) == (model / "prior.safetensors", 6)
    assert (model / "model.toml").read_text().startswith("# my notes\n")
    source = model_source("tiny", model)
    assert source.prior == path
    source.require_usable()
    assert len(read_prior(path, source.card)) == 6
    add_prior(model / "model.toml", tmp_path / "data")  # again changes nothing
    assert model_source("tiny", model).card == source.card


def test_cards_in_one_folder_have_priors_of_their_own(tmp_path: Path) -> None:
    """The prior of `faces.toml` is not called what that of `cars.toml` would be."""
    card = bare(tmp_path / "tiny") / "model.toml"
    card = card.rename(tmp_path / "faces.toml")
    assert add_prior(card, data(tmp_path / "data"))[0].name == "faces-prior.safetensors"


def test_images_that_do_not_fit(tmp_path: Path) -> None:
    """Colour for a grey model is refused, and the card stays as it was."""
    card = bare(tmp_path / "tiny") / "model.toml"
    before = card.read_bytes()
    with pytest.raises(RefusedError, match="do not fit"):
        add_prior(card, data(tmp_path / "data", channels=3))
    with pytest.raises(RefusedError, match="not there"):
        add_prior(card, tmp_path / "nowhere")
    assert card.read_bytes() == before
    assert not card.with_name("prior.safetensors").exists()


def test_only_what_a_bank_keeps_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bank is the one of all images, though most of a large folder is never opened."""
    card = card_of(write_model(tmp_path / "tiny"))
    folder = data(tmp_path / "data")
    wanted = make_prior(read_images(folder), card, 3)
    for number in set(range(1, 6)) - set(draw_places(6, 3)):  # the first is the example
        (folder / f"{number}.png").write_bytes(b"not opened")
    monkeypatch.setattr(priors, "COUNT", 3)
    assert torch.equal(prior_from_data(card, folder).coefficients, wanted.coefficients)


def test_example(tmp_path: Path) -> None:
    """The first of the images, at the size of the model's and in its colours."""
    card = card_of(write_model(tmp_path / "tiny", channels=3))
    folder = data(tmp_path / "data")
    _, png = prior_and_example(card, folder)
    with Image.open(io.BytesIO(png)) as shown, Image.open(folder / "0.png") as given:
        assert (shown.mode, shown.size) == ("RGB", (8, 8))
        assert np.array_equal(np.asarray(shown)[..., 0], np.asarray(given))
