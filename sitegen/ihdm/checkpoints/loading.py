"""Checkpoints: from a file on disk to a `Model`, or a clear refusal.

Two formats, told apart by their first bytes and never by their names: the published `.pth`, and
our safetensors. Whatever is wrong with a file raises RefusedError; nothing is loaded in part.
`inspection.py` tells what a checkpoint is without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from sitegen.core.errors import ConfigError, PlatformError, RefusedError
from sitegen.core.files import write_atomic
from sitegen.core.inputs import is_folder, regular_size
from sitegen.ihdm.card.card import CARD_NAME, FileRef, ModelCard, presets, read_card
from sitegen.ihdm.checkpoints.foreign import foreign_model
from sitegen.ihdm.checkpoints.inspection import CheckpointInfo, inspect_checkpoint, weights_file
from sitegen.ihdm.checkpoints.reading import empty_network, of_the_unet, read_weights
from sitegen.ihdm.checkpoints.weights import COARSE, STATISTICS, save_weights
from sitegen.ihdm.nets.coarse import CoarseNet
from sitegen.ihdm.nets.diffusers_unet import DiffusersAdapter
from sitegen.ihdm.nets.unet import UNet
from sitegen.ihdm.process.diffusion import DiffusionModel
from sitegen.ihdm.process.model import Model, Precision, Statistics

__all__ = [
    "CheckpointInfo",
    "convert_checkpoint",
    "inspect_checkpoint",
    "load_model",
    "locate",
    "read_weights",
    "save_weights",
]

WEIGHTS_NAME = "weights.safetensors"


def load_model(
    path: Path | str,
    card: ModelCard | Path | str | None = None,
    device: str = "cpu",
    precision: Precision = "float32",
) -> Model | DiffusionModel:
    """A model ready to sample from, in evaluation mode, on `device`: a `DiffusionModel` for a card
    of kind "ddpm", else a `Model`.

    `path` is a checkpoint file, or a folder whose `model.toml` names one. `card` is a card or the
    path of one; without it, the `model.toml` beside the weights is used if it names them. Averaged
    weights (EMA) are used where the file has both. `precision` is what the network computes in.

    Raises RefusedError for a file that is missing, damaged, unsafe or does not fit the card;
    ConfigError for a card, device or precision that cannot be; PlatformError for a device that
    this machine lacks.
    """
    place = _device(device, precision)
    file, known = locate(Path(path), card)
    return _assemble(known, read_weights(file, known), precision).to(place)


def locate(path: Path, card: ModelCard | Path | str | None = None) -> tuple[Path, ModelCard]:
    """The weights file and the card that `path` and `card` mean, as `load_model` describes."""
    known = card if isinstance(card, ModelCard) or card is None else read_card(card)
    found = foreign_model(path) if known is None and path.exists() else None
    if found is not None:
        return found
    if is_folder(path):
        return weights_file(path), known or read_card(path)
    regular_size(path, "checkpoint")
    known = known or _card_beside(path)
    if known is None:
        raise _no_card(path)
    return path, known


def convert_checkpoint(
    path: Path, card: ModelCard, folder: Path, dtype: torch.dtype = torch.float16
) -> ModelCard:
    """Write a checkpoint's weights (averaged ones where it has them) and its card into `folder`.

    Returns the card as written, which pins the weights. The card is written last.
    Raises RefusedError as `load_model` does, PlatformError if `folder` cannot be written.
    """
    weights = read_weights(path, card)
    pinned = FileRef(WEIGHTS_NAME, save_weights(folder / WEIGHTS_NAME, weights, dtype))
    written = replace(card, weights=pinned)
    write_atomic(folder / CARD_NAME, written.to_toml().encode())
    return written


def _assemble(
    card: ModelCard, weights: Mapping[str, Tensor], precision: Precision
) -> Model | DiffusionModel:
    unet = empty_network(card)
    unet.load_state_dict(of_the_unet(weights), strict=True, assign=True)
    model: Model | DiffusionModel
    if isinstance(unet, UNet) and card.kind != "ddpm":
        model = Model(card, unet, _statistics(card, weights), precision, _coarse(card, weights))
    else:
        own = unet if isinstance(unet, UNet) else DiffusersAdapter(unet)
        model = DiffusionModel(card, own, precision)
    return model.eval().requires_grad_(False)


def _coarse(card: ModelCard, weights: Mapping[str, Tensor]) -> CoarseNet | None:
    if card.coarse is None:
        return None
    net = CoarseNet(card.coarse, card.channels)
    net.load_state_dict({name: weights[COARSE + name] for name in net.state_dict()})
    return net


def _statistics(card: ModelCard, weights: Mapping[str, Tensor]) -> Statistics | None:
    if card.parameterization != "preconditioned":
        return None
    mean, variance = (weights[name] for name in STATISTICS)
    if bool((variance < 0).any()):
        raise RefusedError(f"{STATISTICS[1]} of the weights is negative; train the model again")
    return Statistics(mean, variance)


def _device(device: str, precision: str) -> torch.device:
    if precision not in ("float32", "bfloat16"):
        raise ConfigError(f'precision "{precision}": must be "float32" or "bfloat16"')
    try:
        place = torch.device(device)
    except RuntimeError:
        raise ConfigError(f'device "{device}": must be cpu, cuda or cuda:N') from None
    if place.type not in ("cpu", "cuda"):
        raise ConfigError(f'device "{device}": must be cpu, cuda or cuda:N')
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise PlatformError(f'device "{device}": there is no such device here; use cpu')
    return place


def _card_beside(path: Path) -> ModelCard | None:
    """The card in the folder of `path`, if there is one and it names this file."""
    if not (path.parent / CARD_NAME).is_file():
        return None
    card = read_card(path.parent)
    return card if card.weights and path.parent / card.weights.file == path else None


def _no_card(path: Path) -> ConfigError:
    fits = inspect_checkpoint(path).presets
    known = (
        f"it fits the preset {' or '.join(fits)}" if fits else f"presets: {', '.join(presets())}"
    )
    return ConfigError(
        f"{path}: a checkpoint does not say its image size, levels, blur or heads; give its card "
        f"(a {CARD_NAME}) or a preset ({known})"
    )
