"""From a checkpoint's file to the checked weights of a card's model."""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING

from sitegen.core.errors import RefusedError
from sitegen.core.inputs import sha256, sniff
from sitegen.ihdm.card.card import ModelCard
from sitegen.ihdm.card.networks import DiffusersUNet
from sitegen.ihdm.checkpoints.architecture import Shapes, differences, mismatch
from sitegen.ihdm.checkpoints.archive import Archive, open_archive
from sitegen.ihdm.checkpoints.layouts import HEAD, has_learned_variance
from sitegen.ihdm.checkpoints.pickles import StoredTensor
from sitegen.ihdm.checkpoints.weights import (
    COARSE,
    STATISTICS,
    Entry,
    is_of_unet,
    read_header,
    read_tensors,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

_FLOATS = {"Float": "float32", "Half": "float16", "BFloat16": "bfloat16"}
_OUR_FLOATS = ("F32", "F16", "BF16")


def read_weights(path: Path, card: ModelCard) -> dict[str, Tensor]:
    """All weights of the card's model by name, float32, on the CPU, checked.

    Raises RefusedError as `load_model` does.
    """
    wanted = network_shapes(card)
    if sniff(path) == "pth":
        with open_archive(path) as archive:
            weights = _read_published(archive, card, wanted)
    else:
        weights = _read_ours(path, card, wanted)
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise RefusedError(f"{path}: {name} holds numbers that are not finite")
    return weights


def of_the_unet(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of a model's tensors that are its U-Net's."""
    return {name: tensor for name, tensor in weights.items() if is_of_unet(name)}


def network_shapes(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the card's U-Net, in its order; no memory is taken for it."""
    return {name: tuple(tensor.shape) for name, tensor in empty_network(card).state_dict().items()}


def empty_network(card: ModelCard) -> nn.Module:
    """The card's network on the meta device: names and shapes, no memory, no weights."""
    import torch

    from sitegen.ihdm.nets.diffusers_unet import build
    from sitegen.ihdm.nets.unet import UNet

    with torch.device("meta"):
        if isinstance(card.unet, DiffusersUNet):
            return build(card.unet)
        return UNet(card.unet, card.channels)


def _read_published(
    archive: Archive, card: ModelCard, wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    import torch

    if card.parameterization != "difference":
        raise RefusedError(f"{archive.path}: a .pth has no statistics; a preconditioned card needs")
    _check_schedule(archive, card)
    stored = _stored_weights(archive, card, wanted)
    for name, tensor in stored.items():
        if tensor.storage.dtype not in _FLOATS:
            raise RefusedError(f"{archive.path}: {name} holds {tensor.storage.dtype}, not floats")
    _check_digest(archive.path, card)
    archive.verify()
    weights = {}
    for name, tensor in stored.items():
        kind = getattr(torch, _FLOATS[tensor.storage.dtype])
        flat = torch.frombuffer(archive.numbers(tensor), dtype=kind).float()
        if tensor.strides is None:
            weights[name] = flat.view(tensor.shape)
        else:
            weights[name] = flat.as_strided(tensor.shape, tensor.strides).contiguous()
        if name in HEAD:  # the first channels; the others are of a learned variance
            weights[name] = weights[name][: wanted[name][0]]
    return weights


def _check_schedule(archive: Archive, card: ModelCard) -> None:
    """A schedule inside of the file is the one that its weights were trained with."""
    own = archive.schedule()
    if own is None:
        return
    told = card.schedule.sigmas
    if len(told) != len(own.sigmas) or not all(map(isclose, told, own.sigmas)):
        raise RefusedError(
            f"{archive.path}: holds a blur schedule of {own.levels} levels up to "
            f"{own.sigmas[-1]:g} pixels, which is not the card's; give the card its values, as "
            "[blur] schedule"
        )


def _stored_weights(
    archive: Archive, card: ModelCard, wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, StoredTensor]:
    """The tensors to sample with: the averages, named by their position, or a bare state dict."""
    published = archive.published
    found = {name: tensor.shape for name, tensor in published.weights.items()}
    _refuse_conditional(archive.path, found)
    if card.kind == "ddpm" and has_learned_variance(found):
        found |= {name: wanted[name] for name in HEAD if name in found and name in wanted}
    _check_shapes(archive.path, found, wanted, card)
    if published.layout != "published":
        return {name: published.weights[name] for name in wanted}
    if published.averages is None:
        raise RefusedError(
            f"{archive.path}: has no averaged weights (ema), which sampling needs; to use the raw "
            'ones all the same, save checkpoint["model"] alone as a file and give that'
        )
    if list(found) != list(wanted):
        raise RefusedError(
            f"{archive.path}: its parameters stand in another order than the published ones, so "
            "the averaged weights, a list without names, cannot be told apart"
        )
    tensors = published.averages.tensors
    if len(tensors) != len(wanted):
        raise RefusedError(
            f"{archive.path}: its ema has {len(tensors)} tensors, the network has {len(wanted)}"
        )
    named = dict(zip(wanted, tensors, strict=True))
    _check_shapes(archive.path, {name: t.shape for name, t in named.items()}, wanted, card, "ema: ")
    return named


def _refuse_conditional(path: Path, found: Shapes) -> None:
    if "label_emb.weight" in found:
        raise RefusedError(
            f"{path}: a class-conditional model, whose pictures depend on a class that sitegen "
            "does not give; use an unconditional one"
        )


def _read_ours(
    path: Path, card: ModelCard, wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    stored = read_header(path).entries
    now = _names(card, stored)
    entries = {now[name]: entry for name, entry in stored.items()}
    extra = {}
    if card.parameterization == "preconditioned":
        extra = {**dict.fromkeys(STATISTICS, card.shape), **_coarse_shapes(path, card, stored)}
    found = {name: entry.shape for name, entry in entries.items()}
    _check_shapes(path, found, {**wanted, **extra}, card)
    for name, entry in entries.items():
        _check_dtype(path, name, entry)
    _check_digest(path, card)
    tensors = {now[name]: tensor for name, tensor in read_tensors(path).items()}
    return {name: tensors[name].float() for name in (*wanted, *extra)}


def _coarse_shapes(
    path: Path, card: ModelCard, stored: Mapping[str, Entry]
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network for coarse levels, if the card has one."""
    import torch

    from sitegen.ihdm.nets.coarse import CoarseNet

    if card.coarse is None:
        if any(name.startswith(COARSE) for name in stored):
            raise RefusedError(
                f"{path}: has a network for coarse levels, which its card does not describe; use "
                "it with the card that it came with, which has a table [coarse]"
            )
        return {}
    with torch.device("meta"):
        tensors = CoarseNet(card.coarse, card.channels).state_dict()
    return {COARSE + name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _names(card: ModelCard, stored: Mapping[str, Entry]) -> dict[str, str]:
    """What the network calls each tensor of a file."""
    if not isinstance(card.unet, DiffusersUNet):
        return {name: name for name in stored}
    from sitegen.ihdm.nets.diffusers_unet import renamed

    return renamed(stored)


def _check_dtype(path: Path, name: str, entry: Entry) -> None:
    allowed = ("F32",) if name in STATISTICS else _OUR_FLOATS
    if entry.dtype not in allowed:
        raise RefusedError(f"{path}: {name} holds {entry.dtype}; should be {' or '.join(allowed)}")


def _check_shapes(
    path: Path, found: Shapes, wanted: Shapes, card: ModelCard, part: str = ""
) -> None:
    lines = differences(found, wanted)
    if lines:
        raise RefusedError(f"{path}: {part}{mismatch(lines, found, card)}")


def _check_digest(path: Path, card: ModelCard) -> None:
    pinned = card.weights.sha256 if card.weights else None
    found = None if pinned is None else sha256(path)
    if found != pinned:
        raise RefusedError(
            f"{path}: damaged, or not the file that its card means: its SHA-256 is not {pinned}; "
            f'if it was trained on, write sha256 = "{found}" into [weights] of its card'
        )
