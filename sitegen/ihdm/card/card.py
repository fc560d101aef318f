"""The card of a model: everything that must be known to build and sample it, but its weights.

A card is a frozen `ModelCard`, written as `model.toml` beside the weights. This module does not
need torch.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import sitegen.ihdm.card.cardrules_ as cardrules
import sitegen.ihdm.card.rules as rules
from sitegen.core.errors import ConfigError
from sitegen.core.inputs import is_folder, read_text
from sitegen.core.resources import resource
from sitegen.ihdm.card.networks import CoarseConfig, DiffusersUNet, UNetConfig, network
from sitegen.ihdm.card.schedule import BlurSchedule

CARD_NAME = "model.toml"
_NOTES = ("training", "quality", "known_faults", "example", "subject")


@dataclass(frozen=True)
class BlurRange:
    """Blur scales, in pixels, of level 1 and level K; those between are evenly spaced in log."""

    sigma_min: float
    sigma_max: float

    def __post_init__(self) -> None:
        rules.refuse(cardrules.range_problems(vars(self)), "blur")
        rules.keep(self, cardrules.RANGE)


@dataclass(frozen=True)
class FileRef:
    """A file that belongs to a card: its path from the card's folder, and its digest if pinned."""

    file: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        rules.refuse(cardrules.file_problems(_plain(self)), "file of a card")


WeightsRef = FileRef


@dataclass(frozen=True)
class DiffusionConfig:
    """How a DDPM adds noise, and how it is sampled unless told otherwise.

    `beta_schedule` is "linear", from `beta_start` to `beta_end`, or "cosine" (Nichol and Dhariwal
    2021), which has neither. `variance` is "fixed_small" (the posterior's) or "fixed_large" (β);
    `clip_sample` keeps predicted images in [-1, 1]. `rescale_timesteps` says that the network knows
    timesteps as if there were 1000 of them, as improved-diffusion trains it unless told.

    Raises ConfigError that names every value that is wrong.
    """

    beta_schedule: str
    beta_start: float | None = None
    beta_end: float | None = None
    variance: str = "fixed_small"
    clip_sample: bool = True
    rescale_timesteps: bool = False

    def __post_init__(self) -> None:
        rules.refuse(cardrules.diffusion_problems(_plain(self)), "diffusion")
        rules.keep(self, cardrules.DIFFUSION)


@dataclass(frozen=True)
class ModelCard:
    """A model without its weights.

    Sizes are in pixels, noise levels are standard deviations in [0, 1] pixel units. A DDPM has
    `diffusion` and no blur, prior, noise levels or parameterization. `coarse` is the network of a
    "preconditioned" model for coarse levels, where it has one. `training` and `quality` are
    free notes. `example` is a picture of the kind that the model makes; `subject` says what those
    are, in the plural ("handwritten digits").

    Raises ConfigError that names every value that is wrong.
    """

    image_size: int
    channels: int
    levels: int
    unet: UNetConfig
    blur: BlurRange | BlurSchedule | None = None
    kind: str = "ihdm"
    training_noise_std: float = 0.01
    sampling_noise_std: float = 0.0125
    parameterization: str = "difference"
    weights: FileRef | None = None
    prior: FileRef | None = None
    example: FileRef | None = None
    training: Mapping[str, Any] = field(default_factory=dict, hash=False)
    quality: Mapping[str, Any] = field(default_factory=dict, hash=False)
    known_faults: tuple[str, ...] = ()
    subject: str = ""
    diffusion: DiffusionConfig | None = None
    coarse: CoarseConfig | None = None

    def __post_init__(self) -> None:
        rules.refuse(cardrules.card_problems(_plain(self)), "card")
        rules.keep(self, cardrules.CARD)

    @property
    def schedule(self) -> BlurSchedule:
        """σ_B of the levels 0 … K. Raises ConfigError for a model that does not blur."""
        if isinstance(self.blur, BlurRange):
            return BlurSchedule.log_spaced(self.levels, self.blur.sigma_min, self.blur.sigma_max)
        if self.blur is None:
            raise ConfigError(f'a card of kind "{self.kind}" has no blur schedule')
        return self.blur

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return (self.channels, self.image_size, self.image_size)

    @property
    def digest(self) -> str:
        """SHA-256 of what decides samples: neither file names nor notes count, nor the example."""
        values = {key: value for key, value in _plain(self).items() if key not in _NOTES}
        for key in ("weights", "prior"):
            values[key] = values.get(key, {}).get("sha256")
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_toml(cls, text: str, where: str = CARD_NAME) -> ModelCard:
        """Read a card; ConfigError tells all that is wrong, with `where` and the line."""
        tables = _parse(text, where)
        rules.refuse(cardrules.card_problems(tables), where, rules.locate(text))
        return cls(**{**tables, **_built(tables)})

    def to_toml(self) -> str:
        """The card as TOML; `from_toml` gives an equal card back."""
        import tomlkit

        document = tomlkit.document()
        pairs = [(key, value) for key, value in _plain(self).items() if value not in ({}, [], "")]
        for key, value in sorted(pairs, key=lambda pair: isinstance(pair[1], Mapping)):
            item = tomlkit.item(value)
            document.add(
                key, item.multiline(True) if isinstance(item, tomlkit.items.Array) else item
            )
        return tomlkit.dumps(document)


def read_card(path: Path | str) -> ModelCard:
    """Read a card from a `model.toml`, or from a folder that holds one.

    Raises RefusedError if the file cannot be read, ConfigError if it says what cannot be.
    """
    file = Path(path)
    file = file / CARD_NAME if is_folder(file) else file
    return ModelCard.from_toml(read_text(file, "model card"), str(file))


def presets() -> tuple[str, ...]:
    """The names of the published configurations, sorted."""
    return tuple(sorted(path.stem for path in resource("presets").glob("*.toml")))


def preset(name: str) -> ModelCard:
    """The card, without weights, of a published configuration. ConfigError if there is none."""
    rules.refuse(rules.unknown([name], presets(), (), "preset"), "presets")
    file = resource("presets") / f"{name}.toml"
    return ModelCard.from_toml(file.read_text(encoding="utf-8"), f"{name}.toml")


_TABLES = UNetConfig | BlurRange | FileRef | DiffusionConfig | CoarseConfig | ModelCard


def _plain(value: Any) -> Any:
    """Dataclasses as tables without their None; tuples as lists."""
    if isinstance(value, DiffusersUNet):
        return {"diffusers": value.config}
    if isinstance(value, BlurSchedule):
        return {"schedule": list(value.sigmas)}
    if isinstance(value, _TABLES):
        pairs = ((item.name, getattr(value, item.name)) for item in fields(value))
        found = {key: _plain(item) for key, item in pairs if item is not None}
        return _without_heat(found) if isinstance(value, ModelCard) else found
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _without_heat(card: dict[str, Any]) -> dict[str, Any]:
    """A DDPM's card says nothing of what only a model that blurs has."""
    unused = cardrules.HEAT if card["kind"] == "ddpm" else ()
    defaults = {item.name: item.default for item in fields(ModelCard)}
    return {k: v for k, v in card.items() if k not in unused or v != defaults[k]}


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        message = str(error).replace("end of document", f"line {text.count(chr(10)) + 1}, column 1")
        at = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        place = f"{where}:{at[1]}:{at[2]}" if at else where
        words = message[: at.start()] if at else message
        raise ConfigError(f"{place}: this is not TOML: {words}") from None


def _built(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables that have a class of their own, built; they have been checked."""
    built: dict[str, Any] = {"unet": network(tables["unet"])}
    for key in cardrules.FILES:
        if key in tables:
            built[key] = FileRef(**tables[key])
    if "diffusion" in tables:
        built["diffusion"] = DiffusionConfig(**tables["diffusion"])
    if "coarse" in tables:
        built["coarse"] = CoarseConfig(**tables["coarse"])
    blur = tables.get("blur")
    if blur is not None:
        explicit = "schedule" in blur
        built["blur"] = BlurSchedule.explicit(blur["schedule"]) if explicit else BlurRange(**blur)
    return built
