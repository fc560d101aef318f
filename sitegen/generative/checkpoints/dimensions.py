"""The dimensions of a U-Net from the names and shapes of its weights, and how these differ.

The number of heads, the order of attention's channels and the dropout do not follow from them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sitegen.generative.card.card import preset, presets
from sitegen.generative.card.networks import UNetConfig

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
Resampling = Literal["convolution", "pooling", "residual"]
_SEEN = ("model_channels", "channel_mult", "num_res_blocks", "use_scale_shift_norm")


@dataclass(frozen=True)
class Architecture:
    """The dimensions of a U-Net. `resampling` is None for a network with a single level."""

    channels: int
    model_channels: int
    channel_mult: tuple[float, ...]
    num_res_blocks: int
    attention_levels: tuple[int, ...]
    resampling: Resampling | None
    use_scale_shift_norm: bool
    num_classes: int | None = None

    @classmethod
    def of(cls, channels: int, unet: UNetConfig) -> Architecture:
        """Return the dimensions of a configuration."""
        learned: Resampling = "convolution" if unet.conv_resample else "pooling"
        resampling: Resampling = "residual" if unet.resblock_updown else learned
        return cls(
            channels * unet.patch**2,
            **{name: getattr(unet, name) for name in _SEEN},
            attention_levels=tuple(sorted(unet.attention_levels)),
            resampling=resampling if len(unet.channel_mult) > 1 else None,
            num_classes=unet.num_classes,
        )

    def unet(self) -> UNetConfig:
        """Return the configuration with these dimensions, one head per attention, no dropout."""
        return UNetConfig(
            **{name: getattr(self, name) for name in _SEEN},
            attention_levels=self.attention_levels,
            conv_resample=self.resampling != "pooling",
            resblock_updown=self.resampling == "residual",
            num_classes=self.num_classes,
        )

    def text(self) -> str:
        """Return the dimensions as one line."""
        factors = ", ".join(f"{factor:g}" for factor in self.channel_mult)
        return (
            f"channels {self.channels}, model_channels {self.model_channels}, "
            f"channel_mult [{factors}], num_res_blocks {self.num_res_blocks}, "
            f"attention_levels {list(self.attention_levels)}, "
            f"resampling {self.resampling or 'none'}, "
            f"use_scale_shift_norm {str(self.use_scale_shift_norm).lower()}"
        )


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of tensors by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def infer(shapes: Shapes) -> Architecture | None:
    """Return the dimensions of the U-Net with weights of these names and shapes, else None."""
    with suppress(KeyError, ValueError, IndexError, ZeroDivisionError):
        base = shapes["time_embed.0.weight"][1]
        first, channels, *_ = shapes["input_blocks.0.0.weight"]
        count = 1 + max(int(match[1]) for match in _matches(r"input_blocks\.(\d+)\.", shapes))
        resampling: Resampling | None
        if downs := _matches(r"input_blocks\.(\d+)\.0\.op\.weight$", shapes):
            resampling, blocks = "convolution", int(downs[0][1]) - 1
        elif ups := _matches(r"output_blocks\.(\d+)\.[12]\.in_layers\.0\.weight$", shapes):
            resampling, blocks = "residual", int(ups[0][1])
        else:
            parts = (f"input_blocks.{index}.0.in_layers.0.weight" for index in itertools.count(1))
            gap = next(index for index, name in enumerate(parts, 1) if name not in shapes)
            resampling, blocks = ("pooling", gap - 1) if gap < count else (None, count - 1)
        if count % (blocks + 1):
            raise ValueError("levels of different length")
        starts = range(1, count, blocks + 1)
        outputs = [shapes[f"input_blocks.{start}.0.out_layers.3.weight"][0] for start in starts]
        if first != outputs[0]:
            raise ValueError("not the width of the first blocks")
        modulation = shapes["input_blocks.1.0.emb_layers.1.weight"][0]
        attended = [f"input_blocks.{start}.1.qkv.weight" in shapes for start in starts]
        return Architecture(
            channels=channels,
            model_channels=base,
            channel_mult=tuple(width / base for width in outputs),
            num_res_blocks=blocks,
            attention_levels=tuple(
                level for level, has_attention in enumerate(attended) if has_attention
            ),
            resampling=resampling,
            use_scale_shift_norm=modulation == 2 * outputs[0],
            num_classes=shapes["label_emb.weight"][0] if "label_emb.weight" in shapes else None,
        )
    return None


def _matches(pattern: str, shapes: Shapes) -> list[re.Match[str]]:
    return [match for name in shapes if (match := re.match(pattern, name))]


def matching_presets(architecture: object) -> tuple[str, ...]:
    """Return the published configurations with these dimensions; there may be several."""
    cards = ((name, preset(name)) for name in presets())
    return tuple(
        name for name, card in cards if architecture == Architecture.of(card.channels, card.finest)
    )


def differences(shapes: Shapes, expected: Shapes) -> list[str]:
    """Return missing tensors, different shapes and extra tensors of `found`, in the network's
    order.
    """
    lines = []
    for name, shape in expected.items():
        if name not in shapes:
            lines.append(f"{name} {_shape(shape)} is missing")
        elif shapes[name] != shape:
            lines.append(f"{name} is {_shape(shapes[name])}, the network has {_shape(shape)}")
    return lines + [
        f"{name[:100]} is not in the network" for name in shapes if name not in expected
    ]


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "a number"
