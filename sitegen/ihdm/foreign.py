"""Models of other programs that tell all that a model card says; no torch.

- IHDM-spectral: a `.pt` whose blur schedule lies inside, with a `config.json` beside it.
- diffusers: a folder (`diffusersfolder.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sitegen.errors import ConfigError
from sitegen.ihdm.archive import open_archive
from sitegen.ihdm.card import CARD_NAME, ModelCard, read_card
from sitegen.ihdm.diffusersfolder import diffusers_model
from sitegen.ihdm.inputs import is_folder, read_json, sniff
from sitegen.ihdm.networks import UNetConfig
from sitegen.ihdm.schedule import BlurSchedule

CONFIG_NAME = "config.json"
_NOISE = 0.01
_RATIO = 1.25
"""Training noise, and sampling noise over it, where nothing is said: as published."""


def foreign_model(path: Path) -> tuple[Path, ModelCard] | None:
    """The weights file and the card of a model that another program saved.

    None for other models, and where there is a card of ours: in the folder, or beside a file that
    it names.

    Raises RefusedError or ConfigError for one that is damaged, unsafe or not supported.
    """
    if is_folder(path):
        return diffusers_model(path)
    if _is_named(path) or sniff(path) != "pth":
        return None
    with open_archive(path) as archive:
        schedule = archive.schedule()
    return None if schedule is None else (path, _spectral_card(path, schedule))


def tells_itself(path: Path) -> bool:
    """Whether a model has a configuration of another program with it, so that no card is missed."""
    places = (path, path / "unet") if is_folder(path) else (path.parent,)
    return any((place / CONFIG_NAME).is_file() for place in places)


def _is_named(path: Path) -> bool:
    """Whether the card in the folder of a file names it."""
    if not (path.parent / CARD_NAME).is_file():
        return False
    weights = read_card(path.parent).weights
    return weights is not None and path.parent / weights.file == path


def _spectral_card(path: Path, schedule: BlurSchedule) -> ModelCard:
    """The card of IHDM-spectral's checkpoint; K and the blur are those of the file itself."""
    place = path.with_name(CONFIG_NAME)
    if not place.exists():
        raise ConfigError(
            f"{path}: an IHDM-spectral checkpoint says its blur, but not its network; put its "
            f"{CONFIG_NAME} beside it, or give its model card"
        )
    try:
        return _card(_flat(read_json(place)), schedule)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


def _card(values: Mapping[str, Any], schedule: BlurSchedule) -> ModelCard:
    names = ("image_size", "num_channels", "model_channels", "channel_mult")
    missing = [name for name in names if name not in values]
    if missing:
        raise ConfigError(f"lacks {', '.join(missing)}; give a model card instead")
    unet = {key: values[key] for key in UNetConfig.__dataclass_fields__ if key in values}
    training = values.get("training_noise_std", values.get("sigma")) or _NOISE
    sampling = values.get("sampling_noise_std", values.get("delta")) or _RATIO * training
    return ModelCard(
        image_size=values["image_size"],
        channels=values["num_channels"],
        levels=schedule.levels,
        unet=UNetConfig(**unet),
        blur=schedule,
        training_noise_std=training,
        sampling_noise_std=sampling,
    )


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """The values of nested tables by their last name; what stands outermost counts."""
    inner = [_flat(value) for value in table.values() if isinstance(value, dict)]
    own = {key: value for key, value in table.items() if not isinstance(value, dict)}
    return {key: value for part in (*reversed(inner), own) for key, value in part.items()}
