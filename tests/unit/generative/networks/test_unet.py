"""The U-Net is the published one: names, shapes, order, and what it computes, odd options too."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitegen.generative.card.card import preset, presets
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.networks.unet import (
    AttentionBlock,
    Downsample,
    UNet,
    Upsample,
)
from sitegen.generative.process.model import Model
from tests.support.making import closeness, random_unet, small_card


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
