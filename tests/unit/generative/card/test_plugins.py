"""A kind of process from another package: one class, and an entry point."""

from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from sitegen.core.errors import ConfigError
from sitegen.generative.card import kinds
from sitegen.generative.card.abilities import DETERMINISTIC
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.parts import Positive, card_kind, table
from sitegen.generative.process.base import Draw, FromNoise, Moved
from sitegen.ihdm import reverse_process
from tests.support.making import model_of

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


@table
class PullConfig:
    """Share of the way to the predicted image in a step."""

    strength: Positive = 1.0


@card_kind
class Pull(FromNoise):
    """States move towards the image that the network predicts."""

    kind: Literal["pull"] = "pull"
    pull: PullConfig = PullConfig()

    label, abilities = "Pull", DETERMINISTIC - {"tree"}

    def predict(self, model: Any, x: Tensor, level: Any, *_: Any) -> Tensor:
        """Return the predicted images; the network receives the level."""
        answer: Tensor = model.network(x, model.levels_of(x, level).expand(len(x)))
        return answer

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Return the states below."""
        image = model(x, level)
        state = x + self.pull.strength * (image - x) if below else image
        return Moved(state, state, lambda: image)


class EntryPoint:
    """An entry point as `importlib.metadata` returns it."""

    name = "pull"

    def load(self) -> type[ModelCard]:
        """Import the class."""
        return Pull


def test_a_package_adds_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cards are read and written, and its process runs, by its class alone."""
    monkeypatch.setattr(kinds, "entry_points", lambda group: [EntryPoint()])
    card = ModelCard.from_toml(CARD)
    assert isinstance(card, Pull)
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
        ModelCard.from_toml(CARD.replace('"pull"', '"pul"'))


def test_what_is_no_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler class that a package brings is not the kind of a card."""

    class Sampler(EntryPoint):
        name = "own"

        def load(self) -> Any:
            """Import a class that is not a card."""
            return int

    monkeypatch.setattr(kinds, "entry_points", lambda group: [Sampler()])
    with pytest.raises(ConfigError, match='kind = "own": is a sampler, not a kind of card'):
        ModelCard.from_toml(CARD.replace('"pull"', '"own"'))
