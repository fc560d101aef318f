"""Loading of checkpoints: from a file on disk to a `Model`, or a clear error.

Two formats are distinguished by their first bytes, never by their names: the published `.pth`, and
our safetensors. Any fault of a file raises RefusedError; nothing is loaded in part. `inspection.py`
describes a checkpoint without torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from math import isclose
from pathlib import Path

import torch
from torch import Tensor

from sitegen.core.compute import Precision
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import regular_size, sha256
from sitegen.generative.card.card import CARD_NAME, ModelCard, card_beside, presets, read_card
from sitegen.generative.card.networks import DiffusersUNet, KDiffusionUNet
from sitegen.generative.checkpoints import kdiffusion
from sitegen.generative.checkpoints.archive import (
    HEAD,
    Checkpoint,
    has_learned_variance,
    open_checkpoint,
    require_whole,
)
from sitegen.generative.checkpoints.dimensions import Shapes, differences, shapes_of
from sitegen.generative.checkpoints.foreign import foreign_model
from sitegen.generative.checkpoints.inspection import weights_file
from sitegen.generative.checkpoints.weights import (
    CASCADE,
    MEANING,
    RESIDUAL,
    STATISTICS,
    notes,
    prefixes,
    scales_of,
    type_name,
)
from sitegen.generative.maths.heat import Statistics, rings
from sitegen.generative.networks.construct import new_network
from sitegen.generative.networks.diffusers_unet import DiffusersAdapter, renamed
from sitegen.generative.process.model import CardModel, model_with, require_device

WEIGHTS_NAME = "weights.safetensors"


def load_model(
    path: Path | str,
    card: ModelCard | Path | str | None = None,
    device: str = "cpu",
    precision: Precision = "float32",
) -> CardModel:
    """Load a model for sampling, in evaluation mode, on `device`: the model of the card's kind.

    `path` is a checkpoint file, or a folder with a `model.toml` that names one. `card` is a card or
    its path; without it, the `model.toml` next to the weights is used if it names them. If the file
    has averaged weights (EMA), they are used. `precision` is the network's number type.

    Raises RefusedError for a file that is missing, damaged, unsafe or does not fit the card;
    ConfigError for an invalid card, device or precision; PlatformError for a device that this
    machine lacks.
    """
    if precision not in ("float32", "bfloat16"):
        raise ConfigError(f'precision "{precision}": must be "float32" or "bfloat16"')
    require_device(device)
    file = Path(path)
    own_card = card if isinstance(card, ModelCard) or card is None else read_card(card)
    if own_card is None and file.exists() and (foreign := foreign_model(file)):
        file, own_card = foreign.weights, foreign.card
    elif os.path.isdir(file):
        folder, file = file, weights_file(file)
        own_card = own_card or read_card(folder)
    else:
        regular_size(file, "checkpoint")
        own_card = own_card or card_beside(file)
    if own_card is None:
        raise ConfigError(
            f"{file}: a checkpoint does not contain its image size, levels, blur or heads; give "
            f"its card (a {CARD_NAME}), or that of a preset: {', '.join(presets())}"
        )
    if own_card.kind == "recording":
        raise ConfigError(
            f"{file}: a recording has no network; pages show its states, and "
            "sitegen.generative.data.recording.open_recording(FILE).states('state') yields them"
        )
    weights, networks = read_weights(file, own_card), []
    for prefix, band in zip(prefixes(own_card), own_card.networks, strict=True):
        with torch.device("meta"):
            network = new_network(band, own_card.channels, own_card.image_size)
        network_weights = {name: weights[prefix + name] for name in network.state_dict()}
        # `assign`, since parameters on the device "meta" have no memory to copy into.
        network.load_state_dict(network_weights, strict=True, assign=True)
        foreign_network = isinstance(band.unet, DiffusersUNet)
        networks.append(DiffusersAdapter(network) if foreign_network else network)
    statistics = _statistics(weights) if own_card.has_statistics else None
    model = model_with(own_card, networks, statistics, precision)
    return model.eval().requires_grad_(False).to(device)


def read_weights(path: Path, card: ModelCard) -> dict[str, Tensor]:
    """Return all verified weights of the card's model by name, as float32 on the CPU.

    Names, shapes and types are compared with the card's networks before any number is read. Raises
    RefusedError as `load_model` does.
    """
    checkpoint = open_checkpoint(path)
    choose = _of_sitegen if checkpoint.layout == "weights" else _of_torch
    tensors, scales = choose(path, card, checkpoint)
    # Before any number is copied: a tensor with strides of 0 may claim any size.
    if sum(tensor.nbytes for tensor in tensors.values()) > checkpoint.bytes:
        raise RefusedError(f"{path}: its tensors share numbers, so that they have more than it has")
    pinned = card.weights.sha256 if card.weights else None
    if pinned is None:
        require_whole(path)
    elif pinned != (digest := sha256(path)):
        raise RefusedError(
            f"{path}: damaged, or not the file that its card means: its SHA-256 is not {pinned}; "
            f'if it was trained on, write sha256 = "{digest}" into [weights] of its card'
        )
    weights = {}
    for name, tensor in tensors.items():
        numbers = tensor.detach().to(torch.float32, copy=True).contiguous()
        if name in scales:
            numbers *= tensors[scales[name]].view(-1, *(1 for _ in tensor.shape[1:]))
        if not bool(numbers.isfinite().all()):
            raise RefusedError(f"{path}: {name} holds numbers that are not finite")
        weights[name] = numbers
    return {name: numbers for name, numbers in weights.items() if name not in scales.values()}


@lru_cache(maxsize=16)
def network_shapes(card: ModelCard) -> Mapping[str, tuple[int, ...]]:
    """Return names and shapes of all the card's networks, in order, without allocating weights."""
    shapes: dict[str, tuple[int, ...]] = {}
    for prefix, band in zip(prefixes(card), card.networks, strict=True):
        with torch.device("meta"):
            empty = new_network(band, card.channels, card.image_size).state_dict()
        shapes |= {prefix + name: tuple(tensor.shape) for name, tensor in empty.items()}
    return shapes


def _of_torch(
    path: Path, card: ModelCard, checkpoint: Checkpoint
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors for sampling: the averages, matched by position, or a bare state dict."""
    if card.has_statistics:
        needs = "which a preconditioned or guided model needs"
        raise RefusedError(f"{path}: a .pth has no statistics of the data, {needs}")
    if (stored := checkpoint.schedule) is not None:  # with which the weights were trained
        sigmas = card.schedule.sigmas
        if len(sigmas) != len(stored.sigmas) or not all(map(isclose, sigmas, stored.sigmas)):
            raise RefusedError(
                f"{path}: holds a blur schedule of {stored.levels} levels up to "
                f"{stored.sigmas[-1]:g} pixels, which is not the card's; give the card its values, "
                "as [blur] schedule"
            )
    shapes = network_shapes(card)
    tensors = dict(checkpoint.weights)
    for name, tensor in tensors.items():  # 1 × 1 convolutions of consistency_models
        if name.endswith((".qkv.weight", ".proj_out.weight")) and tensor.dim() == 4:
            tensors[name] = tensor.flatten(2)
    if "blur" not in card.abilities and has_learned_variance(shapes_of(tensors)):
        tensors |= {name: tensors[name][: shapes[name][0]] for name in HEAD if name in tensors}
    _check_shapes(path, shapes_of(tensors), shapes)
    if checkpoint.layout == "published":
        tensors = _averages_by_name(path, card, checkpoint, shapes)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise RefusedError(f"{path}: {name} holds {type_name(tensor)}, not floats")
    return {name: tensors[name] for name in shapes}, {}


def _averages_by_name(
    path: Path, card: ModelCard, checkpoint: Checkpoint, shapes: Shapes
) -> dict[str, Tensor]:
    if checkpoint.averages is None:
        raise RefusedError(
            f"{path}: has no averaged weights (ema), which sampling needs; to use the raw ones all "
            'the same, save checkpoint["model"] alone as a file and give that'
        )
    if list(checkpoint.weights) != list(shapes):
        raise RefusedError(
            f"{path}: its parameters are in a different order than the published ones, so the "
            "averaged weights, a list without names, cannot be matched to names"
        )
    if len(checkpoint.averages) != len(shapes):
        count = len(checkpoint.averages)
        raise RefusedError(f"{path}: its ema has {count} tensors, the network has {len(shapes)}")
    tensors = dict(zip(shapes, checkpoint.averages, strict=True))
    _check_shapes(path, shapes_of(tensors), shapes, "ema: ")
    return tensors


def _of_sitegen(
    path: Path, card: ModelCard, checkpoint: Checkpoint
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file by the names that the network uses, and the names of
    the scales of byte weights.
    """
    tensors, networks = dict(checkpoint.weights), network_shapes(card)
    if isinstance(card.finest, DiffusersUNet):
        names = renamed(tensors)
        tensors = {names[name]: tensor for name, tensor in tensors.items()}
    elif isinstance(card.finest, KDiffusionUNet):
        tensors = kdiffusion.renamed(tensors, card.channels * card.finest.patch**2)
    shapes = dict(networks)
    if card.has_statistics:
        shapes |= dict.fromkeys(STATISTICS, card.shape)
    elif "blur" not in card.abilities:  # its guidance was removed
        tensors = {name: tensor for name, tensor in tensors.items() if name not in STATISTICS}
    if card.estimates_variance:
        channels = (card.channels, card.channels) if card.channels > 1 else ()
        shapes[RESIDUAL] = (card.levels, rings(card.image_size), *channels)
    else:
        tensors.pop(RESIDUAL, None)
    scales = scales_of(path, tensors)
    numbers = {name: item for name, item in tensors.items() if name not in scales.values()}
    expected = notes(card)
    for key in (CASCADE, *map(".".join, MEANING)):  # settings that shapes do not show
        if (noted := checkpoint.notes.get(key)) not in (None, expected.get(key)):
            raise RefusedError(f"{path}: its card must have {key} = {noted}")
    _check_shapes(path, shapes_of(numbers), shapes)
    for name, tensor in numbers.items():
        allowed = ["float32"] if name not in networks else ["float32", "float16", "bfloat16"]
        if type_name(tensor) not in allowed and (name not in scales or name not in networks):
            types = " or ".join(allowed)
            raise RefusedError(f"{path}: {name} holds {type_name(tensor)}; should be {types}")
    return tensors, scales


def _check_shapes(path: Path, shapes: Shapes, expected: Shapes, part: str = "") -> None:
    if lines := differences(shapes, expected):
        more = f"\n  and {len(lines) - 5} more" if len(lines) > 5 else ""
        listed = "".join(f"\n  {line}" for line in lines[:5])
        raise RefusedError(
            f"{path}: {part}these weights do not fit the card's network:{listed}{more}\n"
            "`sitegen inspect` shows the network of a file"
        )


def _statistics(weights: Mapping[str, Tensor]) -> Statistics:
    mean, variance = (weights[name] for name in STATISTICS)
    if bool((variance < 0).any()):
        raise RefusedError(f"{STATISTICS[1]} of the weights is negative; train the model again")
    residual = weights.get(RESIDUAL)
    if residual is not None:
        # (K, rings) variances, or (K, rings, C, C) covariances of the channels
        whole = residual if residual.dim() == 4 else residual[..., None, None]
        # Rounding to float32 takes the least eigenvalue of a single hue to -1e-7 of the variance.
        least = torch.linalg.eigvalsh(whole.double()).amin(-1)
        largest = whole.diagonal(dim1=-2, dim2=-1).amax(-1)
        if not torch.equal(whole, whole.mT) or bool((least < -1e-6 * largest).any()):
            raise RefusedError(
                f"{RESIDUAL} of the weights is negative, or no covariance; train the model again"
            )
    return Statistics(mean, variance, residual)
