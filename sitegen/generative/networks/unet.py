"""U-Net of the published models, with the same names, shapes and order of parameters.

The architecture is that of Dhariwal and Nichol 2021 ("Diffusion Models Beat GANs"), with attention
chosen by level instead of resolution. The level of the process enters as a sinusoidal embedding.

Speed: convolutions on a CPU want channels-last memory, most of all in bfloat16. There PyTorch's
group norm takes up to 30 times as long as on contiguous memory if groups are narrow (torch 2.13),
so `GroupNorm` uses sums over each channel there. That is without gradients, with which a whole step
takes as long by either. Without them, activations are computed in place, too, and a level that all
images share is added to the bias of a convolution.
"""

import math
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitegen.generative.card.networks import UNetConfig

Layer = TypeVar("Layer", bound=nn.Module)


AT_A_TIME = 2**18
"""Numbers to process at a time, so that their copy in float32 stays in the processor's cache."""

# Milliseconds of norm and SiLU on one thread, by sums over channels and by torch:
#   float32,  12 images of 48 × 32 × 32,  8 groups   0.55    0.30
#   float32,  24 images of 32 × 28 × 28, 32 groups   0.23    7.25
#   bfloat16, 24 images of 32 × 28 × 28, 32 groups   0.73   30.6
#   bfloat16, 12 images of 96 × 16 × 16,  8 groups   0.38    0.82, or 0.25 on a float32 copy
LARGE_IMAGE, WIDE_GROUP = 1024, 4
"""Pixels of an image, and channels of a group, from which torch's own group norm is fast with
channels-last memory (torch 2.13). It has one kernel for large images and one for small ones, which
takes 30 times as long for groups of one channel, and 4 times as long in bfloat16 as in float32."""


class GroupNorm(nn.GroupNorm):
    """Group norm computed in float32, in the memory layout of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, …) to the same shape, type and layout."""
        if torch.is_grad_enabled() or x.dim() != 4 or x.is_contiguous():
            return super().forward(x.float()).to(x.dtype)
        return _evaluated(self, x, activate=False)

    def activated(self, x: Tensor) -> Tensor:
        """Return the SiLU of the norm of (N, C, H, W)."""
        if torch.is_grad_enabled():
            return F.silu(self(x))
        if x.is_contiguous():
            return F.silu(self(x), inplace=True)
        return _evaluated(self, x, activate=True)


def _evaluated(norm: nn.GroupNorm, x: Tensor, *, activate: bool) -> Tensor:
    """Return the norm of channels-last (N, C, H, W), and its SiLU if `activate`.

    For narrow groups in small images it is computed from sums over each channel, in float32 and in
    chunks that stay in the cache.
    """
    groups, large = norm.num_groups, x.shape[2] * x.shape[3] >= LARGE_IMAGE
    if x.device.type == "cpu" and (large or x.shape[1] >= WIDE_GROUP * groups):
        values = x if large else x.float()
        normed = F.group_norm(values, groups, norm.weight, norm.bias, norm.eps)
        return (F.silu(normed, inplace=True) if activate else normed).to(x.dtype)
    answer = torch.empty_like(x)
    weight, biases = norm.weight.view(1, groups, -1), norm.bias.view(1, -1, 1, 1)
    some = max(1, AT_A_TIME // x[0].numel()) if x.device.type == "cpu" else len(x)
    for part, out in zip(torch.split(x, some), torch.split(answer, some), strict=True):
        values = part.float()
        centred = out if out.dtype == torch.float32 else values
        group = (len(part), groups, -1)
        mean = values.mean((2, 3)).view(group).mean(2, keepdim=True).expand(-1, -1, weight.shape[2])
        # The variance of centred values: E[x²] − E[x]² would cancel where the mean is large.
        of_channel = (*part.shape[:2], 1, 1)
        torch.sub(values, mean.reshape(of_channel), out=centred)
        variance = centred.square().mean((2, 3)).view(group).mean(2, keepdim=True)
        scale = torch.rsqrt(variance + norm.eps) * weight
        torch.addcmul(biases, centred, scale.reshape(of_channel), out=centred)
        if activate:
            F.silu(centred, inplace=True)
        if centred is not out:
            out.copy_(centred)
    return answer


def level_embedding(level: Tensor, width: int) -> Tensor:
    """Return the sinusoidal embedding (N, width) of levels (N,): cosines, then sines.

    The longest period is 2π · 10000 levels.
    """
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=level.device) / half)
    angle = level.float()[:, None] * frequencies[None]
    # Published weights expect cosines first, as in guided-diffusion.
    embedding = torch.cat([angle.cos(), angle.sin()], dim=1)
    return F.pad(embedding, (0, width % 2))


class Upsample(nn.Module):
    """Doubling of height and width by nearest neighbour, then an optional convolution."""

    def __init__(self, channels: int, *, learned: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1) if learned else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, 2H, 2W)."""
        doubled: Tensor = self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        return doubled


class Downsample(nn.Module):
    """Halving of height and width by a strided convolution or by averaging."""

    def __init__(self, channels: int, *, learned: bool) -> None:
        super().__init__()
        self.op = (
            nn.Conv2d(channels, channels, 3, stride=2, padding=1) if learned else nn.AvgPool2d(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H/2, W/2)."""
        halved: Tensor = self.op(x)
        return halved


class ResBlock(nn.Module):
    """Two convolutions with the level embedding, and a skip connection; it may resample."""

    def __init__(
        self,
        config: UNetConfig,
        channels: int,
        out_channels: int,
        resample: nn.Module | None = None,
    ) -> None:
        super().__init__()
        width = config.model_channels * 4
        self.scale_shift = config.use_scale_shift_norm
        self.resample = resample
        self.in_layers = nn.Sequential(
            GroupNorm(config.groups, channels),
            nn.SiLU(),
            nn.Conv2d(channels, out_channels, 3, padding=1),
        )
        self.emb_layers = nn.Sequential(
            nn.SiLU(), nn.Linear(width, out_channels * (2 if self.scale_shift else 1))
        )
        self.out_layers = nn.Sequential(
            GroupNorm(config.groups, out_channels),
            nn.SiLU(),
            nn.Dropout(config.dropout),
            zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        same = channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, C, H, W), (N or 1, 4·model_channels) → (N, out_channels, H', W')."""
        in_layers: Any = self.in_layers
        out_layers: Any = self.out_layers
        norm, _, convolution = in_layers
        out_norm, _, dropout, last = out_layers
        h: Tensor = norm.activated(x)
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        level = self.emb_layers(embedding).to(h.dtype)
        if self.scale_shift:
            scale, shift = level[:, :, None, None].chunk(2, dim=1)
            h = F.silu(out_norm(convolution(h)) * (1 + scale) + shift)
        elif len(level) == 1 and not torch.is_grad_enabled():
            bias = convolution.bias.to(h.dtype) + level[0]
            h = out_norm.activated(F.conv2d(h, convolution.weight.to(h.dtype), bias, padding=1))
        else:
            h = out_norm.activated(convolution(h) + level[:, :, None, None])
        h, skipped = last(dropout(h)), self.skip_connection(x)
        # In place, since an addition takes a third of a convolution's time: 0.36 and 1.08 ms in
        # bfloat16 for 24 images of 48 × 32 × 32.
        return skipped + h if torch.is_grad_enabled() else h.add_(skipped)


class AttentionBlock(nn.Module):
    """Self-attention over the pixels, added to its input."""

    def __init__(self, config: UNetConfig, channels: int) -> None:
        super().__init__()
        self.heads = config.heads(channels)
        self.new_order = config.use_new_attention_order
        self.norm = GroupNorm(config.groups, channels)
        # Convolutions, so that the weights have their published shapes. `forward` applies them as
        # linear layers, which take channels-last pixels without a copy.
        self.qkv = nn.Conv1d(channels, channels * 3, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, _embedding: Tensor) -> Tensor:
        """(N, C, H, W) → same shape. The published orders of the 3C channels of qkv differ:

        new order (q|k|v, head, width), old order (head, q|k|v, width).
        """
        count, channels, height, width = x.shape
        pixels = self.norm(x).permute(0, 2, 3, 1).reshape(count, height * width, channels)
        qkv = F.linear(pixels, self.qkv.weight[..., 0], self.qkv.bias)
        if self.new_order:
            qkv = qkv.view(count, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        else:
            qkv = qkv.view(count, height * width, self.heads, 3, -1).permute(3, 0, 2, 1, 4)
        heads = F.scaled_dot_product_attention(*qkv).transpose(1, 2).reshape_as(pixels)
        answer = F.linear(heads, self.proj_out.weight[..., 0], self.proj_out.bias)
        return x + answer.view(count, height, width, channels).permute(0, 3, 1, 2)


class Block(nn.ModuleList):
    """Sequence of layers; passes the level embedding to those that take it."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, C, H, W), embedding → (N, C', H', W')."""
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResBlock | AttentionBlock) else layer(x)
        return x


class UNet(nn.Module):
    """f(u, k): (N, C, H, W) float32 and levels (N,) → (N, C, H, W), built from a `UNetConfig`.

    The last convolutions start at zero, so an untrained network returns 0.
    """

    def __init__(self, config: UNetConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        width = config.model_channels
        self.time_embed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width)
        )
        self.label_emb = class_embedding(config.num_classes, 4 * width)
        inner = channels * config.patch**2
        down = list(_down_blocks(config, inner))
        self.input_blocks = nn.ModuleList(block for block, _ in down)
        skips = [out for _, out in down]
        middle = skips[-1]
        self.middle_block = Block(
            [
                ResBlock(config, middle, middle),
                AttentionBlock(config, middle),
                ResBlock(config, middle, middle),
            ]
        )
        self.output_blocks = nn.ModuleList(_up_blocks(config, skips))
        last, outputs = config.widths[0], inner * (2 if config.learn_sigma else 1)
        self.out = nn.Sequential(
            GroupNorm(config.groups, last),
            nn.SiLU(),
            zeroed(nn.Conv2d(last, outputs, 3, padding=1)),
        )

    def forward(self, x: Tensor, level: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, H, W), (N,) or (1,), and labels if it takes them → (N, C, H, W).

        Labels are as in `ClassEmbedding`.
        """
        if level.stride(0) == 0:  # expanded, so all images share it
            level = level[:1]
        embedding = self.time_embed(level_embedding(level, self.config.model_channels))
        if self.label_emb is not None:
            embedding = embedding + self.label_emb(labels)
        first: Any = self.input_blocks[0]
        middle: Any = self.middle_block
        patch = self.config.patch
        x = F.pixel_unshuffle(x, patch) if patch > 1 else x
        # Images of one channel have both formats, so their convolution returns either.
        weight = middle[0].in_layers[2].weight
        is_last = weight.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if is_last else torch.contiguous_format
        x = first(x.to(first[0].weight.dtype), embedding).to(memory_format=layout)
        skips = [x]
        for block in self.input_blocks[1:]:
            x = block(x, embedding)
            skips.append(x)
        x = middle(x, embedding)
        for block in self.output_blocks:
            x = block(torch.cat([x, skips.pop()], dim=1), embedding)
        layers: Any = self.out
        norm, _, last = layers
        answer: Tensor = last(norm.activated(x).to(last.weight.dtype)).float()
        return F.pixel_shuffle(answer, patch) if patch > 1 else answer


def _down_blocks(config: UNetConfig, channels: int) -> Iterator[tuple[Block, int]]:
    width = config.widths[0]
    yield Block([nn.Conv2d(channels, width, 3, padding=1)]), width
    for level, out in enumerate(config.widths):
        for _ in range(config.num_res_blocks):
            layers: list[nn.Module] = [ResBlock(config, width, out)]
            if level in config.attention_levels:
                layers.append(AttentionBlock(config, out))
            yield Block(layers), out
            width = out
        if level + 1 < len(config.widths):
            yield Block([_resampler(config, width, Downsample)]), width


def _up_blocks(config: UNetConfig, skips: list[int]) -> Iterator[Block]:
    """Yield the blocks of the way up; each also takes the matching skip as input."""
    width = skips[-1]
    for level, out in reversed([*enumerate(config.widths)]):
        for index in range(config.num_res_blocks + 1):
            layers: list[nn.Module] = [ResBlock(config, width + skips.pop(), out)]
            width = out
            if level in config.attention_levels:
                layers.append(AttentionBlock(config, out))
            if level > 0 and index == config.num_res_blocks:
                layers.append(_resampler(config, width, Upsample))
            yield Block(layers)


def _resampler(
    config: UNetConfig, channels: int, kind: type[Upsample] | type[Downsample]
) -> nn.Module:
    if config.resblock_updown:
        return ResBlock(config, channels, channels, kind(channels, learned=False))
    return kind(channels, learned=config.conv_resample)


class ClassEmbedding(nn.Embedding):
    """Embedding of class labels, which is added to that of the level; it starts at 0."""

    def forward(self, labels: Tensor) -> Tensor:
        """Embed labels (N,), or mixtures of them by weights (N, classes); the same row is one."""
        if labels.is_floating_point():
            labels = labels[:1] if labels.stride(0) == 0 else labels
            return labels @ self.weight
        return super().forward(labels)


def class_embedding(classes: int | None, width: int) -> ClassEmbedding | None:
    """Return the embedding of a network with `num_classes`; None without."""
    if classes is None:
        return None
    # Random numbers of nn.Embedding on the meta device import torch's compiler, which takes 1.4 s.
    return ClassEmbedding(classes, width, _weight=torch.zeros(classes, width))


def zeroed(layer: Layer) -> Layer:
    """Set the parameters of a layer to 0, so that its output is 0 until it is trained."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
