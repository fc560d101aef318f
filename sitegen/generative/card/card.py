"""Model cards: all that is needed to build and sample a model, except its weights.

A card is a frozen `ModelCard`, stored as `model.toml` in the folder of the weights. This module
does not need torch.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields, is_dataclass
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Discriminator, Field, Strict, Tag
from pydantic.dataclasses import dataclass

from sitegen.core.diagnostics import known_words, placed
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import canonical_json, is_folder, read_text
from sitegen.core.installed import resource
from sitegen.core.source import KeyPath, parse_toml, shown, toml_lines
from sitegen.generative.card.blur import BlurRange as BlurRange
from sitegen.generative.card.blur import BlurSchedule as BlurSchedule
from sitegen.generative.card.diffusion import DiffusionConfig as DiffusionConfig
from sitegen.generative.card.diffusion import SamplingConfig as SamplingConfig
from sitegen.generative.card.flow import FlowConfig, flow_times
from sitegen.generative.card.kinds import KINDS, Ability, Kind, LevelAxis, ProcessKind
from sitegen.generative.card.networks import (
    Band,
    DiffusersUNet,
    UNetConfig,
    halving_incompatibilities,
)
from sitegen.generative.card.noise import BlurringConfig, ColdConfig, EdmConfig, SdeConfig
from sitegen.generative.card.recording import RecordingConfig, SamplerConfig
from sitegen.generative.card.validation import (
    PART,
    Count,
    Incompatibilities,
    Level,
    Number,
    Word,
    checked,
    must,
    read_tables,
)

T = TypeVar("T")

CARD_NAME = "model.toml"
STATE_NAME = "training.pt"
"""File of a run of `sitegen train`, from which it continues."""
TRAINING_NOISE_STD = 0.01
"""Training noise σ of the published models, and the default of sitegen's."""
NOISE_RATIO = 1.25
"""Default ratio of sampling noise to training noise, δ/σ, as published."""

_NOTES = ("training", "quality", "known_faults", "example", "subject")
_HEAT = (
    *("blur", "prior", "training_noise_std", "sampling_noise_std", "parameterization"),
    "bands",
)
"""Fields that only heat dissipation models have."""

Parameterization = Literal["difference", "preconditioned"]
_Noise = Annotated[Number, Field(gt=0)]


def sampling_noise(training_noise_std: float) -> float:
    """Return the default δ of a model trained with noise σ."""
    return round(NOISE_RATIO * training_noise_std, 9)


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    plain = bool(parts) and not {"..", "/"} & set(parts)
    return plain and path.isprintable() and "\\" not in path and len(path) <= 255


_Inside = Annotated[
    Word, must("a path inside the card's own folder, such as weights.safetensors", _is_inside)
]
_HEX = re.compile("[0-9a-f]{64}")
_Digest = Annotated[Word, must("64 hexadecimal digits in lower case", _HEX.fullmatch)]


@checked("file of a card")
@dataclass(frozen=True, config=PART)
class FileRef:
    """File of a card: its path from the card's folder, and its digest if pinned."""

    file: _Inside = Field(description="the path from the card's folder")
    sha256: _Digest | None = None


def _unet(value: object) -> object:
    if isinstance(value, Mapping) and "diffusers" in value:
        return DiffusersUNet.of_json(value)
    return value


def _form(blur: object) -> str:
    explicit = isinstance(blur, BlurSchedule) or (isinstance(blur, Mapping) and "schedule" in blur)
    return "<schedule>" if explicit else "<range>"


def _blur(value: object) -> object:
    if isinstance(value, Mapping) and "schedule" in value and {"sigma_min", "sigma_max"} & {*value}:
        raise ValueError("give sigma_min and sigma_max or a schedule, not both")
    return value


_Blur = Annotated[
    Annotated[BlurRange, Tag("<range>")] | Annotated[BlurSchedule, Tag("<schedule>")],
    Discriminator(_form),
    BeforeValidator(_blur),
]
_Subject = Annotated[
    Word,
    must(
        "a text of at most 100 characters on one line",
        lambda v: len(v) <= 100 and (v == "" or v.isprintable()),
    ),
]


@checked("card")
@dataclass(frozen=True, config=PART)
class ModelCard:
    """Complete description of a model without its weights.

    Sizes are in pixels, noise levels are standard deviations in [0, 1] pixel units. A DDPM has
    `diffusion` and no blur, prior, noise levels or parameterization. A model has one `unet`, or it
    is a cascade: `bands` of levels, from level 1 up, each with its network. `sampling` lists the
    levels to visit; the default is all. Cascades and skipped levels need the parameterization
    "preconditioned". A recording has a `recording` and no network; its `weights` are the recorded
    file. A flow has a `flow`; with `diffusion` it is a DDPM's network run as a flow. A `sampler` is
    an author's class, which says itself what it is. `edm`, `sde`, `cold` and `blurring` are the
    tables of other processes (`noise.py`). `training` and `quality` are free notes.
    `example` is a picture of the kind that the model generates; `subject` names the subject of its
    images, in the plural ("handwritten digits").

    Raises ConfigError that names every invalid value.
    """

    image_size: Count = Field(description="the side of its images, in pixels")
    channels: Annotated[int, Strict(), must("1 (grey) or 3 (colour)", lambda v: v in (1, 3))] = (
        Field(description="1 for grey images, 3 for colour")
    )
    levels: Level = Field(description="K, the steps from the flattest state to the sharp one")
    unet: Annotated[UNetConfig | None, BeforeValidator(_unet)] = Field(
        None, description="the network, a table"
    )
    blur: _Blur | None = None
    kind: Kind = "ihdm"
    training_noise_std: _Noise = TRAINING_NOISE_STD
    sampling_noise_std: _Noise = sampling_noise(TRAINING_NOISE_STD)
    parameterization: Parameterization = "difference"
    weights: FileRef | None = None
    prior: FileRef | None = None
    example: FileRef | None = None
    training: Mapping[str, Any] = field(default_factory=dict, hash=False)
    quality: Mapping[str, Any] = field(default_factory=dict, hash=False)
    known_faults: tuple[Word, ...] = ()
    subject: _Subject = ""
    diffusion: DiffusionConfig | None = None
    bands: tuple[Band, ...] = ()
    sampling: SamplingConfig | None = None
    recording: RecordingConfig | None = None
    flow: FlowConfig | None = None
    sampler: SamplerConfig | None = None
    edm: EdmConfig | None = None
    sde: SdeConfig | None = None
    cold: ColdConfig | None = None
    blurring: BlurringConfig | None = None

    origin: ClassVar[tuple[str, Mapping[KeyPath, int]]] = CARD_NAME, {}
    """File that the card was read from, and the lines of its keys, if it was read from one."""

    def incompatibilities(self) -> Incompatibilities:
        """Yield fields that the kind of model does not have or needs, and sizes that do not fit."""
        for key, (owners, words) in _OWNED.items():
            if getattr(self, key) is not None and self.kind not in owners:
                yield key, words
        yield from _BY_KIND[self.kind](self)
        if self.kind not in _WITHOUT_NETWORK:
            visited = self.sampling.levels if self.sampling else None
            if visited and visited[0] != self.levels:
                yield ("sampling", "levels"), f"must begin with K, {self.levels}"
            yield from _network_incompatibilities(self)

    @cached_property
    def schedule(self) -> BlurSchedule:
        """Blur scales σ_B of levels 0 … K. Raises ConfigError for a model that does not blur."""
        if isinstance(self.blur, BlurRange):
            return BlurSchedule.log_spaced(self.levels, self.blur.sigma_min, self.blur.sigma_max)
        if self.blur is None:
            raise ConfigError(f'a card of kind "{self.kind}" has no blur schedule')
        return self.blur

    @cached_property
    def flow_times(self) -> tuple[float, ...]:
        """Times t of the levels 0 … K of a flow."""
        return flow_times(self.flow, self.diffusion, self.levels)

    @property
    def process(self) -> ProcessKind:
        """What is known of the model's kind of process."""
        return KINDS[self.kind]

    @cached_property
    def axis(self) -> LevelAxis:
        """What a viewer reads of each level."""
        return self.process.axis(self)

    @cached_property
    def abilities(self) -> frozenset[Ability]:
        """What the process of the model can do."""
        return self.process.abilities(self)

    @property
    def noise_std(self) -> float | None:
        """The sampling noise δ, where the process has one to choose."""
        return self.sampling_noise_std if "noise_std" in self.abilities else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one image."""
        return (self.channels, self.image_size, self.image_size)

    @cached_property
    def networks(self) -> tuple[Band, ...]:
        """Bands of levels with their networks, from level 1 up; a single network is one band."""
        if self.bands or "network" not in self.abilities:
            return self.bands
        return (Band(1, unet=self.unet),)

    def band_at(self, level: int) -> int:
        """Return the place among the `networks` of the one for a level from 1 up."""
        return sum(band.lowest_level <= level for band in self.networks) - 1

    @property
    def finest(self) -> UNetConfig:
        """U-Net of level 1."""
        found = self.networks[0].unet
        assert found is not None
        return found

    @cached_property
    def visited_levels(self) -> tuple[int, ...]:
        """Levels that a sample visits, from K to 0."""
        chosen = self.sampling.levels if self.sampling else None
        return tuple(range(self.levels, -1, -1)) if chosen is None else (*chosen, 0)

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
        return self.parameterization == "preconditioned" or any(self.guidance)

    @property
    def guidance(self) -> tuple[float, ...]:
        """Guidance of each band's network; 0 unless the card sets it."""
        given = self.sampling.guidance if self.sampling else None
        return given if isinstance(given, tuple) else (given or 0.0,) * len(self.networks)

    @property
    def steps(self) -> int:
        """Number of steps of a sample."""
        return len(self.visited_levels) - 1

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all values that affect samples: not file names, notes or the example."""
        values = {key: value for key, value in plain(self).items() if key not in _NOTES}
        for key in ("weights", "prior"):
            values[key] = values.get(key, {}).get("sha256")
        return hashlib.sha256(canonical_json(values).encode()).hexdigest()

    def place(self, *key: str | int) -> str:
        """Return the location of a key as `FILE:LINE: KEY`; only the key if it was not read."""
        return str(placed(*self.origin, key, ""))

    @classmethod
    def from_toml(cls, text: str, where: str = CARD_NAME) -> ModelCard:
        """Parse a card. Raises ConfigError with all problems, each with `where` and the line."""
        tables = parse_toml(text, where)
        words = f"is required with training_noise_std; {NOISE_RATIO} times that is a good value"
        more = {"sampling_noise_std": words}
        alone = "training_noise_std" in tables and "sampling_noise_std" not in tables
        card = read_tables(cls, tables, text, where, more if alone else {})
        object.__setattr__(card, "origin", (where, toml_lines(text)))
        return card

    def to_toml(self) -> str:
        """Return the card as TOML; `from_toml` reads an equal card from it."""
        import tomlkit

        document = tomlkit.document()
        for key, value in _tables_last(plain(self)).items():
            if value in ({}, [], ""):
                continue
            item = tomlkit.item(value)
            document.add(
                key, item.multiline(True) if isinstance(item, tomlkit.items.Array) else item
            )
        return tomlkit.dumps(document)


_DEFAULTS = {item.name: item.default for item in fields(ModelCard)}


def _tables_last(value: Any) -> Any:
    if isinstance(value, list):
        return [_tables_last(item) for item in value]
    if not isinstance(value, dict):
        return value
    pairs = sorted(value.items(), key=lambda pair: _place_in_toml(pair[1]))
    return {key: _tables_last(item) for key, item in pairs}


def _place_in_toml(value: Any) -> int:
    if isinstance(value, dict):
        return 2
    return int(isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value))


def _foreign_to(card: ModelCard, keys: Sequence[str], kind: str) -> Incompatibilities:
    """Yield the keys that a kind of model does not have."""
    for key in keys:
        if getattr(card, key) not in (None, _DEFAULTS[key]):
            yield key, f"a {kind} has none; leave it out"


def _without_heat(card: ModelCard, kind: str) -> Incompatibilities:
    """Yield what only heat dissipation has."""
    yield from _foreign_to(card, _HEAT, kind)
    for key in ("variance", "forward"):
        if card.sampling and getattr(card.sampling, key) is not None:
            yield ("sampling", key), f"a {kind} has none; leave it out"


def _diffusion_incompatibilities(card: ModelCard) -> Incompatibilities:
    yield from _without_heat(card, "DDPM")
    if card.diffusion is None:
        yield "diffusion", "is missing: how noise was added"


def _flow_incompatibilities(card: ModelCard) -> Incompatibilities:
    yield from _without_heat(card, "flow")
    flow = card.flow or FlowConfig()
    if flow.times and len(flow.times) != card.levels + 1:
        words = f"has {len(flow.times)} values; {card.levels} steps have {card.levels + 1} states"
        yield ("flow", "times"), words
    for key in ("times", "data_time", "time_scale"):
        if card.diffusion is not None and getattr(flow, key) != getattr(FlowConfig(), key):
            yield ("flow", key), "follows from [diffusion]; leave it out"


def _of_table(key: str, card: ModelCard) -> Incompatibilities:
    """Yield what a kind lacks, or does not have, whose levels are those of its table `key`."""
    yield from _foreign_to(card, (*_HEAT, "sampling"), f'model of kind "{card.kind}"')
    if getattr(card, key) is None:
        yield key, f"is missing: a table [{key}]"


def _edm_incompatibilities(card: ModelCard) -> Incompatibilities:
    yield from _of_table("edm", card)
    sigmas = card.edm.sigmas if card.edm else None
    if sigmas and len(sigmas) != card.levels:
        words = f"has {len(sigmas)} values; {card.levels} steps need {card.levels}"
        yield ("edm", "sigmas"), words


def _consistency_incompatibilities(card: ModelCard) -> Incompatibilities:
    yield from _edm_incompatibilities(card)
    for key in ("solver", "churn", "churn_min", "churn_max", "churn_noise"):
        if card.edm and getattr(card.edm, key) not in (None, getattr(EdmConfig, key)):
            yield ("edm", key), "a consistency model has none; leave it out"


def _cold_incompatibilities(card: ModelCard) -> Incompatibilities:
    yield from _of_table("cold", card)
    if card.cold is None:
        return
    if card.cold.start_mean and len(card.cold.start_mean) != card.channels:
        words = f"must have a number for each of the {card.channels} channels"
        yield ("cold", "start_mean"), words
    if card.cold.kernel_size >= 2 * card.image_size:
        yield ("cold", "kernel_size"), f"must be below twice the image_size, {card.image_size}"


def _without_network(key: str, what: str, card: ModelCard) -> Incompatibilities:
    """Yield what a recording or a sampler lacks; `what` its table `key` is."""
    yield from _foreign_to(card, (*_HEAT, "unet", "sampling"), key)
    table = getattr(card, key)
    if table is None:
        yield key, f"is missing: {what}"
    elif table.values and len(table.values) != card.levels + 1:
        words = f"has {len(table.values)} values; level 0 and {card.levels} levels make"
        yield (key, "values"), f"{words} {card.levels + 1}"


def _heat_incompatibilities(card: ModelCard) -> Incompatibilities:
    blur = card.blur
    if blur is None:
        yield "blur", "is missing: the blur of the levels, sigma_min and sigma_max"
    elif isinstance(blur, BlurRange):
        if blur.sigma_min == blur.sigma_max and card.levels != 1:
            yield "blur", "sigma_max must be above sigma_min"
    elif len(blur.sigmas) != card.levels + 1:
        words = f"its schedule has {len(blur.sigmas)} values; level 0 and {card.levels} levels need"
        yield "blur", f"{words} {card.levels + 1}"
    if isinstance(card.unet, DiffusersUNet):
        yield "unet", 'diffusers: only for a card of kind "ddpm"'
    for key in ("bands", "sampling"):
        if card.parameterization == "difference" and getattr(card, key):
            yield key, 'only for the parameterization "preconditioned"; leave it out'


def _network_incompatibilities(card: ModelCard) -> Incompatibilities:
    size = card.image_size
    if card.unet is None and not card.bands:
        yield "unet", "is missing: the network, a table; or a cascade, as [[bands]]"
    if card.unet is not None and card.bands:
        yield "unet", "is not allowed with [[bands]], which list all networks; leave it out"
    for network in (card.unet, *(band.unet for band in card.bands if band.side is None)):
        yield from halving_incompatibilities("image_size", size, network)
    for number, band in enumerate(card.bands):
        if band.lowest_level > card.levels:
            yield ("bands", number, "lowest_level"), f"must be at most levels, {card.levels}"
        if band.side is not None and band.side > size:
            yield ("bands", number, "side"), f"must be at most image_size, {size}"
    guidance = card.sampling.guidance if card.sampling else None
    networks = len(card.bands) or 1
    if isinstance(guidance, tuple) and len(guidance) != networks:
        words = f"has {len(guidance)} numbers; must be one, or one for each of the {networks} bands"
        yield ("sampling", "guidance"), words
    yield from _band_incompatibilities(card.bands, size)


def _band_incompatibilities(bands: Sequence[Band], size: int) -> Incompatibilities:
    """Yield bands out of order, and a first band without a U-Net for whole images."""
    before = 0
    for number, band in enumerate(bands):
        if number == 0 and band.lowest_level != 1:
            yield ("bands", 0, "lowest_level"), "must be 1: the first band has the finest levels"
        elif band.lowest_level <= before:
            words = f"must be above that of the previous band, {before}"
            yield ("bands", number, "lowest_level"), words
        before = band.lowest_level
    if bands and bands[0].cosines is not None:
        yield ("bands", 0, "cosines"), "the first band, of the finest levels, needs a U-Net"
    if bands and bands[0].side not in (None, size):
        yield ("bands", 0, "side"), f"the first band must see all {size} pixels; leave it out"


_RECORDED = "what was recorded; `sitegen add NAME --recording FILE`"
_ASKED = "what the sampler can do, which it says itself"
_BY_KIND: dict[str, Callable[[ModelCard], Incompatibilities]] = {
    "ihdm": _heat_incompatibilities,
    "ddpm": _diffusion_incompatibilities,
    "flow": _flow_incompatibilities,
    "edm": _edm_incompatibilities,
    "consistency": _consistency_incompatibilities,
    "sde": partial(_of_table, "sde"),
    "cold": _cold_incompatibilities,
    "blurring": partial(_of_table, "blurring"),
    "recording": partial(_without_network, "recording", _RECORDED),
    "sampler": partial(_without_network, "sampler", _ASKED),
}
_TABLES = ("sde", "cold", "blurring")
_WITHOUT_NETWORK = ("recording", "sampler")
_OWNED: dict[str, tuple[tuple[str, ...], str]] = {
    "recording": (("recording",), 'only a card of kind "recording" has that; leave it out'),
    "sampler": (("sampler",), 'only a card of kind "sampler" has that; leave it out'),
    "diffusion": (("ddpm", "flow"), 'only for a card of kind "ddpm" or "flow"; leave it out'),
    "flow": (("flow",), 'only for a card of kind "flow"; leave it out'),
    "edm": (("edm", "consistency"), 'only for a card of kind "edm" or "consistency"; leave it out'),
    **{key: ((key,), f'only for a card of kind "{key}"; leave it out') for key in _TABLES},
}
"""Tables of some kinds alone: the kinds, and the rule."""


def read_card(path: Path | str) -> ModelCard:
    """Read a card from a `model.toml`, or from a folder that contains one.

    Raises RefusedError if the file cannot be read, ConfigError if its content is invalid.
    """
    file = Path(path)
    file = file / CARD_NAME if is_folder(file) else file
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


def required(table: T | None) -> T:
    """Return a table of a card that cards of its kind always have."""
    assert table is not None
    return table


def plain(value: Any) -> Any:
    """Return dataclasses as tables without None and unused later fields, and tuples as lists."""
    if isinstance(value, DiffusersUNet):
        return {"diffusers": value.config}
    if isinstance(value, BlurSchedule):
        return {"schedule": list(value.sigmas)}
    if is_dataclass(value):
        pairs = ((item.name, getattr(value, item.name)) for item in fields(value))
        later = getattr(value, "LATER", {})
        found = {k: plain(v) for k, v in pairs if v is not None and later.get(k) is not v}
        if not isinstance(value, ModelCard):
            return found
        unused = ("bands",) if "blur" in value.abilities else (*_HEAT, "sampling")
        return {
            k: v for k, v in found.items() if k not in unused or getattr(value, k) != _DEFAULTS[k]
        }
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value
