"""U-Net of the published models, with the same names, shapes and order of parameters.

The architecture is that of Dhariwal and Nichol 2021 ("Diffusion Models Beat GANs"), with attention
chosen by level instead of resolution. The level of the process enters as a sinusoidal embedding.

Speed: bfloat16 convolutions need channels-last memory, but PyTorch's group norm is slow with it.
`GroupNorm` therefore computes channels-last activations and their gradients by its own per-channel
sums.
"""

import math
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sitegen.generative.card.networks import UNetConfig

Layer = TypeVar("Layer", bound=nn.Module)


class GroupNorm(nn.GroupNorm):
    """Group norm computed in float32, in the memory layout of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, …) to the same shape, type and layout."""
        if x.dim() != 4 or x.is_contiguous():
            return super().forward(x.float()).to(x.dtype)
        normed: Tensor = _ChannelsLast.apply(x, self.weight, self.bias, self.num_groups, self.eps)  # type: ignore[no-untyped-call, unused-ignore]
        return normed


AT_A_TIME = 2**18
"""Numbers to process at a time, so that their copy in float32 stays in the processor's cache."""


class _ChannelsLast(torch.autograd.Function):
    """Group norm of channels-last (N, C, H, W), with gradients in few passes over memory.

    With x̂ = (x − mean) / std of a group of n numbers and g = weight · ∂y, the gradient is
    (g − Σg / n − x̂ Σ(g x̂) / n) / std, a sum of x and ∂y with three numbers per channel.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
    ) -> Tensor:
        weights, biases = weight.view(1, groups, -1), bias.view(1, groups, -1)
        normed, means, inverses = torch.empty_like(x), list[Tensor](), list[Tensor]()
        for part, out in _parts(x, normed):
            group, values = (len(part), *weights.shape[1:]), part.to(torch.float32, copy=True)
            mean = values.mean((2, 3)).view(group).mean(2, keepdim=True)
            square = values.square().mean((2, 3)).view(group).mean(2, keepdim=True)
            inverse = torch.rsqrt((square - mean.square()).clamp_min(0) + eps)
            scale = inverse * weights
            shift = _each(biases - mean * scale, part)
            out.copy_(values.mul_(_each(scale, part)).add_(shift))
            means.append(mean)
            inverses.append(inverse)
        ctx.save_for_backward(x, weight, torch.cat(means), torch.cat(inverses))
        return normed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, means, inverses = ctx.saved_tensors
        weights, numbers = weight.view(1, means.shape[1], -1), x[0].numel() // means.shape[1]
        whole, of_weight, of_bias = torch.empty_like(x), list[Tensor](), list[Tensor]()
        for part, given, mean, inverse, out in _parts(x, gradient, means, inverses, whole):
            group, values = (len(part), *weights.shape[1:]), part.to(torch.float32, copy=True)
            slope = given.float()
            plain = slope.sum((2, 3)).view(group)
            times = ((slope * values).sum((2, 3)).view(group) - mean * plain) * inverse
            mean_plain = (plain * weights).sum(2, keepdim=True) / numbers
            mean_times = (times * weights).sum(2, keepdim=True) / numbers
            of_x = -(inverse**2) * mean_times
            rest = _each((-inverse * mean_plain - of_x * mean).expand(group), part)
            values = values.mul_(_each(of_x.expand(group), part)).add_(rest)
            out.copy_(values.addcmul_(slope, _each(inverse * weights, part)))
            of_weight.append(times.sum(0))
            of_bias.append(plain.sum(0))
        summed = [torch.stack(each).sum(0).view(-1) for each in (of_weight, of_bias)]
        return whole, summed[0], summed[1], None, None


def _parts(x: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield chunks of `x` (N, …) with the same chunks of the others; on a GPU all at once."""
    some = max(1, AT_A_TIME // x[0].numel()) if x.device.type == "cpu" else len(x)
    return zip(*(torch.split(each, some) for each in (x, *others)), strict=True)


def _each(numbers: Tensor, x: Tensor) -> Tensor:
    return numbers.reshape(*x.shape[:2], 1, 1)


def level_embedding(level: Tensor, width: int) -> Tensor:
    """Return the sinusoidal embedding (N, width) of levels (N,): cosines, then sines.

    The longest period is 2π · 10000 levels.
    """
    angle = level.float()[:, None] * level_frequencies(width, level.device)[None]
    embedding = torch.cat([angle.cos(), angle.sin()], dim=1)
    return F.pad(embedding, (0, width % 2))


def level_frequencies(width: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the frequencies (width // 2,) of `level_embedding`, in radians per level."""
    half = width // 2
    return torch.exp(-math.log(10000) * torch.arange(half, device=device) / half)


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
        """(N, C, H, W), (N, 4·model_channels) → (N, out_channels, H', W')."""
        norm, activation, convolution = self.in_layers
        h = activation(norm(x))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = convolution(h)
        level = self.emb_layers(embedding).to(h.dtype)[:, :, None, None]
        if self.scale_shift:
            scale, shift = level.chunk(2, dim=1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + level)
        total: Tensor = self.skip_connection(x) + h
        return total


class AttentionBlock(nn.Module):
    """Self-attention over the pixels, added to its input."""

    def __init__(self, config: UNetConfig, channels: int) -> None:
        super().__init__()
        self.heads = config.heads(channels)
        self.new_order = config.use_new_attention_order
        self.norm = GroupNorm(config.groups, channels)
        self.qkv = nn.Conv1d(channels, channels * 3, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, _embedding: Tensor) -> Tensor:
        """(N, C, H, W) → same shape. The published orders of the 3C channels of qkv differ:

        new order (q|k|v, head, width), old order (head, q|k|v, width).
        """
        flat = x.flatten(2)
        qkv = self.qkv(self.norm(flat))
        count, width, pixels = qkv.shape
        if self.new_order:
            q, k, v = qkv.view(count, 3, self.heads, -1, pixels).unbind(1)
        else:
            q, k, v = qkv.view(count, self.heads, 3, -1, pixels).unbind(2)
        h = F.scaled_dot_product_attention(q.mT, k.mT, v.mT).mT.reshape(count, width // 3, pixels)
        answer: Tensor = self.proj_out(h)
        return x + answer.view_as(x)


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
        last = width * config.channel_mult[0]
        self.out = nn.Sequential(
            GroupNorm(config.groups, last),
            nn.SiLU(),
            zeroed(nn.Conv2d(last, inner, 3, padding=1)),
        )

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """(N, C, H, W), (N,) → (N, C, H, W)."""
        embedding = self.time_embed(level_embedding(level, self.config.model_channels))
        skips, patch = [], self.config.patch
        x = F.pixel_unshuffle(x, patch) if patch > 1 else x
        for block in self.input_blocks:
            x = block(x, embedding)
            skips.append(x)
        x = self.middle_block(x, embedding)
        for block in self.output_blocks:
            x = block(torch.cat([x, skips.pop()], dim=1), embedding)
        answer: Tensor = self.out(x)
        return F.pixel_shuffle(answer, patch) if patch > 1 else answer


def _down_blocks(config: UNetConfig, channels: int) -> Iterator[tuple[Block, int]]:
    width = config.model_channels * config.channel_mult[0]
    yield Block([nn.Conv2d(channels, width, 3, padding=1)]), width
    for level, multiplier in enumerate(config.channel_mult):
        out = config.model_channels * multiplier
        for _ in range(config.num_res_blocks):
            layers: list[nn.Module] = [ResBlock(config, width, out)]
            if level in config.attention_levels:
                layers.append(AttentionBlock(config, out))
            yield Block(layers), out
            width = out
        if level + 1 < len(config.channel_mult):
            yield Block([_resampler(config, width, Downsample)]), width


def _up_blocks(config: UNetConfig, skips: list[int]) -> Iterator[Block]:
    """Yield the blocks of the way up; each also takes the matching skip as input."""
    width = skips[-1]
    for level in reversed(range(len(config.channel_mult))):
        out = config.model_channels * config.channel_mult[level]
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


def zeroed(layer: Layer) -> Layer:
    """Set the parameters of a layer to 0, so that its output is 0 until it is trained."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
