"""Loading of checkpoints: from a file on disk to a `Model`, or a clear error.

Two formats are distinguished by their first bytes, never by their names: the published `.pth`, and
our safetensors. Any fault of a file raises RefusedError; nothing is loaded in part. `inspection.py`
describes a checkpoint without torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from math import isclose
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sitegen.core.compute import Precision
from sitegen.core.diagnostics import quoted
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.core.files import is_folder, regular_size
from sitegen.generative.card.card import (
    CARD_NAME,
    BlurSchedule,
    ModelCard,
    card_beside,
    plain,
    presets,
    read_card,
)
from sitegen.generative.card.networks import Band, DiffusersUNet
from sitegen.generative.checkpoints.archive import (
    HEAD,
    Contents,
    Numbers,
    Published,
    Stored,
    has_learned_variance,
    read_numbers,
    scan,
)
from sitegen.generative.checkpoints.floats import FLOATS, NAMES
from sitegen.generative.checkpoints.foreign import foreign_model
from sitegen.generative.checkpoints.inspection import (
    Shapes,
    differences,
    inspect_checkpoint,
    mismatch,
    weights_file,
)
from sitegen.generative.checkpoints.pickles import StoredTensor
from sitegen.generative.checkpoints.quantised import SCALE, weights_of
from sitegen.generative.checkpoints.weights import (
    BANDS,
    CASCADE,
    MEANING,
    RESIDUAL,
    STATISTICS,
    Entry,
    Header,
    meaning,
    notes,
    prefixes,
    scales_of,
)
from sitegen.generative.networks.construct import new_network
from sitegen.generative.networks.diffusers_unet import DiffusersAdapter, renamed
from sitegen.generative.process.heat import Statistics, rings
from sitegen.generative.process.kinds import new_model
from sitegen.generative.process.model import CardModel, require_device

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
    file, known = locate(Path(path), card)
    return _assemble(known, read_weights(file, known), precision).to(device)


def locate(path: Path, card: ModelCard | Path | str | None = None) -> tuple[Path, ModelCard]:
    """Return the weights file and the card for `path` and `card`, as described in `load_model`."""
    known = card if isinstance(card, ModelCard) or card is None else read_card(card)
    found = foreign_model(path) if known is None and path.exists() else None
    if found is not None:
        return found
    if is_folder(path):
        return weights_file(path), known or read_card(path)
    regular_size(path, "checkpoint")
    known = known or card_beside(path)
    if known is None:
        raise _no_card(path)
    return path, known


def read_weights(path: Path, card: ModelCard) -> dict[str, Tensor]:
    """Return all verified weights of the card's model by name, as float32 on the CPU.

    Raises RefusedError as `load_model` does.
    """
    numbers: Numbers = {}
    stored = check_weights(path, card, numbers)
    read_numbers(path, numbers)
    wanted, weights = network_shapes(card), {}
    for name, tensor in stored.items():
        kind = getattr(torch, NAMES[tensor.dtype])
        flat = torch.frombuffer(numbers[tensor], dtype=kind).float()
        if tensor.strides is None:
            weights[name] = flat.view(tensor.shape)
        else:
            weights[name] = flat.as_strided(tensor.shape, tensor.strides).contiguous()
        if name in HEAD:  # only the first half; the second is a learned variance
            weights[name] = weights[name][: wanted[name][0]]
    for name in weights_of(weights):
        scale = weights.pop(name + SCALE)
        weights[name] *= scale.view(-1, *(1 for _ in weights[name].shape[1:]))
    return weights


def check_weights(
    path: Path, card: ModelCard, numbers: Numbers | None = None
) -> Mapping[str, Stored]:
    """Check that all tensors of the card's model are present, undamaged, finite and of the right
    shape; return them by name.

    A cached file is not opened again. For any other file, requested `numbers` are filled in by the
    pass that verifies it. Raises RefusedError as `load_model` does.
    """
    stored: dict[str, Stored] = {}

    def select(contents: Contents) -> Numbers:
        stored.update(
            _check_published(path, card, contents)
            if isinstance(contents, Published)
            else _check_ours(path, card, contents)
        )
        if numbers is not None:
            numbers.update({tensor: bytearray() for tensor in stored.values()})
        return {} if numbers is None else numbers

    found = scan(path, select)
    if not stored:  # the scan was cached
        select(found.contents)
    pinned = card.weights.sha256 if card.weights else None
    if pinned not in (None, found.sha256):
        raise RefusedError(
            f"{path}: damaged, or not the file that its card means: its SHA-256 is not {pinned}; "
            f'if it was trained on, write sha256 = "{found.sha256}" into [weights] of its card'
        )
    for name, tensor in stored.items():
        if tensor in found.broken:
            raise RefusedError(f"{path}: {name} holds numbers that are not finite")
    return stored


def network_shapes(card: ModelCard) -> Mapping[str, tuple[int, ...]]:
    """Return names and shapes of all the card's networks, in order, without allocating weights."""
    return {
        prefix + name: shape
        for prefix, band in zip(prefixes(card), card.networks, strict=True)
        for name, shape in _shapes(band, card.channels, card.image_size).items()
    }


@lru_cache(maxsize=16)
def _shapes(band: Band, channels: int, image_size: int) -> Mapping[str, tuple[int, ...]]:
    with torch.device("meta"):
        empty = new_network(band, channels, image_size).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in empty.items()}


def _check_published(path: Path, card: ModelCard, published: Published) -> dict[str, StoredTensor]:
    """Return the tensors for sampling: the averages, matched by position, or a bare state dict."""
    if card.has_statistics:
        needs = "which a preconditioned or guided model needs"
        raise RefusedError(f"{path}: a .pth has no statistics of the data, {needs}")
    _check_schedule(path, card, published.schedule)
    stored = _chosen(path, card, published)
    for name, tensor in stored.items():
        if FLOATS.get(tensor.dtype, "float64") == "float64":
            raise RefusedError(f"{path}: {name} holds {tensor.dtype}, not floats")
    return stored


def _check_schedule(path: Path, card: ModelCard, own: BlurSchedule | None) -> None:
    """Check that a schedule in the file is the card's, since the weights were trained with it."""
    if own is None:
        return
    told = card.schedule.sigmas
    if len(told) != len(own.sigmas) or not all(map(isclose, told, own.sigmas)):
        raise RefusedError(
            f"{path}: holds a blur schedule of {own.levels} levels up to {own.sigmas[-1]:g} "
            "pixels, which is not the card's; give the card its values, as [blur] schedule"
        )


def _chosen(path: Path, card: ModelCard, published: Published) -> dict[str, StoredTensor]:
    wanted = network_shapes(card)
    found = {name: tensor.shape for name, tensor in published.weights.items()}
    if "label_emb.weight" in found:
        raise RefusedError(
            f"{path}: a class-conditional model; its images depend on a class, which sitegen "
            "does not provide; use an unconditional one"
        )
    if card.diffusion and has_learned_variance(found):
        found |= {name: wanted[name] for name in HEAD if name in found and name in wanted}
    _check_shapes(path, found, wanted, card)
    if published.layout != "published":
        return {name: published.weights[name] for name in wanted}
    if published.averages is None:
        raise RefusedError(
            f"{path}: has no averaged weights (ema), which sampling needs; to use the raw ones all "
            'the same, save checkpoint["model"] alone as a file and give that'
        )
    if list(found) != list(wanted):
        raise RefusedError(
            f"{path}: its parameters are in a different order than the published ones, so the "
            "averaged weights, a list without names, cannot be matched to names"
        )
    tensors = published.averages
    if len(tensors) != len(wanted):
        raise RefusedError(
            f"{path}: its ema has {len(tensors)} tensors, the network has {len(wanted)}"
        )
    named = dict(zip(wanted, tensors, strict=True))
    _check_shapes(path, {name: t.shape for name, t in named.items()}, wanted, card, "ema: ")
    return named


def _check_ours(path: Path, card: ModelCard, header: Header) -> dict[str, Entry]:
    """Return the tensors of a safetensors file, by the names that the network uses."""
    entries, wanted = dict(header.entries), dict(network_shapes(card))
    if isinstance(card.finest, DiffusersUNet):
        now = renamed(entries)
        entries = {now[name]: entry for name, entry in entries.items()}
    if card.has_statistics:
        wanted |= dict.fromkeys(STATISTICS, card.shape)
    elif "blur" not in card.abilities:  # its guidance was removed
        entries = {name: entry for name, entry in entries.items() if name not in STATISTICS}
    if card.estimates_variance:
        known = entries.get(RESIDUAL)
        whole = card.channels > 1 and known is not None and len(known.shape) > 2
        channels = (card.channels, card.channels) if whole else ()
        wanted[RESIDUAL] = (card.levels, rings(card.image_size), *channels)
    else:
        entries.pop(RESIDUAL, None)
    small = scales_of(path, entries)
    scales = {scale: entries.pop(scale) for scale in small.values()}
    found = {name: entry.shape for name, entry in entries.items()}
    _check_bands(path, card, header, found, wanted)
    _check_meaning(path, card, header)
    _check_shapes(path, found, wanted, card)
    for name, entry in entries.items():
        allowed = ("F32",) if name in (*STATISTICS, RESIDUAL) else ("F32", "F16", "BF16")
        if entry.dtype not in allowed and (name not in small or name not in network_shapes(card)):
            words = " or ".join(allowed)
            raise RefusedError(f"{path}: {name} holds {entry.dtype}; should be {words}")
    return {name: entries[name] for name in wanted} | scales


def _check_bands(
    path: Path, card: ModelCard, header: Header, shapes: Shapes, wanted: Shapes
) -> None:
    """Check that the networks for other bands than the finest are those that the card describes."""
    told = header.metadata.get(CASCADE)
    if told is not None and told != notes(card).get(CASCADE):
        raise RefusedError(f"{_difference(card, told)}, as {path} says")
    here = {name: shape for name, shape in shapes.items() if name.startswith(BANDS)}
    there = {name: shape for name, shape in wanted.items() if name.startswith(BANDS)}
    if here and not there:
        raise RefusedError(
            f"{path}: has networks for bands of levels, which its card does not describe; use "
            "it with the card that it came with, which has bands"
        )
    if lines := differences(here, there):
        listed = "".join(f"\n  {line}" for line in lines[:5])
        raise RefusedError(f"{card.place('bands')}: not the networks that {path} holds:{listed}")


def _check_meaning(path: Path, card: ModelCard, header: Header) -> None:
    """Check settings that shapes do not show against the file's notes, where it has them."""
    for key in MEANING:
        told, own = header.metadata.get(".".join(key)), meaning(card, key)
        if told not in (None, own):
            is_now, must = ("is missing" if own is None else f"= {_value(own)}"), _value(told)
            raise RefusedError(f"{card.place(*key)} {is_now}: must be {must}, as {path} says")


def _value(text: str) -> str:
    return text[:20] if text.isdecimal() else quoted(text)


def _difference(card: ModelCard, told: str) -> str:
    theirs, ours = _bands(told), plain(card.bands)
    if len(theirs) != len(ours):
        return f"{card.place('bands')}: has {len(ours)} bands; must be the {len(theirs)}"
    for number, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        if own != other:
            key, found, wanted = _parting(own, other)
            is_now = "is missing" if found is None else f"= {quoted(found)}"
            must = "leave it out" if wanted is None else f"must be {quoted(wanted)}"
            return f"{card.place('bands', number, *key)} {is_now}: {must}"
    return f"{card.place('bands')}: must be {told}"


def _bands(told: str) -> list[dict[str, Any]]:
    try:
        bands = json.loads(told)
    except (ValueError, RecursionError):
        return []
    tables = isinstance(bands, list) and all(isinstance(band, dict) for band in bands)
    return bands if tables else []


def _parting(own: dict[str, Any], other: dict[str, Any]) -> tuple[tuple[str, ...], Any, Any]:
    key = next(key for key in sorted({*own, *other}) if own.get(key) != other.get(key))
    found, wanted = own.get(key), other.get(key)
    if isinstance(found, dict) and isinstance(wanted, dict):
        inner, found, wanted = _parting(found, wanted)
        return (key, *inner), found, wanted
    return (key,), found, wanted


def _check_shapes(
    path: Path, found: Shapes, wanted: Shapes, card: ModelCard, part: str = ""
) -> None:
    lines = differences(found, wanted)
    if lines:
        raise RefusedError(f"{path}: {part}{mismatch(lines, found, card)}")


def _assemble(card: ModelCard, weights: Mapping[str, Tensor], precision: Precision) -> CardModel:
    networks = []
    for prefix, band in zip(prefixes(card), card.networks, strict=True):
        with torch.device("meta"):
            network = new_network(band, card.channels, card.image_size)
        own = {name: weights[prefix + name] for name in network.state_dict()}
        network.load_state_dict(own, strict=True, assign=True)
        foreign = isinstance(band.unet, DiffusersUNet)
        networks.append(DiffusersAdapter(network) if foreign else network)
    model = new_model(card, networks, _statistics(card, weights), precision)
    return model.eval().requires_grad_(False)


def _statistics(card: ModelCard, weights: Mapping[str, Tensor]) -> Statistics | None:
    if not card.has_statistics:
        return None
    mean, variance = (weights[name] for name in STATISTICS)
    if bool((variance < 0).any()):
        raise RefusedError(f"{STATISTICS[1]} of the weights is negative; train the model again")
    residual = weights.get(RESIDUAL)
    if residual is not None and not _is_covariance(residual):
        raise RefusedError(
            f"{RESIDUAL} of the weights is negative, or no covariance; train the model again"
        )
    return Statistics(mean, variance, residual)


def _is_covariance(shares: Tensor) -> bool:
    """Return whether shares (K, rings) or (K, rings, C, C) are valid residual variances."""
    if shares.dim() == 2:
        return bool((shares >= 0).all())
    least = torch.linalg.eigvalsh(shares.double()).amin(-1)
    largest = shares.diagonal(dim1=-2, dim2=-1).amax(-1)
    return bool((shares == shares.mT).all()) and bool((least >= -1e-6 * largest).all())


def _no_card(path: Path) -> ConfigError:
    fits = inspect_checkpoint(path).presets
    known = (
        f"it fits the preset {' or '.join(fits)}" if fits else f"presets: {', '.join(presets())}"
    )
    return ConfigError(
        f"{path}: a checkpoint does not contain its image size, levels, blur or heads; give its "
        f"card (a {CARD_NAME}) or a preset ({known})"
    )
