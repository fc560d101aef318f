"""The U-Net of denoising-diffusion-pytorch, with the same names and shapes of parameters.

Two residual blocks and one attention follow each other at each size, on the way down and up. The
attention of most sizes is linear (Shen et al. 2021): its memory does not grow with the square of
the pixels. All attention has a few learned keys and values in addition to those of the pixels.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitegen.generative.card.networks import LucidrainsConfig


class Unet(nn.Module):
    """(N, C, H, W) float32 and timesteps (N,) → (N, C, H, W)."""

    def __init__(self, config: LucidrainsConfig) -> None:
        super().__init__()
        widths = [config.init_dim, *(config.dim * factor for factor in config.dim_mults)]
        width, learned, last = 4 * config.dim, config.learned_sinusoidal_dim, len(widths) - 2
        self.init_conv = nn.Conv2d(config.channels, widths[0], 7, padding=3)
        self.time_mlp = nn.Sequential(
            _Timesteps(learned or config.dim, None if learned else config.sinusoidal_pos_emb_theta),
            nn.Linear(learned + 1 if learned else config.dim, width),
            nn.GELU(),
            nn.Linear(width, width),
        )
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        block = partial(_ResBlock, width=width, groups=config.resnet_block_groups)
        for stage, (fine, coarse) in enumerate(pairwise(widths)):
            down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * fine, coarse, 1))
            same, up = (nn.Conv2d(*ends, 3, padding=1) for ends in ((fine, coarse), (coarse, fine)))
            enter = [block(fine, fine) for _ in range(2)]
            leave = [block(coarse + fine, coarse) for _ in range(2)]
            full = config.full_attn[stage]
            enter_attention, leave_attention = (
                _Attention(config, stage, channels, full) for channels in (fine, coarse)
            )
            resample = down if stage < last else same
            self.downs.append(nn.ModuleList([*enter, enter_attention, resample]))
            doubled = nn.Sequential(nn.Upsample(scale_factor=2), up) if stage else up
            self.ups.insert(0, nn.ModuleList([*leave, leave_attention, doubled]))
        self.mid_block1 = block(widths[-1], widths[-1])
        self.mid_attn = _Attention(config, last, widths[-1], True)
        self.mid_block2 = block(widths[-1], widths[-1])
        self.final_res_block = block(2 * widths[0], widths[0])
        self.final_conv = nn.Conv2d(widths[0], config.channels, 1)

    def forward(self, x: Tensor, timesteps: Tensor) -> Tensor:
        """Return the network's output for states and timesteps."""
        downs: Any = self.downs
        ups: Any = self.ups
        embedding = self.time_mlp(timesteps.float())
        first = x = self.init_conv(x)
        skips = []
        for one, two, attention, resample in downs:
            skips.append(x := one(x, embedding))
            x = two(x, embedding)
            skips.append(x := x + attention(x))
            x = resample(x)
        x = self.mid_block1(x, embedding)
        x = self.mid_block2(x + self.mid_attn(x), embedding)
        for one, two, attention, resample in ups:
            x = one(torch.cat([x, skips.pop()], 1), embedding)
            x = two(torch.cat([x, skips.pop()], 1), embedding)
            x = resample(x + attention(x))
        answer: Tensor = self.final_conv(self.final_res_block(torch.cat([x, first], 1), embedding))
        return answer


class _Timesteps(nn.Module):
    """Sines and cosines of timesteps (N,): (N, width), or (N, width + 1) with their own weights.

    With weights the timesteps themselves come first.
    """

    def __init__(self, width: int, theta: float | None) -> None:
        super().__init__()
        self.width, self.theta = width, theta
        if theta is None:
            self.weights = nn.Parameter(torch.zeros(width // 2))

    def forward(self, timesteps: Tensor) -> Tensor:
        if self.theta is None:
            frequencies, first = 2 * math.pi * self.weights, [timesteps[:, None]]
        else:
            exponents = torch.arange(half := self.width // 2, device=timesteps.device) / (half - 1)
            frequencies, first = torch.exp(-math.log(self.theta) * exponents), []
        phases = timesteps[:, None] * frequencies
        return torch.cat([*first, phases.sin(), phases.cos()], 1)


class _RMSNorm(nn.Module):
    """Division by the root mean square over channels, times a factor for each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1) * (self.g * math.sqrt(x.shape[1]))


class _Block(nn.Module):
    def __init__(self, channels: int, out_channels: int, groups: int | None) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm = nn.GroupNorm(groups, out_channels) if groups else _RMSNorm(out_channels)

    def forward(self, x: Tensor, level: tuple[Any, ...] = (0.0, 0.0)) -> Tensor:
        scale, shift = level
        return F.silu(self.norm(self.proj(x)) * (scale + 1) + shift)


class _ResBlock(nn.Module):
    """Two blocks, of which the first gets the timestep, and a skip connection."""

    def __init__(self, channels: int, out_channels: int, width: int, groups: int | None) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * out_channels))
        self.block1 = _Block(channels, out_channels, groups)
        self.block2 = _Block(out_channels, out_channels, groups)
        same = channels == out_channels
        self.res_conv = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        level = self.mlp(embedding)[:, :, None, None].chunk(2, dim=1)
        answer: Tensor = self.block2(self.block1(x, level)) + self.res_conv(x)
        return answer


class _Attention(nn.Module):
    """Attention over pixels and some stored keys and values; linear, unless it is `full`."""

    def __init__(self, config: LucidrainsConfig, stage: int, channels: int, full: bool) -> None:
        super().__init__()
        self.heads, width, self.full = config.attn_heads[stage], config.attn_dim_head[stage], full
        shape = (config.num_mem_kv, width) if full else (width, config.num_mem_kv)
        self.norm = _RMSNorm(channels)
        self.mem_kv = nn.Parameter(torch.zeros(2, self.heads, *shape))
        self.to_qkv = nn.Conv2d(channels, 3 * self.heads * width, 1, bias=False)
        out = nn.Conv2d(self.heads * width, channels, 1)
        self.to_out = out if full else nn.Sequential(out, _RMSNorm(channels))

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        projected = self.to_qkv(self.norm(x)).reshape(count, 3, self.heads, -1, height * width)
        query, key, value = projected.transpose(-1, -2).unbind(1)  # (N, heads, pixels, width)
        memory = self.mem_kv if self.full else self.mem_kv.transpose(-1, -2)
        memory = memory[:, None].expand(-1, count, -1, -1, -1)
        key, value = torch.cat([memory[0], key], 2), torch.cat([memory[1], value], 2)
        if self.full:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            query = query.softmax(-1) / math.sqrt(query.shape[-1])
            mixed = query @ (key.softmax(2).transpose(-1, -2) @ value)
        answer: Tensor = self.to_out(mixed.transpose(-1, -2).reshape(count, -1, height, width))
        return answer
