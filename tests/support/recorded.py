"""What the tests of the model share: one thread, the recorded checkpoint and its outputs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sitegen.ihdm.card.card import ModelCard
from sitegen.ihdm.process.model import Model
from tests.support import making


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors are quicker on one thread, and other work may be going on."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(reference: Path) -> Path:
    """The recorded checkpoint."""
    return reference / "tiny/checkpoint.pth"


@pytest.fixture(scope="session")
def tiny_card(reference: Path) -> ModelCard:
    """Its card."""
    return making.tiny_card(reference)


@pytest.fixture(scope="session")
def tiny_model(tiny: Path, tiny_card: ModelCard) -> Model:
    """The model in it."""
    return making.load_heat(tiny, tiny_card)


@pytest.fixture(scope="session")
def expected(reference: Path) -> dict[str, Tensor]:
    """What the paper's own code computed with it."""
    return making.expected(reference)


@pytest.fixture
def card() -> ModelCard:
    """The smallest network."""
    return making.small_card()


@pytest.fixture
def good(card: ModelCard, tmp_path: Path) -> Path:
    """A checkpoint of it, in order."""
    return making.save(making.published(card), tmp_path / "good.pth")
