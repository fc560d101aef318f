"""Hyperparameters of a model's networks, as frozen dataclasses; without torch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from math import gcd
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, Strict, ValidationInfo, model_validator

from sitegen.core.diagnostics import quoted
from sitegen.core.errors import ConfigError
from sitegen.core.validation import reject_with
from sitegen.generative.card.limits import LARGEST_COUNT, MOST_CLASSES
from sitegen.generative.card.parts import Count, Flag, Level, Number, must, table

GROUPS = 32
"""Groups of the norms, as published."""
_CLASS = ("_class_name",)
_Config = TypeVar("_Config")
_SMALL = Field(ge=1, le=64)
_Halvings = Annotated[int, Strict(), Field(ge=0, le=15)]
_Multipliers = Annotated[
    tuple[Annotated[int, Strict(), _SMALL], ...],
    must("a list of 1 to 16 whole numbers", lambda v: 1 <= len(v) <= 16),
]
_Factor = Annotated[
    Number,
    Field(gt=0, le=64),
    AfterValidator(lambda factor: int(factor) if factor.is_integer() else factor),
]
_Factors = Annotated[
    tuple[_Factor, ...], must("a list of 1 to 16 numbers", lambda v: 1 <= len(v) <= 16)
]
_Levels = Annotated[
    tuple[_Halvings, ...], must("a list of at most 16 levels", lambda v: len(v) <= 16)
]
Classes = Annotated[int, Strict(), Field(ge=1, le=MOST_CLASSES + 1)]
_HeadChannels = Annotated[
    int,
    Strict(),
    must(
        f"-1 (then num_heads counts) or a whole number from 1 to {LARGEST_COUNT}",
        lambda v: v == -1 or 1 <= v <= LARGEST_COUNT,
    ),
]


@table
class UNetConfig:
    """Hyperparameters of the U-Net, under their published names.

    `num_classes` is the number of rows of the class embedding, which a network without labels does
    not have; in a network that also works without a label, the last row is for that.

    `learn_sigma` doubles its output channels: the second half is the variance of a DDPM.

    Two are additions. `norm_groups` is the number of groups into which the norms divide channels,
    by default 32; a narrow network needs fewer, because a group of one channel loses its mean.
    `patch_size` p makes the network work on patches of p × p pixels as channels (pixel unshuffle),
    at 1/p of the resolution.

    Raises ConfigError that names every invalid value.
    """

    model_channels: Count = Field(description="the width that channel_mult multiplies")
    # Not whole in guided-diffusion's network for 512 pixels.
    channel_mult: _Factors = Field(description="a factor of the width for each size")
    num_res_blocks: Annotated[int, Strict(), _SMALL] = 2
    attention_levels: _Levels = ()
    num_heads: Count = 1
    num_head_channels: _HeadChannels = -1
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    conv_resample: Flag = True
    resblock_updown: Flag = False
    use_scale_shift_norm: Flag = False
    use_new_attention_order: Flag = True
    learn_sigma: Literal[True] | None = None
    num_classes: Classes | None = None
    norm_groups: Count | None = None
    patch_size: Annotated[int, Strict(), Field(ge=1, le=16)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if isinstance(self, ForeignUNet):  # their own configurations are checked
            return self
        widths = [self.model_channels * factor for factor in self.channel_mult]
        if any(width % self.groups for width in widths):  # no whole number is no multiple either
            raise ValueError(
                f"model_channels = {self.model_channels}: times channel_mult must give multiples "
                f"of {self.groups} (norms have {self.groups} groups), not {widths}"
            )
        widths, levels = [*self.widths], self.attention_levels
        if any(level >= len(widths) for level in levels) or len(set(levels)) < len(levels):
            raise ValueError(
                f"attention_levels = {quoted(levels)}: must be different levels of channel_mult, "
                f"from 0 to {len(widths) - 1}"
            )
        key = "num_heads" if self.num_head_channels == -1 else "num_head_channels"
        attended = {widths[-1], *(widths[level] for level in levels)}
        if any(width % getattr(self, key) for width in attended):
            raise ValueError(
                f"{key} = {getattr(self, key)}: must divide the channels of every attention "
                f"block, {sorted(attended)}"
            )
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the blocks of each size."""
        return tuple(round(self.model_channels * factor) for factor in self.channel_mult)

    @property
    def groups(self) -> int:
        """Number of groups of its norms."""
        return self.norm_groups or GROUPS

    @property
    def patch(self) -> int:
        """Pixels per side of the patches that the first convolution takes as channels."""
        return self.patch_size or 1

    def heads(self, channels: int) -> int:
        """Return the number of attention heads of a block of `channels`."""
        fixed = self.num_head_channels
        return self.num_heads if fixed == -1 else channels // fixed


class ForeignUNet(UNetConfig):
    """Network of another program; the inherited fields are derived from its configuration."""


@dataclasses.dataclass(frozen=True)
class DiffusersUNet(ForeignUNet):
    """Network of a model saved by diffusers: `config` is that of its UNet2DModel, as JSON.

    `model_channels` is the greatest common divisor of the widths. Diffusers itself validates the
    configuration.
    """

    config: str = ""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> DiffusersUNet:
        """Read a configuration. Raises ConfigError if it has no widths and blocks."""
        sizes = config.get("block_out_channels")
        widths = tuple(sizes) if isinstance(sizes, list | tuple) else ()
        numbers = (config.get("layers_per_block", 2), *widths)
        if not 1 <= len(widths) <= 16 or any(
            type(number) is not int or not 1 <= number <= 65536 for number in numbers
        ):
            raise ConfigError("block_out_channels and layers_per_block must be whole numbers")
        base = gcd(*widths)
        settings = {key: value for key, value in config.items() if key[:1] != "_" or key in _CLASS}
        text = json.dumps(settings, sort_keys=True)
        return cls(base, tuple(width // base for width in widths), numbers[0], config=text)

    @classmethod
    def of_json(cls, table: Mapping[str, Any]) -> DiffusersUNet:
        """Read a card's table. Raises ValueError unless it is a configuration and no more."""
        others = sorted(table.keys() - {"diffusers"})
        if others:
            raise ValueError(f"leave {', '.join(others)} out; diffusers is the only key allowed")
        try:
            values = json.loads(table["diffusers"])
            return cls.of(values)
        except (ValueError, TypeError, AttributeError, RecursionError, ConfigError):
            raise ValueError(
                "diffusers should be the configuration of a UNet2DModel as JSON, with "
                "block_out_channels"
            ) from None


@table
class LucidrainsConfig:
    """The `Unet` of denoising-diffusion-pytorch, under the names of its arguments.

    full_attn, attn_heads, attn_dim_head: of each size
    num_mem_kv: keys and values that attention has in addition to those of the pixels
    learned_sinusoidal_dim: twice the number of frequencies that the weights have, if these are not
        given by sinusoidal_pos_emb_theta
    resnet_block_groups: groups of its blocks' norms; None for those of its version 2.0 and later

    Raises ConfigError that names every invalid value.
    """

    dim: Annotated[int, Strict(), Field(ge=4, le=LARGEST_COUNT)]
    init_dim: Count
    dim_mults: _Multipliers
    channels: Count
    full_attn: tuple[Flag, ...]
    attn_heads: tuple[Count, ...]
    attn_dim_head: tuple[Count, ...]
    num_mem_kv: Count = 4
    sinusoidal_pos_emb_theta: Annotated[Number, Field(gt=1)] = 10_000.0
    learned_sinusoidal_dim: Annotated[int, Strict(), Field(ge=2, le=LARGEST_COUNT)] | None = None
    resnet_block_groups: Count | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        widths = (self.init_dim, *(self.dim * factor for factor in self.dim_mults))
        if any(width % (self.resnet_block_groups or 1) for width in widths):
            raise ValueError(f"resnet_block_groups: must divide the widths {widths}")
        lists = self.full_attn, self.attn_heads, self.attn_dim_head
        if {*map(len, lists)} != {len(self.dim_mults)}:
            raise ValueError("full_attn, attn_heads, attn_dim_head: must be as long as dim_mults")
        return self


@table
class KDiffusionConfig:
    """The network `image_v1` of k-diffusion, under the keys of its configuration.

    mapping_out: width of the level's embedding
    depths, channels, self_attn_depths: of each size, the largest first

    Raises ConfigError that names every invalid value.
    """

    input_channels: Count
    mapping_out: Annotated[int, Strict(), Field(ge=2, le=LARGEST_COUNT, multiple_of=2)]
    depths: _Multipliers
    channels: Annotated[tuple[Count, ...], Field(min_length=1, max_length=16)]
    self_attn_depths: tuple[Flag, ...]
    patch_size: Annotated[int, Strict(), _SMALL] = 1

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if {len(self.depths), len(self.self_attn_depths)} != {len(self.channels)}:
            raise ValueError("depths, self_attn_depths: must be as long as channels")
        return self


@dataclasses.dataclass(frozen=True)
class ConfiguredUNet(ForeignUNet):
    """Network of another program, whose configuration is a table of the card.

    `key` is the name of that table, `channels` the number of those of its images.
    """

    config: LucidrainsConfig | KDiffusionConfig | None = None
    channels: int = 0
    key: ClassVar[str] = ""

    def text(self) -> str:
        """Return the dimensions as one line."""
        pairs = vars(self.config).items()
        return ", ".join(f"{key} {value}" for key, value in pairs if value is not None)


class LucidrainsUNet(ConfiguredUNet):
    """Network of a model saved by denoising-diffusion-pytorch."""

    key = "lucidrains"

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> LucidrainsUNet:
        """Read the table of a configuration. Raises ValueError unless it is one."""
        config = _configured(LucidrainsConfig, table, cls.key)
        return cls(config.dim, config.dim_mults, 2, config=config, channels=config.channels)


class KDiffusionUNet(ConfiguredUNet):
    """Network of a model saved by k-diffusion."""

    key = "kdiffusion"

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> KDiffusionUNet:
        """Read the table of a configuration. Raises ValueError unless it is one."""
        config = _configured(KDiffusionConfig, table, cls.key)
        base, patch = gcd(*config.channels), config.patch_size
        widths = tuple(width // base for width in config.channels)
        depth, channels = max(config.depths), config.input_channels
        return cls(base, widths, depth, patch_size=patch, config=config, channels=channels)


def _configured(kind: type[_Config], table: Mapping[str, Any], key: str) -> _Config:
    try:
        return kind(**table)
    except (ConfigError, TypeError) as error:
        raise ValueError(f"{key}: {error}") from None


@table
class CosineConfig:
    """MLP of a band of coarse levels, which works on cosines instead of pixels (`cosines.py`).

    `width` and `blocks` are the size of the MLP, `features` the number of its random frequencies,
    `level_features` the number of frequencies that encode the level, `num_classes` that of rows of
    the class embedding, as in a U-Net.

    Raises ConfigError that names every invalid value.
    """

    width: Count
    blocks: Annotated[int, Strict(), _SMALL]
    features: Count
    level_features: Annotated[int, Strict(), Field(ge=1, le=256)] = 16
    num_classes: Classes | None = None


def require_halving(key: str, size: int, unet: UNetConfig) -> None:
    """Raise ValueError if a U-Net cannot halve an image of `size` pixels, the value of `key`."""
    halvings = len(unet.channel_mult) - 1
    divisor = 2**halvings * unet.patch
    if size % divisor:
        reason = f"with this channel_mult the U-Net halves it {halvings} times"
        if unet.patch > 1:
            reason += f", after patches of {unet.patch} pixels"
        raise ValueError(f"{key} = {size}: must be divisible by {divisor}: {reason}")


def halves(key: str) -> AfterValidator:
    """Return a validator of U-Nets, which must be able to halve an image of the size `key`."""

    def check(unet: UNetConfig, info: ValidationInfo) -> UNetConfig:
        if (size := info.data.get(key)) is not None:
            require_halving(key, size, unet)
        return unet

    return AfterValidator(check)


@table
class Band:
    """Band of a cascade's levels, from `lowest_level` up to the next band, and its network.

    The network is a `unet`, or an MLP over `cosines`. Its input and output are the lowest `side` ×
    `side` cosines of each channel, for a U-Net as an image of `side` pixels; by default all.

    Raises ConfigError that names every invalid value.
    """

    lowest_level: Level
    side: Count | None = None
    unet: Annotated[UNetConfig, halves("side")] | None = None
    cosines: Annotated[
        CosineConfig | None,
        reject_with(
            lambda cosines, info: (
                "a band has one network: a table unet, or a table cosines"
                if "unet" in info.data and (info.data["unet"] is None) == (cosines is None)
                else None
            )
        ),
    ] = None

    @property
    def classes(self) -> int | None:
        """Rows of its network's class embedding; None if it takes no labels."""
        network = self.unet or self.cosines
        assert network is not None
        return network.num_classes


def _foreign(value: Any) -> Any:
    """Return the network of another program for its table; other values are returned unchanged."""
    if isinstance(value, dict) and "diffusers" in value:
        return DiffusersUNet.of_json(value)
    for network in (LucidrainsUNet, KDiffusionUNet):
        if isinstance(value, dict) and [*value] == [network.key]:
            return network.of(value[network.key])
    return value


Network = Annotated[UNetConfig, BeforeValidator(_foreign), halves("image_size")]
"""A U-Net for a card's images; in a card, also that of another program."""
