"""Networks for bands of levels: what they see and answer, alone, in a model, and in a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sitegen.core.errors import RefusedError
from sitegen.generative.card.card import FileRef, ModelCard
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.weights import prefixes, save_weights
from sitegen.generative.process.model import Model
from tests.support.lessons import (
    cascade,
    dct,
    kept,
    model,
    preconditioned,
)
from tests.support.making import load_heat, random_unet

LEVELS = torch.tensor([1, 4, 5, 8])


def states(count: int, channels: int = 1) -> Tensor:
    """Some states."""
    return torch.rand(count, channels, 8, 8, generator=torch.Generator().manual_seed(3))


def test_jumps() -> None:
    """The mean at a level j below is that of k − 1 sharpened, A_j û_0; others cannot jump so."""
    made, u = cascade(), states(4)
    for level in (8, 4, 2):
        sharp = dct(made(u, level, 0).double().numpy())
        for below in range(level):
            found = dct(made(u, level, below).double().numpy())
            assert np.abs(found - kept(made.card, below) * sharp).max() < 1e-5
        assert torch.equal(made(u, level), made(u, level, level - 1))
    for level, below in ((3, 3), (3, 5), (3, -1)):
        with pytest.raises(ValueError, match=f"no way from level {level} to {below}"):
            made(u, level, below)
    plain = replace(preconditioned(), parameterization="difference")
    slow = Model(plain, [random_unet(plain)])
    assert torch.equal(slow(u, 4, 3), slow(u, 4))
    with pytest.raises(ValueError, match="only a preconditioned model can jump"):
        slow(u, 4, 2)


def stored(both: Model, folder: Path) -> tuple[Path, Any]:
    """The weights of a model in a file, and the card that pins them."""
    path, known = folder / "weights.safetensors", both.card
    assert both.statistics is not None
    weights = both.statistics.tensors()
    for prefix, network in zip(prefixes(known), both.networks, strict=True):
        weights |= {prefix + name: value for name, value in network.state_dict().items()}
    digest = save_weights(path, weights, torch.float32, known)
    return path, replace(known, weights=FileRef(path.name, digest))


@pytest.mark.parametrize("made", [model, cascade])
def test_file(made: Any, tmp_path: Path) -> None:
    """Saved and loaded it answers the same, and is inspected; card and file must match."""
    both = made()
    path, known = stored(both, tmp_path)
    again = ModelCard.from_toml(known.to_toml())
    assert again == known
    assert torch.equal(load_heat(path, again)(states(4), LEVELS), both(states(4), LEVELS))
    info = inspect_checkpoint(path)
    assert info.bands == len(both.networks)
    assert f"a cascade of {info.bands} networks" in info.to_text()
    assert info.parameters == sum(value.numel() for value in both.networks.state_dict().values())
    with pytest.raises(RefusedError, match="its card must have bands = "):
        load_heat(path, replace(preconditioned(), weights=known.weights))


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("lowest_level = 5", "lowest_level = 6"),
        ("side = 3", "side = 2"),
        ("side = 3\n", ""),
        ("width = 32", "width = 16"),
        ("channels = 32", "channels = 64"),
    ],
)
def test_the_card_must_describe_the_networks(line: str, changed: str, tmp_path: Path) -> None:
    """A card that contradicts the bands in the file is refused with these."""
    path, known = stored(cascade(), tmp_path)
    text = known.to_toml()
    assert line in text
    wrong = ModelCard.from_toml(text.replace(line, changed, 1), "m.toml")
    with pytest.raises(RefusedError, match=r'its card must have bands = \[\{.*"side":3'):
        load_heat(path, wrong)
