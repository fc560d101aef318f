"""Models of k-diffusion: safetensors whose metadata holds the configuration as JSON; no torch.

`convert_for_inference.py` of that program writes them, with averaged weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.networks import KDiffusionConfig, KDiffusionUNet
from sitegen.generative.checkpoints.archive import OTHER_WAYS
from sitegen.generative.process.edm import EdmConfig

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 50
"""Number of steps by default of the program's `sample.py`."""
SOLVERS = ("heun", "euler")
KEYS = tuple(KDiffusionConfig.__dataclass_fields__)
_CONDITIONS = ("mapping_cond_dim", "unet_cond_dim", "cross_cond_dim")


def config_of(notes: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the configuration in a file's metadata; None if it has none of this program."""
    try:
        config = json.loads(notes["config"])
        return config if isinstance(config["model"]["type"], str) else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def kdiffusion_card(
    path: Path, config: Mapping[str, Any], levels: int | None, sampler: str | None
) -> ModelCard:
    """Return the card of a model.

    Raises RefusedError for networks that are not supported, ConfigError for another sampler.
    """
    model = config["model"]
    if model["type"] != "image_v1":
        raise RefusedError(
            f"{path}: a network of the type {str(model['type'])[:40]}; of k-diffusion sitegen has "
            f"image_v1; {OTHER_WAYS}"
        )
    if conditions := [key for key in (*_CONDITIONS, "skip_stages") if model.get(key)]:
        raise RefusedError(f"{path}: {conditions[0]} is not supported; {OTHER_WAYS}")
    if sampler not in (None, *SOLVERS):
        raise ConfigError(f"--sampler-name {sampler}: a model of k-diffusion has heun and euler")
    size = model.get("input_size")
    if not isinstance(size, list) or len(size) != 2 or size[0] != size[1]:
        raise RefusedError(f"{path}: input_size {str(size)[:40]}: its images are not square")
    solver: Any = sampler or "heun"
    count = levels or STEPS
    try:
        ends = {key: model[key] for key in ("sigma_min", "sigma_max", "sigma_data") if key in model}
        edm = EdmConfig(**{"sigma_data": 1.0} | ends, solver=solver)
        unet = KDiffusionUNet.of({key: model[key] for key in KEYS if key in model})
        return ModelCard(size[0], unet.channels, count, kind="edm", unet=unet, edm=edm)
    except (ConfigError, ValueError, KeyError) as error:
        raise RefusedError(f"{path}: its configuration: {error}") from None


def renamed(tensors: Mapping[str, Tensor], outputs: int) -> dict[str, Tensor]:
    """Return tensors by the names of `ImageUnet`, for a number of `outputs` of its last layer.

    The augmentations of training add nothing when sampling, and a last output is a log-variance.
    """
    weights = {name.removeprefix("inner_model."): tensor for name, tensor in tensors.items()}
    weights.pop("mapping_cond.weight", None)
    for name in ("proj_out.weight", "proj_out.bias"):
        if name in weights and len(weights[name]) == outputs + 1:
            weights[name] = weights[name][:-1]
    return weights
