"""A model of the smallest size with made-up weights and prior, for tests that run the network."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save

from sitegen.core.files import digest
from sitegen.generative.card.card import FileRef, ModelCard
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.weights import prefixes, save_weights
from sitegen.generative.data.prior import PRIOR_NAME, make_prior
from tests.support.lessons import cascade
from tests.support.making import random_unet, small_card

WEIGHTS_NAME = "weights.safetensors"
LEVELS = 4


def on_one_thread() -> Iterator[None]:
    """Fixture: small tensors are quicker on one thread, above all while other work goes on."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pictures(count: int, size: int = 8, channels: int = 1) -> NDArray[np.uint8]:
    """Images (N, C, H, W) of bright blots on black."""
    generator = np.random.default_rng(0)
    images = np.zeros((count, channels, size, size), np.uint8)
    for image in images:
        top, left = generator.integers(0, size // 2, 2)
        image[:, top : top + size // 2, left : left + size // 2] = generator.integers(100, 256)
    return images


def write_model(folder: Path, *, pinned: bool = True, spoil: float = 0.0, **changes: Any) -> Path:
    """Write a model's folder; `changes` go to its card.

    pinned: whether the card has the digests
    spoil: the last bias of the network, which makes it diverge when it is large
    """
    folder.mkdir(parents=True, exist_ok=True)
    card = small_card(**{"levels": LEVELS, **changes})
    tensors = {name: tensor.clone() for name, tensor in random_unet(card).state_dict().items()}
    tensors[list(tensors)[-1]] += spoil
    weights = _save(folder / WEIGHTS_NAME, tensors)
    images = pictures(20, card.image_size, card.channels)
    prior = make_prior(images, card, 20, "blots").write(folder / PRIOR_NAME)
    card = replace(
        card,
        weights=FileRef(WEIGHTS_NAME, weights if pinned else None),
        prior=FileRef(PRIOR_NAME, prior if pinned else None),
    )
    (folder / "model.toml").write_text(card.to_toml())
    return folder


def write_cascade(folder: Path) -> Path:
    """Write the folder of `lessons.cascade`."""
    folder.mkdir(parents=True, exist_ok=True)
    model = cascade()
    assert model.statistics is not None
    tensors = model.statistics.tensors()
    for prefix, network in zip(prefixes(model.card), model.networks, strict=True):
        tensors |= {prefix + name: value for name, value in network.state_dict().items()}
    weights = save_weights(folder / WEIGHTS_NAME, tensors, torch.float32, model.card)
    prior = make_prior(pictures(20), model.card, 20, "blots").write(folder / PRIOR_NAME)
    files = FileRef(WEIGHTS_NAME, weights), FileRef(PRIOR_NAME, prior)
    card = replace(model.card, weights=files[0], prior=files[1])
    (folder / "model.toml").write_text(card.to_toml())
    return folder


def add_example(folder: Path) -> Path:
    """Give a model of grey images a picture of its own, and name it in its card."""
    card = card_of(folder)
    picture = pictures(21, card.image_size)[20, 0]
    Image.fromarray(picture).save(folder / "example.png")
    card = replace(card, example=FileRef("example.png", digest(folder / "example.png")))
    (folder / "model.toml").write_text(card.to_toml())
    return folder


def write_flow(folder: Path, **changes: Any) -> Path:
    """Write the folder of a flow with the same network; `changes` go to its card."""
    return write_ddpm(folder, **{"kind": "flow", "diffusion": None, **changes})


def write_ddpm(folder: Path, **changes: Any) -> Path:
    """Write the folder of a DDPM with the same network; `changes` go to its card."""
    folder.mkdir(parents=True, exist_ok=True)
    diffusion = {"kind": "ddpm", "diffusion": DiffusionConfig("cosine")}
    values = {"levels": LEVELS, **diffusion, **changes}
    card = small_card(**{key: value for key, value in values.items() if value is not None})
    weights = _save(folder / WEIGHTS_NAME, random_unet(card).state_dict())
    card = replace(card, weights=FileRef(WEIGHTS_NAME, weights))
    (folder / "model.toml").write_text(card.to_toml())
    return folder


def _save(path: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Write weights, also such as our own writer refuses."""
    path.write_bytes(save(dict(tensors)))
    return digest(path)


def card_of(folder: Path) -> Any:
    """The card of a model's folder."""
    return ModelCard.from_toml((folder / "model.toml").read_text())
