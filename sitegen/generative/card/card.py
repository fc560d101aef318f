"""Model cards: all that is needed to build and sample a model, except its weights.

A card is a frozen `ModelCard`, stored as `model.toml` in the folder of the weights. Its class is
that of its `kind`, which is also its process (`sitegen.generative.process`). Reading a card needs
neither torch nor NumPy.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, field, fields, is_dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, Strict, TypeAdapter, ValidationError, model_validator

from sitegen.core.diagnostics import config_error, known_words, placed, quoted, toml_diagnostics
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import canonical_json, read_text
from sitegen.core.installed import resource
from sitegen.core.source import parse_toml, shown, toml_lines
from sitegen.generative.card.abilities import Abilities, LevelAxis
from sitegen.generative.card.blur import BlurRange as BlurRange
from sitegen.generative.card.blur import BlurSchedule as BlurSchedule
from sitegen.generative.card.kinds import kind_class
from sitegen.generative.card.labels import LabelsConfig
from sitegen.generative.card.networks import Band, ConfiguredUNet, DiffusersUNet, UNetConfig
from sitegen.generative.card.parts import Count, Level, Word, must, table
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.card.tables import DiffusionConfig, RecordingConfig, SamplerConfig

if TYPE_CHECKING:
    from typing import Self

CARD_NAME = "model.toml"
STATE_NAME = "training.pt"
"""File of a run of `sitegen train`, from which it continues."""

_NOTES = ("training", "quality", "known_faults", "example", "subject")
_WIDTH = 100
"""Longest line of an array in a card's file."""


def _inside(path: str) -> str:
    """Reject paths that lead out of a folder."""
    parts = PurePosixPath(path).parts
    fits = parts and not {"..", "/"} & {*parts} and path.isprintable() and len(path) <= 255
    if not fits or "\\" in path:
        raise ValueError(
            "should be a path inside the card's own folder, such as weights.safetensors"
        )
    return path


_HEX = re.compile("[0-9a-f]{64}")
_Digest = Annotated[Word, must("64 hexadecimal digits in lower case", _HEX.fullmatch)]
_Subject = Annotated[
    Word,
    must(
        "a text of at most 100 characters on one line",
        lambda v: len(v) <= 100 and (v == "" or v.isprintable()),
    ),
]


@table
class FileRef:
    """File of a card: its path from the card's folder, and its digest if pinned."""

    file: Annotated[Word, AfterValidator(_inside)] = Field(
        description="the path from the card's folder"
    )
    sha256: _Digest | None = None


@table
class ModelCard:
    """Complete description of a model without its weights; the base class of all kinds.

    Sizes are in pixels. `training` and `quality` are free notes. `example` is a picture of the kind
    that the model generates; `subject` names the subject of its images, in the plural
    ("handwritten digits"). `labels` are the classes that it takes.

    `ModelCard(…, kind=…)` makes a card of the class of that kind.

    Raises ConfigError that names every invalid value.
    """

    image_size: Count = Field(description="the larger side of its images, in pixels")
    channels: Annotated[int, Strict(), must("1 (grey) or 3 (colour)", lambda v: v in (1, 3))] = (
        Field(description="1 for grey images, 3 for colour")
    )
    levels: Level = Field(description="K, the steps from the flattest state to the sharp one")
    _: KW_ONLY
    kind: str = "ihdm"
    weights: FileRef | None = None
    prior: FileRef | None = None
    labels: LabelsConfig | None = None
    example: FileRef | None = None
    training: Mapping[str, Any] = field(default_factory=dict, hash=False)
    quality: Mapping[str, Any] = field(default_factory=dict, hash=False)
    known_faults: tuple[Word, ...] = ()
    subject: _Subject = ""

    if TYPE_CHECKING:

        def __init__(self, *values: Any, **named: Any) -> None: ...

    def __new__(cls, *_: Any, **named: Any) -> Self:
        """Make a card of the class of its kind, as `pathlib.Path` makes one of its system."""
        # Copying and unpickling call this, too, with the class of the kind and no values.
        kind = kind_class(named.get("kind", "ihdm")) if cls is ModelCard else cls
        return object.__new__(kind)

    @model_validator(mode="after")
    def _networks_fit(self) -> Self:
        learns = any(band.unet is not None and band.unet.learn_sigma for band in self.networks)
        diffusion = self.diffusion if self.kind == "ddpm" else None
        if learns != (diffusion is not None and diffusion.variance == "learned"):
            raise ValueError('learn_sigma of [unet] and variance = "learned" of a DDPM go together')
        rows = [band.classes for band in self.networks if band.classes is not None]
        wanted = self.labels.rows if self.labels else 0
        if "network" in self.abilities and (wanted or rows) and {*rows} != {wanted}:
            raise ValueError(
                f"labels: {len(self.labels.names) if self.labels else 'no'} names, for networks "
                f"with num_classes = {quoted(rows)}; {wanted} fits"
            )
        return self

    @property
    def label(self) -> str:
        """Name of the method in pictures."""
        return self.kind

    @property
    def abilities(self) -> Abilities:
        """Abilities of the model's process."""
        raise NotImplementedError

    @property
    def symbol(self) -> str:
        """Symbol of the axis of levels."""
        return "t"

    @property
    def unit(self) -> str:
        """Unit of the axis of levels."""
        return ""

    def level_values(self) -> Iterable[float]:
        """Return what a viewer reads of the levels 0 … K."""
        return range(self.levels + 1)

    @cached_property
    def axis(self) -> LevelAxis:
        """Axis of the levels, rounded so that every machine writes the same digits."""
        return LevelAxis(
            self.symbol, self.unit, tuple(round(float(v), 4) for v in self.level_values())
        )

    def first_state(self, *, several: bool = False) -> str:
        """Return the first state in words: of one sample, or of several."""
        return "noise"

    @property
    def evaluations(self) -> int:
        """The number of times that a step evaluates the network."""
        return 1

    @property
    def predicts(self) -> str:
        """Output of the network; empty if it is not known."""
        return ""

    # Parts that only some kinds have; each is a field of these.

    @property
    def unet(self) -> UNetConfig | None:
        """The network, if it is one."""
        return None

    @property
    def bands(self) -> tuple[Band, ...]:
        """Bands of levels with their networks, from level 1 up, of a cascade."""
        return ()

    @property
    def sampling(self) -> SamplingConfig | None:
        """Settings of sampling, if the card has any."""
        return None

    @property
    def diffusion(self) -> DiffusionConfig | None:
        """Noise process of a DDPM, if the network is that of one."""
        return None

    @property
    def noise_std(self) -> float | None:
        """The sampling noise δ, where the process has one to choose."""
        return None

    @property
    def schedule(self) -> BlurSchedule:
        """Blur scales σ_B of levels 0 … K. Raises ConfigError for a model that does not blur."""
        raise ConfigError(f'a card of kind "{self.kind}" has no blur schedule')

    @property
    def recording(self) -> RecordingConfig | None:
        """Description of a recording; None for other models."""
        return None

    @property
    def sampler(self) -> SamplerConfig | None:
        """Description of an author's sampler; None for other models."""
        return None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one image."""
        facts = self.recording or self.sampler
        size = (facts and facts.size) or (self.image_size, self.image_size)
        return (self.channels, *size)

    @cached_property
    def networks(self) -> tuple[Band, ...]:
        """Bands of levels with their networks, from level 1 up; a single network is one band."""
        return self.bands or ((Band(1, unet=self.unet),) if self.unet else ())

    def band_at(self, level: int) -> int:
        """Return the index among the `networks` of the one for a level from 1 up."""
        return sum(band.lowest_level <= level for band in self.networks) - 1

    @property
    def finest(self) -> UNetConfig:
        """U-Net of level 1."""
        unet = self.networks[0].unet
        assert unet is not None
        return unet

    @cached_property
    def visited_levels(self) -> tuple[int, ...]:
        """Levels that a sample visits, from K to 0."""
        chosen = self.sampling.levels if self.sampling else None
        return tuple(range(self.levels, -1, -1)) if chosen is None else (*chosen, 0)

    @property
    def steps(self) -> int:
        """Number of steps of a sample."""
        return len(self.visited_levels) - 1

    @property
    def guidance(self) -> tuple[float, ...]:
        """Guidance of each band's network; 0 unless the card sets it."""
        weights = self.sampling.guidance if self.sampling else None
        return weights if isinstance(weights, tuple) else (weights or 0.0,) * len(self.networks)

    @property
    def estimates_variance(self) -> bool:
        """True if the weights hold an estimate of the variance that the model leaves."""
        return self.sampling is not None and self.sampling.variance == "estimated"

    @property
    def keeps_noise(self) -> bool:
        """True if the forward process is a Markov chain, which keeps noise between levels."""
        return self.sampling is not None and self.sampling.forward == "markov"

    @property
    def has_statistics(self) -> bool:
        """True if the weights hold mean and variance of the data's cosines."""
        return any(self.guidance)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all values that affect samples: not file names, notes or the example."""
        values = {key: value for key, value in _stored(self).items() if key not in _NOTES}
        for key in ("weights", "prior"):
            values[key] = values.get(key, {}).get("sha256")
        return hashlib.sha256(canonical_json(values).encode()).hexdigest()

    @classmethod
    def from_toml(cls, text: str, where: str = CARD_NAME) -> ModelCard:
        """Parse a card. Raises ConfigError with all problems, each with `where` and the line."""
        tables = parse_toml(text, where)
        try:
            kind = kind_class(tables.get("kind", "ihdm"))
        except ConfigError as error:
            fault = placed(where, toml_lines(text), ("kind",), str(error)[4:])
            raise config_error([fault]) from None
        try:
            return TypeAdapter(kind).validate_python(tables)  # type: ignore[no-any-return]
        except ValidationError as error:
            raise config_error(toml_diagnostics(error, kind, text, where)) from error

    def to_toml(self) -> str:
        """Return the card as TOML; `from_toml` reads an equal card from it."""
        import tomlkit

        return tomlkit.dumps(_toml_item(_stored(self)))


def _stored(card: ModelCard) -> dict[str, Any]:
    """Return the tables of a card's file, without empty ones."""
    return {key: value for key, value in plain(card).items() if value not in ({}, [], "")}


def _toml_item(value: Any) -> Any:
    """Return a value with its lists as arrays of tomlkit; long ones have a line for each item."""
    import tomlkit

    if isinstance(value, dict):
        return {key: _toml_item(item) for key, item in value.items()}
    if not isinstance(value, list) or any(isinstance(item, dict) for item in value):
        return value
    items = [tomlkit.item(_toml_item(item)).as_string() for item in value]
    line = f"[{', '.join(items)}]"
    # As text: building an array of 4,000 items in tomlkit takes 6 s, and parsing it 0.15 s.
    return tomlkit.value(
        line if len(line) <= _WIDTH else "[\n    " + ",\n    ".join(items) + ",\n]"
    )


def plain(value: Any) -> Any:
    """Return dataclasses as tables without None, and tuples as lists."""
    if isinstance(value, DiffusersUNet):
        return {"diffusers": value.config}
    if isinstance(value, ConfiguredUNet):
        return {value.key: plain(value.config)}
    if isinstance(value, BlurSchedule):
        return {"schedule": list(value.sigmas)}
    if is_dataclass(value):
        pairs = ((item.name, getattr(value, item.name)) for item in fields(value))
        return {k: plain(v) for k, v in pairs if v is not None}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


def read_card(path: Path | str) -> ModelCard:
    """Read a card from a `model.toml`, or from a folder that contains one.

    Raises RefusedError if the file cannot be read, ConfigError if its content is invalid.
    """
    file = Path(path)
    file = file / CARD_NAME if os.path.isdir(file) else file
    return ModelCard.from_toml(read_text(file, "model card"), str(file))


def card_beside(weights: Path) -> ModelCard | None:
    """Return the card in the folder of a file if it names the file as its weights, else None."""
    if not (weights.parent / CARD_NAME).is_file():
        return None
    card = read_card(weights.parent)
    return card if card.weights and weights.parent / card.weights.file == weights else None


def require_finished(folder: Path) -> None:
    """Raise RefusedError if `folder` has a run of `sitegen train`, and no model yet."""
    if (folder / STATE_NAME).is_file() and not (folder / CARD_NAME).is_file():
        raise RefusedError(
            f"{shown(folder)}: holds an unfinished run; the command that began it continues it, "
            "and with --finish writes the model from what was learned"
        )


def presets() -> tuple[str, ...]:
    """Return the names of the published configurations, sorted."""
    return tuple(sorted(path.stem for path in resource("presets").glob("*.toml")))


def preset(name: str) -> ModelCard:
    """Return the card of a published configuration. Raises ConfigError if there is none."""
    if name not in presets():
        raise ConfigError(f"presets: {name}: unknown preset{known_words(name, presets())}")
    file = resource("presets") / f"{name}.toml"
    return ModelCard.from_toml(file.read_text(encoding="utf-8"), f"{name}.toml")
