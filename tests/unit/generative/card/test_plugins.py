"""A kind of process from another package: one class of the manual, and an entry point."""

import re
import types
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from sitegen.core.errors import ConfigError
from sitegen.generative.card import kinds
from sitegen.generative.card.card import ModelCard
from sitegen.ihdm import reverse_process
from tests.support.making import model_of
from tests.support.paths import ROOT

CARD = """image_size = 8
channels = 1
levels = 4
kind = "pull"

[pull]
strength = 0.5

[unet]
model_channels = 32
channel_mult = [1]
num_res_blocks = 1
"""


PAGE = (ROOT / "docs/pages/extend.md").read_text(encoding="utf-8")
CODE = re.search(r"^`sitegen_pull.py`:\n\n```python\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def pull(monkeypatch: pytest.MonkeyPatch) -> type[ModelCard]:
    """The process of the manual, as a package brings it."""
    assert CODE is not None
    module = types.ModuleType("sitegen_pull")
    exec(CODE[1], module.__dict__)
    made: type[ModelCard] = module.Pull
    monkeypatch.setattr(kinds, "entry_points", lambda group: [EntryPoint("pull", made)])
    return made


@dataclass(frozen=True)
class EntryPoint:
    """An entry point as `importlib.metadata` returns it."""

    name: str
    made: object

    def load(self) -> object:
        """Import the object."""
        return self.made


def test_a_package_adds_a_kind(pull: type[ModelCard]) -> None:
    """Its cards are read and written, and its process runs, by its class alone."""
    card: Any = ModelCard.from_toml(CARD)
    assert card.__class__.__name__ == pull.__name__
    assert card.pull.strength == 0.5
    assert ModelCard.from_toml(card.to_toml()) == card
    assert card.axis.values == (0, 1, 2, 3, 4)
    model = model_of(card)
    *_, last = reverse_process(model, card.start(model, 0, [0, 1]), None)
    assert last.mean.shape == (2, 1, 8, 8)
    assert not torch.equal(last.mean[0], last.mean[1])
    with pytest.raises(ConfigError, match=r"model\.toml:7: pull\.strength = -1"):
        ModelCard.from_toml(CARD.replace("0.5", "-1"))
    with pytest.raises(ConfigError, match='kind = "pul": unknown kind, did you mean "pull"'):
        ModelCard.from_toml(CARD.replace('kind = "pull"', 'kind = "pul"'))


def test_what_is_no_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler class that a package brings is not the kind of a card."""
    monkeypatch.setattr(kinds, "entry_points", lambda group: [EntryPoint("own", int)])
    with pytest.raises(ConfigError, match='kind = "own": is a sampler, not a kind of card'):
        ModelCard.from_toml(CARD.replace('kind = "pull"', 'kind = "own"'))
