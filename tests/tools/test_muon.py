"""Muon gets the matrices and Adam the rest; the steps are those of the published algorithms."""

import pytest
import torch
from torch import Tensor, nn

from recipes.muon import Muon, Optimizers, RecipeOptions, orthogonalized
from sitegen.models.converting import large_matrices
from tests.support.making import random_unet, small_card

OPTIONS = RecipeOptions(
    images=1000,
    batch_size=10,
    optimizer="muon",
    learning_rate=0.5,
    muon_learning_rate=0.25,
    warmup_steps=10,
)
CARD = small_card(channel_mult=(1, 2), attention_levels=(0,))


def parameters(layout: torch.memory_format = torch.contiguous_format) -> dict[str, nn.Parameter]:
    """Those of a network with attention, each with a gradient."""
    unet = random_unet(CARD).requires_grad_(True).to(memory_format=layout)  # type: ignore[call-overload, unused-ignore]
    named = dict(unet.named_parameters())
    generator = torch.Generator().manual_seed(1)
    for value in named.values():
        value.grad = torch.empty_like(value).copy_(torch.randn(value.shape, generator=generator))
    return named


def orthogonal(matrix: Tensor) -> Tensor:
    """U Vᵀ of U S Vᵀ: what Muon's iteration approximates."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    product: Tensor = left @ right
    return product


def test_who_gets_what() -> None:
    """Matrices and kernels go to Muon, but for the ends; zeros are no division by zero."""
    named = parameters()
    names = large_matrices(named)
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


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_first_step_by_hand(layout: torch.memory_format) -> None:
    """Muon's first step is nearly orthogonal, and as large as Adam's; Adam's is its rate."""
    named = parameters(layout)
    before = {name: value.detach().clone() for name, value in named.items()}
    Optimizers(named, OPTIONS).step(4)
    for name, value in named.items():
        moved, gradient = before[name] - value.detach(), value.grad
        assert gradient is not None
        if name not in large_matrices(named):
            assert torch.allclose(moved, 0.25 * gradient.sign(), rtol=1e-3), name
            continue
        moved, wanted = moved.flatten(1), orthogonal(gradient.flatten(1))
        largest = 0.125 * 0.2 * max(moved.shape) ** 0.5
        alike = float((moved * wanted).sum() / (moved.norm() * wanted.norm()))
        assert alike > 0.96, name
        assert 0.6 < float(torch.linalg.matrix_norm(moved, 2)) / largest < 1.3, name


def test_layouts_agree() -> None:
    """Alike in both layouts, Adam alone without Muon, and a saved state goes on."""
    usual, other = parameters(), parameters(torch.channels_last)
    for named in (usual, other):
        Optimizers(named, OPTIONS).step(0)
    for name, value in usual.items():
        assert torch.allclose(value, other[name], atol=2e-3), name
    plainly, same = parameters(), parameters()
    Optimizers(plainly, RecipeOptions(warmup_steps=10)).step(3)
    plain = torch.optim.Adam(same.values(), 4e-4, foreach=False)
    plain.step()
    assert all(torch.allclose(value, same[name]) for name, value in plainly.items())
    whole, parts = parameters(), parameters()
    optimizers = Optimizers(whole, OPTIONS)
    optimizers.step(0)
    before = Optimizers(parts, OPTIONS)
    before.step(0)
    state = before.state()
    assert state.keys() == {"optimizer", "muon"}
    after = Optimizers(parts, OPTIONS)
    after.restore(state)
    optimizers.step(1)
    after.step(1)
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    with pytest.raises(KeyError):
        after.restore({"optimizer": state["optimizer"]})


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
