"""The U-Net `image_v1` of k-diffusion, with the same names and shapes of parameters.

The level enters through the scale and the shift of every group norm (AdaGN). Images are halved and
doubled by a fixed kernel, (1, 3, 3, 1) / 8 in each direction, with mirrored edges.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitegen.generative.card.networks import KDiffusionConfig

GROUP, HEAD = 32, 64
"""Channels of a group of a norm, and of a head of an attention."""


class ImageUnet(nn.Module):
    """(N, C, H, W) float32 and ln(σ) / 4 of each image (N,) → (N, C, H, W)."""

    def __init__(self, config: KDiffusionConfig) -> None:
        super().__init__()
        self.patch, width, channels = config.patch_size, config.mapping_out, config.channels
        inner = config.input_channels * self.patch**2
        self.timestep_embed = _Fourier(width)
        layers = (layer for _ in range(2) for layer in (nn.Linear(width, width), nn.GELU()))
        self.mapping = nn.Sequential(*layers)
        self.proj_in = nn.Conv2d(inner, channels[0], 1)
        self.proj_out = nn.Conv2d(channels[0], inner, 1)
        downs, ups = [], []
        for stage, (outer, own) in enumerate(pairwise((channels[0], *channels))):
            depth, attends = config.depths[stage], config.self_attn_depths[stage]
            deepest = stage == len(channels) - 1
            down: list[nn.Module] = [_Resampling(up=False) if stage else nn.Identity()]
            up: list[nn.Module] = []
            for at in range(depth):
                first, last = at == 0, at == depth - 1
                entering, leaving = outer if first else own, outer if last else own
                returning = own * 2 if first and not deepest else own
                down += _layers(entering, own, own, width, attends)
                up += _layers(returning, own, leaving, width, attends)
            downs.append(nn.ModuleList(down))
            ups.append(nn.ModuleList([*up, _Resampling(up=True) if stage else nn.Identity()]))
        # With the names of the parameters: u_net.d_blocks.0.1.main.0.mapper.weight.
        self.u_net = nn.Module()
        self.u_net.d_blocks = nn.ModuleList(downs)
        self.u_net.u_blocks = nn.ModuleList(reversed(ups))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return the network's output for states and noise levels."""
        downs: Any = self.u_net.d_blocks
        ups: Any = self.u_net.u_blocks
        level = self.mapping(self.timestep_embed(noise))
        x = self.proj_in(F.pixel_unshuffle(x, self.patch))
        skips: list[Tensor] = []
        for block in downs:
            x = _through(block, x, level)
            skips.append(x)
        x = _through(ups[0], x, level)
        for block, skip in zip(ups[1:], skips[-2::-1], strict=True):
            x = _through(block, torch.cat([x, skip], 1), level)
        return F.pixel_shuffle(self.proj_out(x), self.patch)


def _layers(channels: int, middle: int, out: int, width: int, attends: bool) -> list[nn.Module]:
    """Return a residual block, with the attention that follows it if there is one."""
    block = _ResBlock(channels, middle, out, width)
    return [block, _Attention(out, width)] if attends else [block]


def _through(block: nn.Module, x: Tensor, level: Tensor) -> Tensor:
    for layer in block.children():
        x = layer(x, level) if isinstance(layer, _ResBlock | _Attention) else layer(x)
    return x


class _Fourier(nn.Module):
    """Cosines and sines (N, width) of numbers (N,), by stored frequencies."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(width // 2, 1))
        self.weight: Tensor

    def forward(self, x: Tensor) -> Tensor:
        phases = 2 * math.pi * x[:, None] @ self.weight.T
        return torch.cat([phases.cos(), phases.sin()], 1)


class _Norm(nn.Module):
    """Group norm whose scale and shift are a linear map of the level's embedding."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.groups = max(1, channels // GROUP)
        self.mapper = nn.Linear(width, 2 * channels)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.mapper(level)[:, :, None, None].chunk(2, 1)
        normed: Tensor = F.group_norm(x, self.groups) * (scale + 1) + shift
        return normed


class _ResBlock(nn.Module):
    """Two convolutions after norms, and a skip connection."""

    def __init__(self, channels: int, middle: int, out: int, width: int) -> None:
        super().__init__()
        # The positions in `main` are in the parameters' names; dropout has none.
        self.main = nn.ModuleDict(
            {
                "0": _Norm(channels, width),
                "2": nn.Conv2d(channels, middle, 3, padding=1),
                "4": _Norm(middle, width),
                "6": nn.Conv2d(middle, out, 3, padding=1),
            }
        )
        same = channels == out
        self.skip = nn.Identity() if same else nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        h = self.main["2"](F.gelu(self.main["0"](x, level)))
        answer: Tensor = self.main["6"](F.gelu(self.main["4"](h, level))) + self.skip(x)
        return answer


class _Attention(nn.Module):
    """Self-attention over the pixels, added to its input."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD)
        self.norm_in = _Norm(channels, width)
        self.qkv_proj = nn.Conv2d(channels, 3 * channels, 1)
        self.out_proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        count, _, height, side = x.shape
        projected = self.qkv_proj(self.norm_in(x, level))
        qkv = projected.view(count, 3, self.heads, -1, height * side).transpose(-1, -2)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(1))
        answer: Tensor = x + self.out_proj(mixed.transpose(-1, -2).reshape(x.shape))
        return answer


class _Resampling(nn.Module):
    """Halving or doubling of each channel with the stored kernel (4, 4)."""

    def __init__(self, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.register_buffer("kernel", torch.zeros(4, 4))
        self.kernel: Tensor

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernels = self.kernel.expand(channels, 1, 4, 4)
        x = F.pad(x, (1, 1, 1, 1), "reflect")
        if self.up:
            return F.conv_transpose2d(x, kernels, stride=2, padding=3, groups=channels)
        return F.conv2d(x, kernels, stride=2, groups=channels)
