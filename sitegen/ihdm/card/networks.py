"""The networks of a model: their hyperparameters as frozen dataclasses, and what those must be.

This module does not need torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any

import sitegen.ihdm.card.rules as rules
from sitegen.core.errors import ConfigError
from sitegen.ihdm.card.rules import Problem, Rule

Table = Mapping[str, Any]
_CLASS = ("_class_name",)

UNET: dict[str, Rule] = {
    "model_channels": rules.COUNT,
    "channel_mult": rules.integers(1, 64, least=1, most=16),
    "num_res_blocks": rules.integer(1, 64),
    "attention_levels": rules.integers(0, 15, least=0, most=16),
    "num_heads": rules.COUNT,
    "num_head_channels": Rule(
        "-1 (then num_heads counts) or a whole number from 1 to 4096",
        lambda v: rules.is_integer(v) and (v == -1 or rules.COUNT.holds(v)),
    ),
    "dropout": rules.number("a number from 0 up to, not including, 1", lambda v: 0 <= v < 1),
    "conv_resample": rules.FLAG,
    "resblock_updown": rules.FLAG,
    "use_scale_shift_norm": rules.FLAG,
    "use_new_attention_order": rules.FLAG,
}
COARSE: dict[str, Rule] = {
    "lowest_level": rules.integer(1, 100_000),
    "side": rules.COUNT,
    "width": rules.COUNT,
    "blocks": rules.integer(1, 64),
    "features": rules.COUNT,
    "level_features": rules.integer(1, 256),
}
WIDTHS = rules.integers(1, 65536, least=1, most=16)
_JSON = Rule(
    "the configuration of a UNet2DModel as JSON, with block_out_channels",
    lambda v: isinstance(v, str) and _is_configuration(v),
)


@dataclass(frozen=True)
class UNetConfig:
    """The U-Net's hyperparameters, under their published names.

    Raises ConfigError that names every value that is wrong.
    """

    model_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int = 2
    attention_levels: tuple[int, ...] = ()
    num_heads: int = 1
    num_head_channels: int = -1
    dropout: float = 0.0
    conv_resample: bool = True
    resblock_updown: bool = False
    use_scale_shift_norm: bool = False
    use_new_attention_order: bool = True

    def __post_init__(self) -> None:
        rules.refuse(unet_problems(vars(self)), "U-Net")
        rules.keep(self, UNET)

    def heads(self, channels: int) -> int:
        """How many attention heads a block of `channels` has."""
        fixed = self.num_head_channels
        return self.num_heads if fixed == -1 else channels // fixed


@dataclass(frozen=True)
class DiffusersUNet(UNetConfig):
    """The network of a model that diffusers saved: `config` is that of its UNet2DModel, as JSON.

    What a `UNetConfig` says besides is told by it, `model_channels` being the widest that all
    widths are a multiple of.
    """

    config: str = ""

    def __post_init__(self) -> None:
        """What it must be is for diffusers to say."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> DiffusersUNet:
        """The network of a configuration. ConfigError if that has no widths and blocks."""
        widths = tuple(config.get("block_out_channels") or ())
        blocks = config.get("layers_per_block", 2)
        if not WIDTHS.holds(widths) or not rules.is_integer(blocks):
            raise ConfigError("block_out_channels and layers_per_block must be whole numbers")
        base = gcd(*widths)
        kept = {key: value for key, value in config.items() if key[:1] != "_" or key in _CLASS}
        text = json.dumps(kept, sort_keys=True)
        return cls(base, tuple(width // base for width in widths), blocks, config=text)

    def values(self) -> dict[str, Any]:
        """The configuration by name."""
        values: dict[str, Any] = json.loads(self.config)
        return values


@dataclass(frozen=True)
class CoarseConfig:
    """The network for the levels from `lowest_level` to K, which sees cosines (`coarse.py`).

    It answers the lowest `side` × `side` cosines of each channel, all that those levels leave of an
    image; `width` and `blocks` are the size of its MLP, `features` the number of its random
    frequencies, `level_features` that of the frequencies which tell it the level.

    Raises ConfigError that names every value that is wrong.
    """

    lowest_level: int
    side: int
    width: int
    blocks: int
    features: int
    level_features: int = 16

    def __post_init__(self) -> None:
        rules.refuse(coarse_problems(vars(self)), "coarse")


def network(unet: Table) -> UNetConfig:
    """The U-Net of a `[unet]` table that has been checked."""
    if "diffusers" in unet:
        return DiffusersUNet.of(json.loads(unet["diffusers"]))
    return UNetConfig(**unet)


def unet_problems(unet: Table, path: rules.KeyPath = ()) -> list[Problem]:
    """All that is wrong with the `[unet]` table."""
    if "diffusers" in unet:
        others = [key for key in unet if key != "diffusers"]
        beside = [Problem((*path, key), "leave it out beside diffusers") for key in others]
        return beside + rules.broken(unet, {"diffusers": _JSON}, path)
    alone = [
        *rules.unknown(unet, UNET, path),
        *rules.broken(unet, UNET, path),
        *rules.missing(unet, ("model_channels", "channel_mult"), path),
    ]
    good = rules.kept(unet, UNET)
    if "model_channels" not in good or "channel_mult" not in good:
        return alone
    widths = [good["model_channels"] * factor for factor in good["channel_mult"]]
    return alone + _width_problems(good, widths, path) + _head_problems(good, widths, path)


def _width_problems(unet: Table, widths: list[int], path: rules.KeyPath) -> list[Problem]:
    found = []
    if any(width % 32 for width in widths):
        rule = f"times channel_mult must give multiples of 32 (norms have 32 groups), not {widths}"
        found.append(Problem((*path, "model_channels"), rule, unet["model_channels"]))
    levels = unet.get("attention_levels", ())
    if any(level >= len(widths) for level in levels) or len(set(levels)) < len(levels):
        rule = f"must be different levels of channel_mult, from 0 to {len(widths) - 1}"
        found.append(Problem((*path, "attention_levels"), rule, levels))
    return found


def _head_problems(unet: Table, widths: list[int], path: rules.KeyPath) -> list[Problem]:
    key = "num_head_channels" if unet.get("num_head_channels", -1) != -1 else "num_heads"
    divisor = unet.get(key, 1)
    levels = unet.get("attention_levels", ())
    attended = {widths[-1], *(widths[level] for level in levels if level < len(widths))}
    if not any(width % divisor for width in attended):
        return []
    rule = f"must divide the channels of every attention block, {sorted(attended)}"
    return [Problem((*path, key), rule, divisor)]


def coarse_problems(coarse: Table, path: rules.KeyPath = ()) -> list[Problem]:
    """All that is wrong with the `[coarse]` table by itself."""
    needed = [key for key in COARSE if key != "level_features"]
    return [
        *rules.unknown(coarse, COARSE, path),
        *rules.broken(coarse, COARSE, path),
        *rules.missing(coarse, needed, path),
    ]


def _is_configuration(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and WIDTHS.holds(value.get("block_out_channels"))
