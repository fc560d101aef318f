"""MLP for the coarse levels of a heat dissipation model; it works on cosines, not pixels.

Above some level the heat equation has removed everything but the lowest cosines of an image. A
network over these few numbers is hundreds of times cheaper than a U-Net over the pixels, so it can
be trained on millions of images. It needs that many, because the learnable part of its noisy target
is a few hundredths.

The network is a residual MLP over the standardized coefficients z = (u − A_k m) / √(A_k² S + σ²).
Random Fourier features resolve them finely (Tancik et al. 2020). Its output is the r of the
"preconditioned" parameterization (`model.py`), for the lowest cosines only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sitegen.generative.card.networks import CosineConfig
from sitegen.generative.networks.unet import class_embedding, zeroed

FEATURE_SCALE = 0.5
"""Standard deviation of the random frequencies, in radians per unit of z."""


class CosineNet(nn.Module):
    """Map z (N, C·side²) and levels (N,), as a share of K, to r (N, C·side²); 0 if untrained.

    Rows are the `side` × `side` lowest cosines of each channel, in the order of `lowest`.
    """

    def __init__(self, config: CosineConfig, side: int, channels: int) -> None:
        super().__init__()
        self.config, self.side = config, side
        size, width = channels * side**2, config.width
        # Never on the "meta" device, where random numbers import torch's compiler, which is slow.
        frequencies = FEATURE_SCALE * torch.randn(size, config.features, device="cpu")
        self.register_buffer("frequencies", frequencies.half().float())  # as they are stored
        self.frequencies: Tensor
        self.enter = nn.Linear(size + 2 * config.features, width)
        self.label_emb = class_embedding(config.num_classes, 2 * config.level_features)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.leave = zeroed(nn.Linear(width, size))

    def forward(self, z: Tensor, share_of_K: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return r for z at the levels `share_of_K` · K, with labels (N,) if it takes them."""
        with torch.autocast(z.device.type, enabled=False):  # radians need more than 8 bits
            phases = z @ self.frequencies
        return self.answer(z, phases, share_of_K, labels)

    def answer(
        self, z: Tensor, phases: Tensor, share_of_K: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return r for z and the phases (N, features) of its random features, in radians."""
        hidden = self.enter(torch.cat([z, phases.sin(), phases.cos()], 1))
        level = level_features(share_of_K, self.config.level_features)
        level = level if self.label_emb is None else level + self.label_emb(labels)
        for block in self.blocks:
            hidden = block(hidden, level)
        answer: Tensor = self.leave(self.norm(hidden))
        return answer


class _Block(nn.Module):
    def __init__(self, config: CosineConfig) -> None:
        super().__init__()
        width = config.width
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, width)
        self.level = nn.Linear(2 * config.level_features, width)
        self.leave = zeroed(nn.Linear(width, width))

    def forward(self, hidden: Tensor, level: Tensor) -> Tensor:
        change = self.enter(self.norm(hidden)) + self.level(level)
        answer: Tensor = hidden + self.leave(nn.functional.silu(change))
        return answer


def level_features(share_of_K: Tensor, count: int) -> Tensor:
    """Return sines and cosines (N, 2·count) of levels (N,), as shares of K, at 1 to 100 rad."""
    frequencies = torch.logspace(0, 2, count, device=share_of_K.device)
    phases = share_of_K[:, None] * frequencies
    return torch.cat([phases.sin(), phases.cos()], 1)


def lowest(coefficients: Tensor, side: int) -> Tensor:
    """Return the lowest `side` × `side` coefficients of (N, C, H, W) as rows (N, C·side²)."""
    return coefficients[..., :side, :side].flatten(1)
