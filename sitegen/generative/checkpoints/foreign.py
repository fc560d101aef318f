"""Models of other programs that contain everything needed for a model card; no torch.

- IHDM-spectral: a `.pt` with its blur schedule, and a `config.json` next to it.
- diffusers: a folder with its configuration, its scheduler and its weights.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import is_folder, read_json, sha256, sniff
from sitegen.generative.card.card import CARD_NAME, BlurSchedule, FileRef, ModelCard, card_beside
from sitegen.generative.card.networks import DiffusersUNet, UNetConfig
from sitegen.generative.checkpoints.archive import open_checkpoint
from sitegen.generative.process.ddpm import DiffusionConfig
from sitegen.generative.process.dissipation import TRAINING_NOISE_STD, sampling_noise
from sitegen.generative.process.edm import EdmConfig
from sitegen.generative.process.flow import FLOW_STEPS, FlowConfig
from sitegen.generative.process.sde import SdeConfig

CONFIG_NAME = "config.json"


def foreign_model(path: Path) -> tuple[Path, ModelCard] | None:
    """Return the weights file and the card of a model that another program saved.

    Returns None for other models, and for models with a card in the folder or next to the file.

    Raises RefusedError or ConfigError for a model that is damaged, unsafe or not supported.
    """
    if is_folder(path):
        return diffusers_model(path)
    if card_beside(path) is not None:
        return None
    if sniff(path) != "pth" or (schedule := open_checkpoint(path).schedule) is None:
        return None
    config = path.with_name(CONFIG_NAME)  # K and the blur come from the file itself
    if not config.exists():
        raise ConfigError(
            f"{path}: an IHDM-spectral checkpoint has its blur, but not its network; put its "
            f"{CONFIG_NAME} next to it, or give its model card"
        )
    try:
        return path, _spectral_card(_flat(read_json(config)), schedule)
    except ConfigError as error:
        raise ConfigError(f"{config}: {error}") from None


def has_foreign_config(path: Path) -> bool:
    """Return whether another program's configuration replaces the missing card."""
    places = (path, path / "unet") if is_folder(path) else (path.parent,)
    return any((place / CONFIG_NAME).is_file() for place in places)


def _spectral_card(values: Mapping[str, Any], schedule: BlurSchedule) -> ModelCard:
    names = ("image_size", "num_channels", "model_channels", "channel_mult")
    if missing := [name for name in names if name not in values]:
        raise ConfigError(f"lacks {', '.join(missing)}; give a model card instead")
    unet = {key: values[key] for key in UNetConfig.__dataclass_fields__ if key in values}
    training = values.get("training_noise_std", values.get("sigma")) or TRAINING_NOISE_STD
    sampling = values.get("sampling_noise_std", values.get("delta")) or sampling_noise(training)
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
    """Return the values of nested tables by their last name; outer values take precedence."""
    inner = [_flat(value) for value in table.values() if isinstance(value, dict)]
    own = {key: value for key, value in table.items() if not isinstance(value, dict)}
    return {key: value for part in (*reversed(inner), own) for key, value in part.items()}


SCHEDULER_NAME = "scheduler_config.json"
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
EDM_STEPS, CONSISTENCY_STEPS = 18, 2
"""Default number of steps, whose networks are for any noise level."""
_FLOW_PLAIN = (
    *("use_dynamic_shifting", "invert_sigmas", "stochastic_sampling", "shift_terminal"),
    *("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"),
)
"""Settings of a flow's scheduler that are supported only if they are off."""
_BETAS = {"linear": "linear", "squaredcos_cap_v2": "cosine"}
_VARIANCES = {
    f"fixed_{size}{end}": f"fixed_{size}" for size in ("small", "large") for end in ("", "_log")
}
_PREDICTIONS = {"epsilon": None, "v_prediction": "v_prediction"}
_PLAIN = {
    "thresholding": False,
    "rescale_betas_zero_snr": False,
    "trained_betas": None,
    "clip_sample_range": 1.0,
}
"""Scheduler settings that are supported with one value only."""


def diffusers_model(folder: Path) -> tuple[Path, ModelCard] | None:
    """Return the weights file and the card of a model saved by diffusers; None for other folders.

    The card's file is named relative to `folder`. Raises RefusedError for a model of another kind,
    for code in place of a configuration, and for weights that are not safetensors.
    """
    inner = folder / "unet"
    place = inner if (inner / CONFIG_NAME).is_file() else folder
    if (folder / CARD_NAME).exists() or not (place / CONFIG_NAME).is_file():
        return None
    config = read_json(place / CONFIG_NAME)
    if place == folder and "_class_name" not in config:
        return None
    _refuse_code(folder, place)
    weights = _weights(place)
    unet = _unet(place / CONFIG_NAME, config)
    schedulers = (folder / "scheduler" / SCHEDULER_NAME, folder / SCHEDULER_NAME)
    scheduler = next((path for path in schedulers if path.is_file()), None)
    if scheduler is None:
        raise RefusedError(f"{folder}: has no {SCHEDULER_NAME}, which defines how noise was added")
    size, channels = (config[key] for key in ("sample_size", "in_channels"))
    settings = read_json(scheduler)
    name = settings.get("_class_name", "DDPMScheduler")
    if name not in _SCHEDULERS:
        raise RefusedError(f"{scheduler}: {name}: known are {', '.join(_SCHEDULERS)}")
    levels, process = _SCHEDULERS[name](scheduler, settings)
    reference = FileRef(weights.relative_to(folder).as_posix(), sha256(weights))
    try:
        return weights, ModelCard(size, channels, levels, unet, **process, weights=reference)
    except ConfigError as error:
        raise RefusedError(f"{place / CONFIG_NAME}: {error}") from None


def _refuse_code(folder: Path, place: Path) -> None:
    """Refuse code that diffusers would run: modules in the folder, or classes that are not its
    own.
    """
    if code := sorted({*folder.glob("*.py"), *place.glob("*.py")}):
        raise RefusedError(
            f"{code[0]}: code in a model's folder is never run; if the model is a plain "
            "UNet2DModel all the same, remove that file"
        )
    index = folder / "model_index.json"
    if not index.is_file():
        return
    owner = read_json(index).get("unet", ["diffusers", "UNet2DModel"])
    if owner != ["diffusers", "UNet2DModel"]:
        raise RefusedError(
            f"{index}: its unet is {json.dumps(owner)[:100]}; only diffusers' own UNet2DModel is "
            "loaded, and no code of others is run"
        )


def _weights(place: Path) -> Path:
    if found := [place / name for name in _WEIGHTS if (place / name).is_file()]:
        return found[0]
    if any(place.glob("*.bin")):
        raise RefusedError(
            f"{place}: has its weights as a pickle (.bin), which may run code; save them as "
            "safetensors: pipeline.save_pretrained(folder, safe_serialization=True)"
        )
    raise RefusedError(f"{place}: has no {_WEIGHTS[0]}; larger models in parts are not supported")


def _unet(path: Path, config: Mapping[str, Any]) -> DiffusersUNet:
    """Return the network of a configuration. Raises RefusedError unless it is a supported U-Net."""
    wanted = {"_class_name": "UNet2DModel", "num_class_embeds": None, "class_embed_type": None}
    _require(path, config, wanted)
    if "auto_map" in config:
        raise RefusedError(f"{path}: auto_map names third-party code, which is never run")
    missing = [key for key in ("sample_size", "in_channels", "out_channels") if key not in config]
    if missing:
        raise RefusedError(f"{path}: lacks {', '.join(missing)}")
    if config["in_channels"] != config["out_channels"]:
        raise RefusedError(f"{path}: in_channels and out_channels differ; a DDPM's output is noise")
    try:
        return DiffusersUNet.of(config)
    except ConfigError as error:
        raise RefusedError(f"{path}: {error}") from None


def _flow(path: Path, config: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the number of steps, and the card's fields, of a flow's scheduler.

    Its σ is the time, with data at 0. As in diffusers, the first and last σ of training and the
    evenly spaced ones between them are shifted in turn, and 0 follows.
    """
    steps = FLOW_STEPS
    _require(path, config, {key: False for key in _FLOW_PLAIN if config.get(key) is not None})
    trained: float = config.get("num_train_timesteps", 1000)
    shift: float = config.get("shift", 1.0)

    def shifted(time: float) -> float:
        return shift * time / (1 + (shift - 1) * time)

    try:
        first, last = shifted(1.0), shifted(1 / trained)
        even = [first + (last - first) * place / (steps - 1) for place in range(steps)]
        times = (*map(shifted, even), 0.0)
        flow = FlowConfig(data_time=0, time_scale=float(trained), times=times)
    except (ConfigError, TypeError, ZeroDivisionError) as error:
        raise RefusedError(f"{path}: num_train_timesteps or shift: {error}") from None
    return steps, {"kind": "flow", "flow": flow}


def _diffusion(path: Path, config: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return K, and the card's fields, of a DDPM's scheduler."""
    _require(path, config, {key: value for key, value in _PLAIN.items() if key in config})
    schedule = _one_of(path, config.get("beta_schedule", "linear"), _BETAS)
    variance = _one_of(path, config.get("variance_type", "fixed_small"), _VARIANCES)
    predicted = _one_of(path, config.get("prediction_type", "epsilon"), _PREDICTIONS)
    ends = {"beta_start": 0.0001, "beta_end": 0.02} if schedule == "linear" else {}
    betas = {key: config.get(key, usual) for key, usual in ends.items()}
    clip = config.get("clip_sample", True)
    try:
        diffusion = DiffusionConfig(
            schedule, variance=variance, clip_sample=clip, prediction_type=predicted, **betas
        )
    except ConfigError as error:
        raise RefusedError(f"{path}: {error}") from None
    return config.get("num_train_timesteps", 1000), {"kind": "ddpm", "diffusion": diffusion}


def _sigmas(path: Path, config: Mapping[str, Any], **more: Any) -> EdmConfig:
    """Return the `[edm]` table of a scheduler with the σ of Karras et al. 2022."""
    keys = [key for key in ("sigma_min", "sigma_max", "sigma_data", "rho") if key in config]
    try:
        given: dict[str, Any] = {key: float(config[key]) for key in keys}
        return EdmConfig(**given, **more)
    except (ConfigError, TypeError, ValueError) as error:
        raise RefusedError(f"{path}: {error}") from None


_EDM_PLAIN = {"sigma_schedule": "karras", "prediction_type": "epsilon", "final_sigmas_type": "zero"}


def _edm(path: Path, config: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the number of steps, and the card's fields, of an EDM scheduler.

    The multistep solver keeps a history, which is not supported: its models are solved by Heun.
    """
    _require(path, config, {key: value for key, value in _EDM_PLAIN.items() if key in config})
    solver = "euler" if config["_class_name"] == "EDMEulerScheduler" else "heun"
    return EDM_STEPS, {"kind": "edm", "edm": _sigmas(path, config, solver=solver)}


def _consistency(path: Path, config: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the steps and the card's fields of a consistency model: every half of its σ."""
    _require(path, config, {"s_noise": 1.0} if "s_noise" in config else {})
    given = {"time_scale": 250.0, "clip": config.get("clip_denoised", True)}
    trained = config.get("num_train_timesteps", 40)
    if type(trained) is not int or not CONSISTENCY_STEPS <= trained <= 100_000:
        raise RefusedError(f"{path}: num_train_timesteps = {trained}: must be from 2 to 100,000")
    known = _sigmas(path, config, **given).of_levels(trained)
    step = trained // CONSISTENCY_STEPS
    sigmas = tuple(known[trained - step * place] for place in range(CONSISTENCY_STEPS))
    table = _sigmas(path, config, **given, sigmas=sigmas)
    return CONSISTENCY_STEPS, {"kind": "consistency", "edm": table}


def _exploding(path: Path, config: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Return the steps and the card's fields of a variance-exploding SDE, with data in [0, 1]."""
    usual = {"snr": 0.15, "sigma_min": 0.01, "sigma_max": 1348.0, "sampling_eps": 1e-5}
    values = {key: config.get(key, value) for key, value in usual.items()}
    end, steps = values.pop("sampling_eps"), config.get("correct_steps", 1)
    try:
        sde = SdeConfig("ve", corrector_steps=steps, end_time=end, centered=False, **values)
    except ConfigError as error:
        raise RefusedError(f"{path}: {error}") from None
    return config.get("num_train_timesteps", 2000), {"kind": "sde", "sde": sde}


_SCHEDULERS = {
    **dict.fromkeys(("DDPMScheduler", "DDIMScheduler", "PNDMScheduler"), _diffusion),
    "FlowMatchEulerDiscreteScheduler": _flow,
    **dict.fromkeys(("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"), _edm),
    "CMStochasticIterativeScheduler": _consistency,
    "ScoreSdeVeScheduler": _exploding,
}
"""The supported schedulers, by the name of their class."""


def _require(path: Path, config: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if config.get(key) != value:
            raise RefusedError(
                f"{path}: {key} = {json.dumps(config.get(key))[:100]}: only "
                f"{json.dumps(value)} is supported"
            )


def _one_of(path: Path, value: object, known: Mapping[str, Any]) -> Any:
    if not isinstance(value, str) or value not in known:
        raise RefusedError(
            f"{path}: {json.dumps(value)[:100]} is not supported; known are {', '.join(known)}"
        )
    return known[value]
