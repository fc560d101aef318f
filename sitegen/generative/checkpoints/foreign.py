"""Models of other programs that contain everything needed for a model card; no torch.

- IHDM-spectral: a `.pt` with its blur schedule, and a `config.json` next to it.
- k-diffusion: safetensors with their configuration.
- diffusers: a folder with its configuration, its scheduler and its weights.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import read_json, sha256
from sitegen.generative.card.card import CARD_NAME, FileRef, ModelCard, card_beside
from sitegen.generative.card.networks import DiffusersUNet, UNetConfig
from sitegen.generative.checkpoints.archive import OTHER_WAYS, open_checkpoint
from sitegen.generative.checkpoints.kdiffusion import config_of, kdiffusion_card
from sitegen.generative.checkpoints.schedulers import require, schedule_of
from sitegen.generative.process.dissipation import TRAINING_NOISE_STD, sampling_noise

CONFIG_NAME = "config.json"
SCHEDULER_NAME = "scheduler_config.json"
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")


class Foreign(NamedTuple):
    """A model of another program: its weights and its card."""

    weights: Path
    card: ModelCard


def foreign_model(
    path: Path, levels: int | None = None, sampler: str | None = None
) -> Foreign | None:
    """Return a model that another program saved, with the card that it needs here.

    Returns None for other models, and for models with a card in the folder or next to the file.

    levels, sampler: number of steps, and one of `schedulers.SAMPLERS`, of a model of diffusers or
        k-diffusion

    Raises RefusedError or ConfigError for a model that is damaged, unsafe or not supported.
    """
    if os.path.isdir(path):
        return _diffusers_model(path, levels, sampler)
    if card_beside(path) is not None:
        return None
    checkpoint = open_checkpoint(path)
    if (settings := config_of(checkpoint.notes)) is not None:
        return Foreign(path, kdiffusion_card(path, settings, levels, sampler))
    if (schedule := checkpoint.schedule) is None:
        return None
    config = path.with_name(CONFIG_NAME)  # K and the blur come from the file itself
    if not config.exists():
        raise ConfigError(
            f"{path}: an IHDM-spectral checkpoint has its blur, but not its network; put its "
            f"{CONFIG_NAME} next to it, or give its model card"
        )
    try:
        values = _flat(read_json(config))
        names = ("image_size", "num_channels", "model_channels", "channel_mult")
        if missing := [name for name in names if name not in values]:
            raise ConfigError(f"lacks {', '.join(missing)}; give a model card instead")
        unet = {key: values[key] for key in UNetConfig.__dataclass_fields__ if key in values}
        training = values.get("training_noise_std", values.get("sigma")) or TRAINING_NOISE_STD
        sampling = values.get("sampling_noise_std", values.get("delta")) or sampling_noise(training)
        card = ModelCard(
            image_size=values["image_size"],
            channels=values["num_channels"],
            levels=schedule.levels,
            unet=UNetConfig(**unet),
            blur=schedule,
            training_noise_std=training,
            sampling_noise_std=sampling,
        )
        return Foreign(path, card)
    except ConfigError as error:
        raise ConfigError(f"{config}: {error}") from None


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of nested tables by their last name; outer values take precedence."""
    inner = [_flat(value) for value in table.values() if isinstance(value, dict)]
    outer = {key: value for key, value in table.items() if not isinstance(value, dict)}
    return {key: value for part in (*reversed(inner), outer) for key, value in part.items()}


def _diffusers_model(folder: Path, levels: int | None, sampler: str | None) -> Foreign | None:
    """Return a model saved by diffusers; None for other folders.

    The card's file is named relative to `folder`. Raises RefusedError for a model of another kind,
    for code in place of a configuration, and for weights that are not safetensors.
    """
    inner = folder / "unet"
    network = inner if (inner / CONFIG_NAME).is_file() else folder
    if (folder / CARD_NAME).exists() or not (network / CONFIG_NAME).is_file():
        return None
    config = read_json(network / CONFIG_NAME)
    if network == folder and "_class_name" not in config:
        return None
    # Diffusers would run modules in the folder, and classes that are not its own.
    if code := sorted({*folder.glob("*.py"), *network.glob("*.py")}):
        raise RefusedError(
            f"{code[0]}: code in a model's folder is never run; if the model is a plain "
            "UNet2DModel all the same, remove that file"
        )
    index, plain = folder / "model_index.json", ["diffusers", "UNet2DModel"]
    owner = read_json(index).get("unet", plain) if index.is_file() else plain
    if owner != plain:
        raise RefusedError(
            f"{index}: its unet is {json.dumps(owner)[:100]}; only diffusers' own UNet2DModel is "
            f"loaded, and no code of others is run; {OTHER_WAYS}"
        )
    weights = next((network / name for name in _WEIGHTS if (network / name).is_file()), None)
    if weights is None and any(network.glob("*.bin")):
        raise RefusedError(
            f"{network}: has its weights as a pickle (.bin), which may run code; save them as "
            "safetensors: pipeline.save_pretrained(folder, safe_serialization=True)"
        )
    if weights is None:
        lacks = f"has no {_WEIGHTS[0]}; larger models in parts are not supported"
        raise RefusedError(f"{network}: {lacks}; {OTHER_WAYS}")
    path = network / CONFIG_NAME
    only = {"_class_name": "UNet2DModel", "num_class_embeds": None, "class_embed_type": None}
    require(path, config, only)
    if "auto_map" in config:
        raise RefusedError(f"{path}: auto_map names third-party code, which is never run")
    missing = [key for key in ("sample_size", "in_channels", "out_channels") if key not in config]
    if missing:
        raise RefusedError(f"{path}: lacks {', '.join(missing)}")
    if config["in_channels"] != config["out_channels"]:
        raise RefusedError(f"{path}: in_channels and out_channels differ; {OTHER_WAYS}")
    schedulers = (folder / "scheduler" / SCHEDULER_NAME, folder / SCHEDULER_NAME)
    scheduler = next((path for path in schedulers if path.is_file()), None)
    if scheduler is None:
        raise RefusedError(
            f"{folder}: has no {SCHEDULER_NAME}, which defines how noise was added; {OTHER_WAYS}"
        )
    fields = schedule_of(scheduler, read_json(scheduler), levels, sampler)
    reference = FileRef(weights.relative_to(folder).as_posix(), sha256(weights))
    try:
        fields = {**fields, "unet": DiffusersUNet.of(config), "weights": reference}
        card = ModelCard(image_size=config["sample_size"], channels=config["in_channels"], **fields)
    except ConfigError as error:
        raise RefusedError(f"{path}: {error}") from None
    return Foreign(weights, card)
