"""What the tests of the model share: one thread, the recorded checkpoint and its outputs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sitegen.generative.card.card import BlurRange, ModelCard
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.process.model import Model
from tests.support import making
from tests.support.tinymodel import on_one_thread

one_thread = pytest.fixture(scope="session", autouse=True)(on_one_thread)


@pytest.fixture(scope="session")
def tiny(reference: Path) -> Path:
    """The recorded checkpoint."""
    return reference / "tiny/checkpoint.pth"


@pytest.fixture(scope="session")
def tiny_card(reference: Path) -> ModelCard:
    """Its card."""
    config = json.loads((reference / "tiny/config.json").read_text())
    names = ("K", "image_size", "num_channels", "blur_sigma_min", "blur_sigma_max")
    levels, size, channels, low, high = (config[name] for name in names)
    unet = {key: config[key] for key in UNetConfig.__dataclass_fields__.keys() & config.keys()}
    return ModelCard(size, channels, levels, UNetConfig(**unet), blur=BlurRange(low, high))


@pytest.fixture(scope="session")
def tiny_model(tiny: Path, tiny_card: ModelCard) -> Model:
    """The model in it."""
    return making.load_heat(tiny, tiny_card)


@pytest.fixture(scope="session")
def expected(reference: Path) -> dict[str, Tensor]:
    """What the paper's own code computed with it."""
    with np.load(reference / "tiny/expected.npz") as arrays:
        return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays}


@pytest.fixture
def card() -> Any:
    """The smallest network."""
    smallest: ModelCard = making.small_card()
    return smallest


@pytest.fixture
def good(card: ModelCard, tmp_path: Path) -> Path:
    """A checkpoint of it, in order."""
    return making.save(making.published(card), tmp_path / "good.pth")
