"""What can be told of a U-Net from the names and shapes of its weights alone; no torch.

The number of heads, the order of attention's channels and the dropout leave no trace there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sitegen.ihdm.card.card import ModelCard, preset, presets
from sitegen.ihdm.card.networks import UNetConfig

Shapes = Mapping[str, tuple[int, ...]]
Resampling = Literal["convolution", "pooling", "residual"]


@dataclass(frozen=True)
class Architecture:
    """A U-Net's dimensions. `resampling` is None for a network of one level, which has none."""

    channels: int
    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int
    attention_levels: tuple[int, ...]
    resampling: Resampling | None
    use_scale_shift_norm: bool

    @classmethod
    def of(cls, channels: int, unet: UNetConfig) -> Architecture:
        """The dimensions that a configuration gives."""
        learned: Resampling = "convolution" if unet.conv_resample else "pooling"
        resampling: Resampling = "residual" if unet.resblock_updown else learned
        return cls(
            channels,
            unet.model_channels,
            unet.channel_mult,
            unet.num_res_blocks,
            tuple(sorted(unet.attention_levels)),
            resampling if len(unet.channel_mult) > 1 else None,
            unet.use_scale_shift_norm,
        )

    def unet(self, heads: int = 1) -> UNetConfig:
        """The configuration that has these dimensions, `heads` in each attention, no dropout.

        Raises ConfigError for a number of heads that does not divide the channels.
        """
        return UNetConfig(
            model_channels=self.model_channels,
            channel_mult=self.channel_mult,
            num_res_blocks=self.num_res_blocks,
            attention_levels=self.attention_levels,
            num_heads=heads,
            conv_resample=self.resampling != "pooling",
            resblock_updown=self.resampling == "residual",
            use_scale_shift_norm=self.use_scale_shift_norm,
        )

    def text(self) -> str:
        """The dimensions in one line."""
        return (
            f"channels {self.channels}, model_channels {self.model_channels}, "
            f"channel_mult {list(self.channel_mult)}, num_res_blocks {self.num_res_blocks}, "
            f"attention_levels {list(self.attention_levels)}, "
            f"resampling {self.resampling or 'none'}, "
            f"use_scale_shift_norm {str(self.use_scale_shift_norm).lower()}"
        )


def infer(shapes: Shapes) -> Architecture | None:
    """The dimensions of the U-Net that has weights of these names and shapes, else None."""
    try:
        return _infer(shapes)
    except (KeyError, ValueError, IndexError, ZeroDivisionError):
        return None


def _infer(shapes: Shapes) -> Architecture:
    base = shapes["time_embed.0.weight"][1]
    first, channels, *_ = shapes["input_blocks.0.0.weight"]
    count = 1 + max(int(found[1]) for found in _matches(r"input_blocks\.(\d+)\.", shapes))
    resampling, blocks = _resampling(shapes, count)
    if count % (blocks + 1):
        raise ValueError("levels of different length")
    starts = range(1, count, blocks + 1)
    outputs = [shapes[f"input_blocks.{start}.0.out_layers.3.weight"][0] for start in starts]
    if first != outputs[0] or any(width % base for width in outputs):
        raise ValueError("not a multiple of the base width")
    modulation = shapes["input_blocks.1.0.emb_layers.1.weight"][0]
    attended = [f"input_blocks.{start}.1.qkv.weight" in shapes for start in starts]
    return Architecture(
        channels=channels,
        model_channels=base,
        channel_mult=tuple(width // base for width in outputs),
        num_res_blocks=blocks,
        attention_levels=tuple(level for level, there in enumerate(attended) if there),
        resampling=resampling,
        use_scale_shift_norm=modulation == 2 * outputs[0],
    )


def _resampling(shapes: Shapes, count: int) -> tuple[Resampling | None, int]:
    """How the network changes size, and the number of residual blocks in each level."""
    downs = _matches(r"input_blocks\.(\d+)\.0\.op\.weight$", shapes)
    if downs:
        return "convolution", int(downs[0][1]) - 1
    ups = _matches(r"output_blocks\.(\d+)\.[12]\.in_layers\.0\.weight$", shapes)
    if ups:
        return "residual", int(ups[0][1])
    parts = (f"input_blocks.{index}.0.in_layers.0.weight" for index in range(1, count))
    gaps = [index for index, name in enumerate(parts, 1) if name not in shapes]
    return ("pooling", gaps[0] - 1) if gaps else (None, count - 1)


def _matches(pattern: str, shapes: Shapes) -> list[re.Match[str]]:
    return [found for name in shapes if (found := re.match(pattern, name))]


def matching_presets(found: Architecture | None) -> tuple[str, ...]:
    """The published configurations that have these dimensions; several may."""
    cards = ((name, preset(name)) for name in presets())
    return tuple(name for name, card in cards if found == Architecture.of(card.channels, card.unet))


def differences(found: Shapes, wanted: Shapes) -> list[str]:
    """What `found` lacks, has in another shape, or has too much, in the network's order."""
    lines = []
    for name, shape in wanted.items():
        if name not in found:
            lines.append(f"{name} {_shape(shape)} is missing")
        elif found[name] != shape:
            lines.append(f"{name} is {_shape(found[name])}, the network has {_shape(shape)}")
    return lines + [f"{name[:100]} is not in the network" for name in found if name not in wanted]


def mismatch(lines: Sequence[str], found: Shapes, card: ModelCard) -> str:
    """The end of a message: the first five differences, and what the file looks like instead."""
    more = f"\n  and {len(lines) - 5} more" if len(lines) > 5 else ""
    told = "".join(f"\n  {line}" for line in lines[:5])
    looks = infer(found)
    hint = ""
    if looks is not None and looks != Architecture.of(card.channels, card.unet):
        fits = " or ".join(matching_presets(looks))
        hint = f"\nIt looks like {looks.text()}" + (f"; preset {fits} fits." if fits else ".")
    return f"these weights do not fit the card's network:{told}{more}{hint}"


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "a number"
