"""The U-Net of denoising-diffusion-pytorch, with the same names and shapes of parameters.

Two residual blocks and one attention follow each other at each size, on the way down and up. The
attention of most sizes is linear (Shen et al. 2021): its memory does not grow with the square of
the pixels. All attention has a few learned keys and values in addition to those of the pixels.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitegen.generative.card.networks import LucidrainsConfig


class RMSNorm(nn.Module):
    """Division by the root mean square over channels, times a factor for each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → same shape."""
        return F.normalize(x, dim=1) * (self.g * math.sqrt(x.shape[1]))


class Timesteps(nn.Module):
    """Sines and cosines of timesteps (N,): (N, width), or (N, width + 1) with their own weights."""

    def __init__(self, width: int, theta: float | None) -> None:
        super().__init__()
        self.width, self.theta = width, theta
        if theta is None:
            self.weights = nn.Parameter(torch.zeros(width // 2))

    def forward(self, timesteps: Tensor) -> Tensor:
        """Return the features; with weights the timesteps themselves come first."""
        if self.theta is None:
            frequencies, first = 2 * math.pi * self.weights, [timesteps[:, None]]
        else:
            exponents = torch.arange(half := self.width // 2, device=timesteps.device) / (half - 1)
            frequencies, first = torch.exp(-math.log(self.theta) * exponents), []
        phases = timesteps[:, None] * frequencies
        return torch.cat([*first, phases.sin(), phases.cos()], 1)


class Block(nn.Module):
    """Convolution, norm, an optional scale and shift, and SiLU."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm = RMSNorm(out_channels)

    def forward(self, x: Tensor, level: Tensor | None = None) -> Tensor:
        """(N, C, H, W), and scale and shift (N, 2C', 1, 1) → (N, C', H, W)."""
        h = self.norm(self.proj(x))
        if level is not None:
            scale, shift = level.chunk(2, dim=1)
            h = h * (scale + 1) + shift
        return F.silu(h)


class ResBlock(nn.Module):
    """Two blocks, of which the first gets the level, and a skip connection."""

    def __init__(self, channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * out_channels))
        self.block1 = Block(channels, out_channels)
        self.block2 = Block(out_channels, out_channels)
        same = channels == out_channels
        self.res_conv = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, C, H, W), (N, width) → (N, C', H, W)."""
        level = self.mlp(embedding)[:, :, None, None]
        answer: Tensor = self.block2(self.block1(x, level)) + self.res_conv(x)
        return answer


class Attention(nn.Module):
    """Attention over pixels and `memory` stored keys and values; linear, unless it is `full`."""

    def __init__(self, channels: int, heads: int, width: int, memory: int, full: bool) -> None:
        super().__init__()
        self.heads, self.full, inner = heads, full, heads * width
        self.norm = RMSNorm(channels)
        shape = (memory, width) if full else (width, memory)
        self.mem_kv = nn.Parameter(torch.zeros(2, heads, *shape))
        self.to_qkv = nn.Conv2d(channels, 3 * inner, 1, bias=False)
        out = nn.Conv2d(inner, channels, 1)
        self.to_out = out if full else nn.Sequential(out, RMSNorm(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → same shape."""
        count, _, height, width = x.shape
        projected = self.to_qkv(self.norm(x)).reshape(count, 3, self.heads, -1, height * width)
        query, key, value = projected.transpose(-1, -2).unbind(1)  # (N, heads, pixels, width)
        memory = self.mem_kv if self.full else self.mem_kv.transpose(-1, -2)
        memory = memory[:, None].expand(-1, count, -1, -1, -1)
        key, value = torch.cat([memory[0], key], 2), torch.cat([memory[1], value], 2)
        if self.full:
            found = F.scaled_dot_product_attention(query, key, value)
        else:
            query = query.softmax(-1) / math.sqrt(query.shape[-1])
            found = query @ (key.softmax(2).transpose(-1, -2) @ value)
        answer: Tensor = self.to_out(found.transpose(-1, -2).reshape(count, -1, height, width))
        return answer


class Unet(nn.Module):
    """(N, C, H, W) float32 and timesteps (N,) → (N, C, H, W)."""

    def __init__(self, config: LucidrainsConfig) -> None:
        super().__init__()
        widths = [config.init_dim, *(config.dim * factor for factor in config.dim_mults)]
        width, learned = 4 * config.dim, config.learned_sinusoidal_dim
        self.init_conv = nn.Conv2d(config.channels, widths[0], 7, padding=3)
        theta = None if learned else config.sinusoidal_pos_emb_theta
        self.time_mlp = nn.Sequential(
            Timesteps(learned or config.dim, theta),
            nn.Linear(learned + 1 if learned else config.dim, width),
            nn.GELU(),
            nn.Linear(width, width),
        )

        def attention(stage: int, channels: int, full: bool) -> Attention:
            heads, head_width = config.attn_heads[stage], config.attn_dim_head[stage]
            return Attention(channels, heads, head_width, config.num_mem_kv, full)

        last, middle = len(config.dim_mults) - 1, widths[-1]
        downs, ups = list[list[nn.Module]](), list[list[nn.Module]]()
        for stage, (fine, coarse) in enumerate(pairwise(widths)):
            full = config.full_attn[stage]
            down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * fine, coarse, 1))
            same: nn.Module = nn.Conv2d(fine, coarse, 3, padding=1)
            up: nn.Module = nn.Conv2d(coarse, fine, 3, padding=1)
            enter = [ResBlock(fine, fine, width) for _ in range(2)]
            leave = [ResBlock(coarse + fine, coarse, width) for _ in range(2)]
            doubled = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), up)
            downs.append([*enter, attention(stage, fine, full), down if stage < last else same])
            ups.append([*leave, attention(stage, coarse, full), doubled if stage else up])
        self.downs, self.ups = (
            nn.ModuleList(map(nn.ModuleList, stages)) for stages in (downs, ups[::-1])
        )
        self.mid_block1 = ResBlock(middle, middle, width)
        self.mid_attn = attention(last, middle, True)
        self.mid_block2 = ResBlock(middle, middle, width)
        self.final_res_block = ResBlock(2 * widths[0], widths[0], width)
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
