"""The U-Net is the published one: names, shapes, order, and what it computes, odd options too."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitegen.generative.card.card import preset, presets
from sitegen.generative.card.networks import GROUPS, UNetConfig
from sitegen.generative.networks.unet import (
    AttentionBlock,
    Downsample,
    GroupNorm,
    UNet,
    Upsample,
)
from sitegen.generative.process.model import Model
from tests.support.making import closeness, random_unet, small_card

_ODD: list[dict[str, Any]] = [
    {"attention_levels": (0,), "num_heads": 4},
    {"attention_levels": (0, 1), "channel_mult": (1, 2), "num_head_channels": 16},
    {"attention_levels": (0,), "num_heads": 2, "use_new_attention_order": False},
    {"channel_mult": (1, 2), "resblock_updown": True},
    {"channel_mult": (2, 1), "use_scale_shift_norm": True, "channels": 3},
    {"channel_mult": (1, 1, 2), "conv_resample": False, "image_size": 20},
    {"channel_mult": (1, 1), "resblock_updown": True, "use_scale_shift_norm": True},
    {"channel_mult": (1, 2), "image_size": 6, "num_res_blocks": 2},
    {"channel_mult": (1, 2, 2, 1), "image_size": 24, "channels": 3, "attention_levels": (3,)},
    {"channel_mult": (1, 2), "norm_groups": 8},
    {"channel_mult": (1, 2), "patch_size": 2, "channels": 3, "attention_levels": (1,)},
    {"channel_mult": (1,), "patch_size": 4, "norm_groups": 4},
    {"model_channels": 12, "channel_mult": (1, 2), "norm_groups": 1, "attention_levels": (0,)},
]


@pytest.mark.parametrize("name", presets())
def test_presets_build_the_published_network(name: str, reference: Path) -> None:
    """Names, shapes and their order, and the number of parameters; on the meta device."""
    wanted = json.loads((reference / "official_models.json").read_text())[name]
    card = preset(name)
    with torch.device("meta"):
        unet = UNet(card.finest, card.channels)
    found = [[key, list(value.shape)] for key, value in unet.state_dict().items()]
    assert found == wanted["state_dict"]
    assert sum(parameter.numel() for parameter in unet.parameters()) == wanted["parameters"]
    assert [key for key, _ in unet.named_parameters()] == [key for key, _ in found]


def test_recorded_output(tiny_model: Model, expected: dict[str, Tensor]) -> None:
    """f(x, k) and x + f(x, k) in both layouts; pooling averages; untrained it answers 0."""
    with torch.no_grad():
        raw = tiny_model.network(expected["x"], expected["k"])
        mean = tiny_model(expected["x"], expected["k"])
    assert closeness(raw, expected["y"]) < 1e-5
    assert closeness(mean, expected["x"] + expected["y"]) < 1e-5
    x, level = expected["x"], expected["k"]
    with torch.no_grad():
        plain = tiny_model.unet(x, level)
        turned = tiny_model.unet(x.to(memory_format=torch.channels_last), level)
    assert closeness(turned, plain) < 1e-5
    unet = random_unet(small_card(channel_mult=(1, 1), conv_resample=False))
    x = torch.rand(1, 32, 4, 4)
    down = next(layer for layer in unet.input_blocks.modules() if isinstance(layer, Downsample))
    up = next(layer for layer in unet.output_blocks.modules() if isinstance(layer, Upsample))
    assert torch.equal(down(x), F.avg_pool2d(x, 2))
    assert torch.equal(up(x), x.repeat_interleave(2, -1).repeat_interleave(2, -2))
    card = small_card()
    unet = UNet(card.finest, card.channels).eval()
    assert not unet(torch.rand(1, *card.shape), torch.tensor([1])).any()


@pytest.mark.parametrize("options", _ODD, ids=str)
def test_odd_options(options: dict[str, Any]) -> None:
    """They build, keep the shape, and a batch is the same as one by one."""
    card = small_card(**options)
    unet = random_unet(card)
    x, level = torch.rand(3, *card.shape), torch.tensor([1, 4, 8])
    answer = unet(x, level)
    assert answer.shape == x.shape
    assert bool(answer.isfinite().all())
    alone = torch.cat([unet(x[i : i + 1], level[i : i + 1]) for i in range(3)])
    assert closeness(alone, answer) < 1e-5


def _attend(block: AttentionBlock, x: Tensor, config: UNetConfig) -> Tensor:
    """What the block should compute, written out head by head."""
    count, channels, height, width = x.shape
    qkv = block.qkv(block.norm(x.flatten(2)))
    heads = config.heads(channels)
    size = channels // heads
    parts = []
    for head in range(heads):
        if config.use_new_attention_order:
            starts = [part * channels + head * size for part in range(3)]
        else:
            starts = [(3 * head + part) * size for part in range(3)]
        q, k, v = (qkv[:, start : start + size] for start in starts)
        weight = torch.softmax(torch.einsum("nct,ncs->nts", q, k) / size**0.5, dim=-1)
        parts.append(torch.einsum("nts,ncs->nct", weight, v))
    answer: Tensor = block.proj_out(torch.cat(parts, dim=1))
    return x + answer.view(count, channels, height, width)


@pytest.mark.parametrize("new_order", [True, False])
@pytest.mark.parametrize("heads", [{"num_heads": 1}, {"num_heads": 4}, {"num_head_channels": 8}])
def test_attention(heads: dict[str, Any], new_order: bool) -> None:
    """Both orders of the published network, with one head, several, and heads of fixed width."""
    config = UNetConfig(32, (1,), 1, use_new_attention_order=new_order, **heads)
    block = AttentionBlock(config, 32).requires_grad_(False)
    nn.init.normal_(next(block.proj_out.parameters()))
    x = torch.randn(2, 32, 5, 3)
    assert closeness(block(x, torch.zeros(0)), _attend(block, x, config)) < 1e-5


def test_attention_is_the_fused_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one call of the operator that GPUs have fused kernels for; no weights are laid out."""
    calls: list[tuple[int, ...]] = []
    fused = F.scaled_dot_product_attention

    def counted(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        calls.append(tuple(query.shape))
        return fused(query, key, value)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    card = small_card(attention_levels=(0,), num_heads=4)
    with torch.no_grad():
        random_unet(card)(torch.zeros(2, 1, 8, 8), torch.ones(2))
    assert calls
    assert {*calls} == {(2, 4, 64, 8)}


@pytest.mark.parametrize("at_a_time", [1, 2, 5])
@pytest.mark.parametrize(
    ("channels", "groups"), [(GROUPS, GROUPS), (3 * GROUPS, GROUPS), (32, 8), (6, 1)]
)
def test_gradients_in_channels_last(
    channels: int, groups: int, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Group norm has the answer and the gradients there that torch has in double precision.

    However few images it takes at a time, and without a change to what it is given.
    """
    monkeypatch.setattr("sitegen.generative.networks.unet.AT_A_TIME", at_a_time * channels * 30)
    torch.manual_seed(0)
    norm = GroupNorm(groups, channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = (torch.randn(5, channels, 6, 5) + 0.5).requires_grad_()
    leaves, above = (x, norm.weight, norm.bias), torch.randn(x.shape)
    exact = F.group_norm(x.double(), groups, norm.weight.double(), norm.bias.double(), norm.eps)
    given = x.to(memory_format=torch.channels_last)
    turned = norm(given)
    assert turned.is_contiguous(memory_format=torch.channels_last)
    assert closeness(turned.detach(), exact.detach()) < 1e-5
    wanted = torch.autograd.grad(exact, leaves, above.double())
    for found, gradient in zip(torch.autograd.grad(turned, leaves, above), wanted, strict=True):
        assert closeness(found, gradient) < 1e-5
    assert torch.equal(given, x)
