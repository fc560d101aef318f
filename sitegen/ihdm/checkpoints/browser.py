"""A model as a browser samples it: a description, which becomes JSON, and the bytes beside it.

What reads them is `static/sampler/sampler.js`, whose networks know less than ours: what they lack
is refused here. No torch.

The description holds what the card says of sampling. `visited` are the levels that a sample goes
through, from K to 0. `bands` are its networks, from level 1 up, each with its `lowest_level`, the
`side` of the images or cosines that it sees, the `prefix` of its tensors' names, and the `flop` of
one answer. A network is a `unet`, with the card's table and what its images are centred and scaled
by (`pixel_mean`, `pixel_std`), or `cosines`, an MLP. `tensors` are named as in our weights, each
with its type, its shape and where it begins; the statistics and the prior are always float32.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sitegen.core.errors import RefusedError
from sitegen.core.files import regular_size, sha256, sniff
from sitegen.ihdm.card.card import FileRef, ModelCard
from sitegen.ihdm.card.networks import DiffusersUNet, UNetConfig
from sitegen.ihdm.checkpoints.arithmetic import linear_flop, unet_flop
from sitegen.ihdm.checkpoints.inspection import Architecture, infer
from sitegen.ihdm.checkpoints.weights import COARSE, STATISTICS, is_of_unet, read_arrays

VERSION = 1
PRIOR = "prior.coefficients"
_ALIGNMENT = 16
_QKV = ".qkv."

Array: TypeAlias = NDArray[Any]
Precision: TypeAlias = Literal["float16", "float32"]


@dataclass(frozen=True)
class BrowserModel:
    """A model for the browser: its description, and the tensors that this names."""

    description: Mapping[str, Any]
    data: bytes

    def to_json(self) -> str:
        """The description, the same text for the same model."""
        return json.dumps(self.description, sort_keys=True, separators=(",", ":"))

    @property
    def gflop(self) -> float:
        """What a sample takes, in 10⁹ multiplications and additions of its networks."""
        bands, visited = self.description["bands"], self.description["visited"]
        answering = ([b for b in bands if b["lowest_level"] <= k][-1] for k in visited[:-1])
        return float(sum(band["flop"] for band in answering)) / 1e9


def export_for_browser(
    card: ModelCard, weights: Path, prior: Path, precision: Precision = "float16"
) -> BrowserModel:
    """A model with its prior, from its files of safetensors; `precision` is what weights are in.

    Raises RefusedError for a model whose networks a browser's sampler does not have, weights that
    are not safetensors or too large for float16, and files that are missing or damaged.
    """
    _refuse_unknown(card, weights)
    found = _read(weights, card.weights)
    _refuse_unfit(card, found, weights)
    stored = dict(_tensors(card, found, np.dtype(precision), weights))
    stored[PRIOR] = _bank(card, prior)
    tensors, data = _packed(stored)
    description = {
        "version": VERSION,
        "image_size": card.image_size,
        "channels": card.channels,
        "levels": card.levels,
        "sigmas": list(card.schedule.sigmas),
        "visited": list(range(card.levels, -1, -1)),
        "parameterization": card.parameterization,
        "training_noise_std": card.training_noise_std,
        "sampling_noise_std": card.sampling_noise_std,
        "bands": list(_bands(card, found)),
        "tensors": tensors,
    }
    return BrowserModel(description, data)


def _read(path: Path, pinned: FileRef | None) -> dict[str, Array]:
    """The arrays of a file of safetensors, which is the one that the card means."""
    regular_size(path, "model's file")
    if sniff(path) != "safetensors":
        raise RefusedError(f"{path}: the sampler in a page needs safetensors, as training writes")
    if pinned is not None and pinned.sha256 not in (None, sha256(path)):
        raise RefusedError(f"{path}: damaged, or not the file that its card means (SHA-256)")
    return read_arrays(path)


def _bank(card: ModelCard, path: Path) -> Array:
    """The coefficients (count, C, low, low) of a prior."""
    bank = _read(path, card.prior).get("coefficients")
    if bank is None or bank.ndim != 4 or bank.shape[1] != card.channels:
        raise RefusedError(f"{path}: not the prior of images of {card.channels} channels")
    return bank


def _refuse_unfit(card: ModelCard, tensors: Mapping[str, Array], path: Path) -> None:
    """RefusedError for weights that are not the card's."""
    shapes = {name: tensor.shape for name, tensor in tensors.items() if is_of_unet(name)}
    looks, wanted = infer(shapes), Architecture.of(card.channels, card.unet)
    if looks != wanted:
        told = looks.text() if looks else "no U-Net that sitegen knows"
        raise RefusedError(f"{path}: holds {told}; the card has {wanted.text()}")
    if card.parameterization == "preconditioned" and not {*STATISTICS} <= tensors.keys():
        raise RefusedError(f"{path}: has no statistics, which a preconditioned model needs")


def _refuse_unknown(card: ModelCard, weights: Path) -> None:
    """RefusedError for what the browser's networks lack."""
    unet = card.unet
    lacking = {
        f'kind = "{card.kind}"': card.kind != "ihdm",
        "a network of diffusers": isinstance(unet, DiffusersUNet),
        "resblock_updown": unet.resblock_updown,
        "use_scale_shift_norm": unet.use_scale_shift_norm,
        "attention heads whose channels are no multiple of 4": any(
            width // unet.heads(width) % 4 for width in _attended(unet)
        ),
    }
    found = [words for words, lacks in lacking.items() if lacks]
    if found:
        raise RefusedError(
            f"{weights}: the sampler in a page does not have {', nor '.join(found)}; show this "
            "model by its clips, or train one without"
        )


def _attended(unet: UNetConfig) -> set[int]:
    """The channels of the blocks that have attention."""
    factors = {
        unet.channel_mult[-1],
        *(unet.channel_mult[level] for level in unet.attention_levels),
    }
    return {unet.model_channels * factor for factor in factors}


def _bands(card: ModelCard, tensors: Mapping[str, Array]) -> Iterator[dict[str, Any]]:
    side = card.image_size
    mean, std = _pixel_scale(card, tensors, side)
    flop = unet_flop(_shapes(tensors, ""), card.unet, side)
    band = {"lowest_level": 1, "side": side, "prefix": "", "flop": flop}
    yield {**band, "unet": asdict(card.unet), "pixel_mean": mean, "pixel_std": std}
    if card.coarse is not None:
        table = asdict(card.coarse)
        band = {key: table.pop(key) for key in ("lowest_level", "side")}
        flop = linear_flop(_shapes(tensors, COARSE))
        yield {**band, "prefix": COARSE, "flop": flop, "cosines": table}


def _shapes(tensors: Mapping[str, Array], prefix: str) -> dict[str, tuple[int, ...]]:
    """The shapes of one network's tensors, under their names in it."""
    names = (name for name in tensors if is_of_unet(name) or prefix)
    return {
        name.removeprefix(prefix): tensors[name].shape for name in names if name.startswith(prefix)
    }


def _pixel_scale(card: ModelCard, tensors: Mapping[str, Array], side: int) -> tuple[float, float]:
    """Mean and standard deviation of a pixel of images of `side` pixels, as `Statistics` has it."""
    if card.parameterization != "preconditioned":
        return 0.0, 1.0
    whole = (tensors[name].astype(np.float64) for name in STATISTICS)
    mean, variance = (each[:, :side, :side] for each in whole)
    centre = float(mean[:, 0, 0].mean()) / card.image_size
    square = float((variance + mean**2).mean()) * (side / card.image_size) ** 2
    return centre, float(max(square - centre**2, 1e-12) ** 0.5)


def _tensors(
    card: ModelCard, found: Mapping[str, Array], precision: np.dtype[Any], path: Path
) -> Iterator[tuple[str, Array]]:
    """The tensors to store, each in the type to store it in."""
    for name, values in found.items():
        kind = np.dtype(np.float32) if name in STATISTICS else precision
        if _QKV in name and is_of_unet(name) and not card.unet.use_new_attention_order:
            values = _new_order(values, card.unet)
        with np.errstate(over="ignore"):
            stored = values.astype(kind)
        if not np.isfinite(stored).all():
            raise RefusedError(f"{path}: {name} holds numbers that {kind} cannot hold")
        yield name, stored


def _new_order(values: Array, unet: UNetConfig) -> Array:
    """The 3C rows of a qkv layer from (head, q|k|v, width) to (q|k|v, head, width)."""
    heads = unet.heads(len(values) // 3)
    parts = values.reshape(heads, 3, -1, *values.shape[1:])
    return parts.swapaxes(0, 1).reshape(values.shape)


def _packed(tensors: Mapping[str, Array]) -> tuple[dict[str, Any], bytes]:
    """A table of tensors, and their numbers one after the other, little-endian."""
    table, data = {}, bytearray()
    for name, values in sorted(tensors.items()):
        data += bytes(-len(data) % _ALIGNMENT)
        letters = f"F{values.dtype.itemsize * 8}"
        table[name] = {"dtype": letters, "shape": list(values.shape), "offset": len(data)}
        data += np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
    return table, bytes(data)
