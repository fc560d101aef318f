"""Our Muon takes the steps of torch's, whatever the shapes, and goes on from what torch saved."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sitegen.ihdm.training.muon import Muon, orthogonalized

SHAPES = [(16, 40), (40, 16), (16, 40), (32, 32), (16, 16)]


def matrices(seed: int) -> list[Tensor]:
    """One of each shape."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def parameters() -> list[nn.Parameter]:
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
    """Four steps lead where torch's lead, within what its bfloat16 leaves."""
    ours, other = parameters(), parameters()
    muon, published = Muon(ours, 0.02, 0.95), torchs(other)
    for seed in range(1, 5):
        step(muon, ours, seed)
        step(published, other, seed)
    for mine, theirs, begun in zip(ours, other, matrices(0), strict=True):
        moved, wanted = mine.detach() - begun, theirs.detach() - begun
        assert float((moved - wanted).norm() / wanted.norm()) < 0.02


@pytest.mark.parametrize("place", range(len(SHAPES)))
def test_nearly_orthogonal(place: int) -> None:
    """Directions are those of the matrix, and all singular values near 1, whatever its size."""
    for size in (1e-4, 1.0, 1e4):
        given = matrices(9)
        given[place] *= size
        answer = orthogonalized(given)[place]
        left, _, right = torch.linalg.svd(given[place], full_matrices=False)
        turned = left.T @ answer @ right.T
        off = turned - torch.diag(turned.diagonal())
        assert float(off.abs().max()) < 1e-3
        values = turned.diagonal()[:-2]  # the smallest may need more iterations
        assert float(values.min()) > 0.5
        assert float(values.max()) < 1.3


def test_nothing_moves_nothing() -> None:
    """A gradient of zeros is no division by zero."""
    assert torch.equal(orthogonalized([torch.zeros(16, 20)])[0], torch.zeros(16, 20))


def test_goes_on_from_torch() -> None:
    """What `torch.optim.Muon` saved is what this one goes on from; another shape is refused."""
    ours, other = parameters(), parameters()
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
