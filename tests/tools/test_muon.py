"""Muon gets the matrices and Adam the rest; the steps are those of the published algorithms."""

import pytest
import torch
from torch import Tensor, nn

from recipes.muon import Muon, orthogonalized
from sitegen.models.converting import large_matrices
from tests.support.making import random_unet, small_card

CARD = small_card(channel_mult=(1, 2), attention_levels=(0,))


def test_who_gets_what() -> None:
    """Matrices and kernels go to Muon, but for the ends; zeros are no division by zero."""
    names = large_matrices(named := dict(random_unet(CARD).named_parameters()))
    assert "time_embed.0.weight" in names
    assert "input_blocks.1.0.in_layers.2.weight" in names
    assert "input_blocks.1.1.qkv.weight" in names
    assert "middle_block.0.emb_layers.1.weight" in names
    assert not {"input_blocks.0.0.weight", "out.2.weight"} & names
    assert all(named[name].dim() >= 2 for name in names)
    assert all("bias" not in name for name in names)
    flat = {"a": torch.zeros(15, 64), "b": torch.zeros(64, 15), "c": torch.zeros(16, 4, 2, 2)}
    assert large_matrices(flat) == {"c"}
    assert torch.equal(orthogonalized([torch.zeros(16, 20)])[0], torch.zeros(16, 20))


SHAPES = [(16, 40), (40, 16), (16, 40), (32, 32), (16, 16)]


def matrices(seed: int) -> list[Tensor]:
    """One of each shape."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def both_start() -> list[nn.Parameter]:
    """The same ones for both."""
    return [nn.Parameter(each) for each in matrices(0)]


def torchs(mine: list[nn.Parameter]) -> torch.optim.Muon:
    """The published one with our settings."""
    return torch.optim.Muon(mine, 0.02, 0.0, 0.95, adjust_lr_fn="match_rms_adamw")


def step(optimizer: Muon | torch.optim.Muon, mine: list[nn.Parameter], seed: int) -> None:
    """One step by the gradients of `seed`."""
    for parameter, gradient in zip(mine, matrices(seed), strict=True):
        parameter.grad = gradient
    optimizer.step()


def test_steps_of_torch() -> None:
    """Four steps lead where torch's lead, and what its Muon saved is gone on from."""
    ours, other = both_start(), both_start()
    muon, published = Muon(ours, 0.02, 0.95), torchs(other)
    for seed in range(1, 5):
        step(muon, ours, seed)
        step(published, other, seed)
    for mine, theirs, begun in zip(ours, other, matrices(0), strict=True):
        moved, wanted = mine.detach() - begun, theirs.detach() - begun
        assert float((moved - wanted).norm() / wanted.norm()) < 0.02
    ours, other = both_start(), both_start()
    published = torchs(other)
    step(published, other, 1)
    saved = published.state_dict()
    muon = Muon(ours, 0.02, 0.95)
    muon.load_state_dict(saved)
    assert all(
        torch.equal(kept["momentum_buffer"], saved["state"][place]["momentum_buffer"])
        for place, kept in muon.state_dict()["state"].items()
    )
    saved["state"][1]["momentum_buffer"] = torch.zeros(3, 3)
    with pytest.raises(ValueError, match=r"\(3, 3\), not \(40, 16\)"):
        muon.load_state_dict(saved)
    with pytest.raises(KeyError):
        muon.load_state_dict({"state": {}})
