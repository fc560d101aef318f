"""Export of a model for sampling in a browser: a description in JSON, and a file of bytes.

They are read by `static/sampler/sampler.js`, which supports fewer kinds of networks. Models that it
does not support are refused here.

The description has the card's values for sampling. `visited` are the levels of a sample, from K to
0; `forward` is "markov" if noise stays between them; `guidance` is the card's value, if any, a
number or one for each band. `bands` are the networks, from level 1 up, each with its
`lowest_level`, the `side` of its images or cosines, the `prefix` of its tensors' names, and the
`flop` of one evaluation. A network is a `unet`, with the card's table and the mean and scale of its
images (`pixel_mean`, `pixel_std`), or `cosines`, an MLP. `tensors` have the names of our weights
files, each with its type, its shape and its offset; the statistics and the prior are always
float32. A model with `labels`, names of classes, has `start_labels`, the class of each initial
state of the prior, if these are known.

A model that starts from noise has no prior and no σ, and statistics only with a guidance. It has
`start_std`, the factor of its initial noise; `axis`, with symbol, unit and the values of all
levels; and `flow`, with the `times` of all levels, the `solver` and the `time_scale`, or `implicit`
for the network of a DDPM. For each level k, that lists the scale c of the network's `input` and its
`timestep`; the factors of state and answer in the predicted `image` and in the `noise`; and the
factors of both in the `state` of a level. `clip` limits the image to [-1, 1], and with `rederive`
the noise is that of the limited image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sitegen.core.errors import RefusedError
from sitegen.core.files import sha256
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.networks import Band, CosineConfig, ForeignUNet, UNetConfig
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.archive import open_checkpoint
from sitegen.generative.checkpoints.quantised import SCALE, quantised
from sitegen.generative.checkpoints.weights import (
    RESIDUAL,
    STATISTICS,
    is_of_unet,
    prefixes,
    scales_of,
)
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.dissipation import HeatDissipation
from sitegen.generative.process.flow import Flow

VERSION = 1
PRIOR = "prior.coefficients"
MOST_BYTES, MOST_GFLOP = 25_000_000, 60.0
"""Limits of download size in bytes and computation per sample in GFLOP, which takes some seconds.
"""
# JavaScript's typed arrays must begin at multiples of the size of their numbers.
_ALIGNMENT = 16
_QKV = ".qkv."

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
Precision: TypeAlias = Literal["float16", "float32"]


@dataclass(frozen=True)
class BrowserModel:
    """A model for the browser: its description, and the tensors that this lists."""

    description: Mapping[str, Any]
    data: bytes

    def to_json(self) -> str:
        """Return the description as JSON; the same model gives the same text."""
        return json.dumps(self.description, sort_keys=True, separators=(",", ":"))

    @property
    def size(self) -> int:
        """Bytes that a visitor downloads."""
        return len(self.data) + len(self.to_json())

    @property
    def gflop(self) -> float:
        """Multiplications and additions of the networks for a sample, in 10⁹."""
        bands, visited = self.description["bands"], self.description["visited"]
        steps = (level for level in visited if level)
        answering = ([band for band in bands if band["lowest_level"] <= k][-1] for k in steps)
        times = self.description.get("flow", {}).get("evaluations", 1)
        return float(times * sum(band["flop"] for band in answering)) / 1e9


def export_for_browser(
    card: ModelCard, weights: Path, prior: Path | None, precision: Precision = "float16"
) -> BrowserModel:
    """Export a model that is not `lacking`, and its prior if it has one, from their files.

    `precision` is the type of all weights that are not stored as bytes.

    Raises RefusedError for weights that `read_weights` refuses or that are too large for float16,
    and for a prior that is missing or damaged.
    """
    import numpy as np  # imported here, since checking a card needs neither it nor torch

    from sitegen.generative.checkpoints.loading import read_weights
    from sitegen.generative.data.prior import read_prior

    bands = list(zip(prefixes(card), card.networks, strict=True))
    arrays = {name: tensor.numpy() for name, tensor in read_weights(weights, card).items()}
    small = scales_of(weights, open_checkpoint(weights).weights)
    stored: dict[str, Array] = {}
    for name, values in arrays.items():
        stored |= _stored(name, values, bands, None if name in small else precision)
    for name, values in stored.items():
        if not np.isfinite(values).all():
            raise RefusedError(f"{weights}: {name} holds numbers that {precision} cannot hold")
    if prior is not None:
        bank = open_checkpoint(prior).weights.get("coefficients")
        if bank is None or bank.dim() != 4 or bank.shape[1] != card.channels:
            raise RefusedError(f"{prior}: not the prior of images of {card.channels} channels")
        if card.prior is not None and card.prior.sha256 not in (None, sha256(prior)):
            raise RefusedError(f"{prior}: damaged, or not the file that its card means (SHA-256)")
        stored[PRIOR] = bank.numpy()
    if isinstance(card, HeatDissipation):
        process = {
            "sigmas": list(card.schedule.sigmas),
            "parameterization": card.parameterization,
            "training_noise_std": card.training_noise_std,
            "sampling_noise_std": card.sampling_noise_std,
        }
    else:
        process = _from_noise(card)
    tensors, data = _packed(stored)
    description: dict[str, Any] = {
        "version": VERSION,
        "image_size": card.image_size,
        "channels": card.channels,
        "levels": card.levels,
        "visited": list(card.visited_levels),
        **process,
        "bands": [_described(card, *band, arrays) for band in bands],
        "tensors": tensors,
    }
    if card.labels is not None:
        description["labels"] = list(card.labels.names)
        if prior is not None:
            description["start_labels"] = list(read_prior(prior, card).labels)
    if card.keeps_noise:
        description["forward"] = "markov"
    if any(card.guidance):
        assert card.sampling is not None
        description["guidance"] = card.sampling.guidance
    return BrowserModel(description, data)


def _from_noise(card: ModelCard) -> dict[str, Any]:
    """Return the part of the description that only models which start from noise have."""
    description: dict[str, Any] = {"axis": asdict(card.axis), "start_std": 1.0}
    if card.diffusion is not None:
        time = card.times[card.levels] if isinstance(card, Flow) else 1.0
        start = math.hypot(time, 1 - time)
        return {**description, "start_std": start, "implicit": _implicit(card, card.diffusion)}
    assert isinstance(card, Flow)
    flow: dict[str, Any] = {"solver": card.flow.solver, "time_scale": card.flow.time_scale}
    flow |= {"evaluations": card.evaluations, "times": list(card.times)}
    return {**description, "flow": flow}


def _implicit(card: ModelCard, diffusion: DiffusionConfig) -> dict[str, Any]:
    """Return the factors of DDIM without noise, or of Euler steps of the flow of a DDPM.

    x_k = a x̂_0 + s ε̂ for both; the state of the flow is that over a + s. Rows are for the levels 0
    … K, and the first row of all but `state` is not used.
    """
    rows = []
    for alpha_bar in diffusion.alphas_bar(card.levels):
        a, s = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
        scale = a + s if isinstance(card, Flow) else 1.0
        image, noise = (1 / a, -s / a), (0.0, 1.0)
        if diffusion.prediction_type == "v_prediction":
            image, noise = (a, -s), (s, a)
        elif diffusion.prediction_type == "sample":
            image, noise = (0.0, 1.0), (1 / s, -a / s) if s else (0.0, 0.0)
        rows.append((scale, image, noise, (a / scale, s / scale)))
    steps = 1000 / card.levels if diffusion.rescale_timesteps else 1
    names = ("input", "image", "noise", "state")
    return {
        **{name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)},
        "timestep": [steps * (level - 1) for level in range(card.levels + 1)],
        "clip": diffusion.clip_sample and not isinstance(card, Flow),
        **({"rederive": True} if diffusion.rederive_noise and isinstance(card, Ddpm) else {}),
    }


def _described(
    card: ModelCard, prefix: str, band: Band, tensors: Mapping[str, Array]
) -> dict[str, Any]:
    """Return the description of a band of levels and its network."""
    side, flop = band.side or card.image_size, network_flop(band, card.channels, card.image_size)
    description = {"lowest_level": band.lowest_level, "side": side, "prefix": prefix, "flop": flop}
    if band.cosines is not None:
        return description | {"cosines": _table(band.cosines)}
    assert isinstance(band.unet, UNetConfig)
    mean, std = 0.0, 1.0
    if "blur" in card.abilities and card.has_statistics:
        from torch import from_numpy

        from sitegen.generative.maths.heat import Statistics

        mean, std = Statistics(*(from_numpy(tensors[n]) for n in STATISTICS)).pixel_scale(side)
    return description | {"unet": _table(band.unet), "pixel_mean": mean, "pixel_std": std}


def network_flop(band: Band, channels: int, image_size: int) -> int:
    """Return the multiplications and additions of matrix products for one image of a network."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from sitegen.generative.networks.construct import new_network

    side = band.side or image_size
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = new_network(band, channels, image_size).to("meta")
        if band.cosines is not None:  # whose autocast the device "meta" does not have
            matrices = (part for part in network.state_dict().values() if part.dim() > 1)
            return sum(2 * int(part.numel()) for part in matrices)
        labels = () if band.classes is None else (torch.ones(1, band.classes),)
        network(torch.empty(1, channels, side, side), torch.ones(1), *labels)
    total: int = counter.get_total_flops()
    return total


def _table(network: UNetConfig | CosineConfig) -> dict[str, Any]:
    """Return the card's table of a network, with `num_classes` if it takes labels."""
    optional = ("num_classes", "learn_sigma")
    return {k: value for k, value in asdict(network).items() if k not in optional or value}


def lacking(card: ModelCard) -> list[str]:
    """Return features of a model that the browser's networks lack, as far as its card shows
    them.
    """
    unets = [band.unet for band in card.networks if band.unet]
    features = {
        f'kind = "{card.kind}"': "browser" not in card.abilities,
        "a solver other than Euler's for the network of a DDPM": (
            card.diffusion is not None and isinstance(card, Flow) and card.evaluations > 1
        ),
        "a DDPM that skips levels": card.diffusion is not None and card.steps < card.levels,
        "a network of another program": any(isinstance(unet, ForeignUNet) for unet in unets),
        "a variance that the network predicts": any(unet.learn_sigma for unet in unets),
        "labels that it cannot do without": card.labels is not None and not card.labels.optional,
        "resblock_updown": any(unet.resblock_updown for unet in unets),
        "use_scale_shift_norm": any(unet.use_scale_shift_norm for unet in unets),
        "a U-Net with widths that are not multiples of 8": any(
            width % 8 for unet in unets for width in unet.widths
        ),
        "attention heads with channels that are not a multiple of 4": any(
            unet.widths[level] // unet.heads(unet.widths[level]) % 4
            for unet in unets
            for level in {len(unet.channel_mult) - 1, *unet.attention_levels}
        ),
        "an MLP with a width that is not a multiple of 4": any(
            band.cosines.width % 4 for band in card.networks if band.cosines
        ),
    }
    return [feature for feature, lacks in features.items() if lacks]


def too_heavy(name: str, size: int, gflop: float) -> str:
    """Return that a model is too heavy for a page, and by how much; else an empty string."""
    costs = (
        (size / MOST_BYTES, f"{size / 1e6:,.1f} MB to fetch", f"{MOST_BYTES / 1e6:.0f} MB"),
        (gflop / MOST_GFLOP, f"{gflop:,.1f} GFLOP a sample", f"{MOST_GFLOP:.0f} GFLOP"),
    )
    over = [
        f"{cost}, {times:,.{0 if times > 10 else 2}f} times the limit of {most}"
        for times, cost, most in costs
        if times > 1
    ]
    if not over:
        return ""
    return (
        f"the model {name} is too heavy for a page: {', and '.join(over)}; show it by clips, or "
        "train one whose coarse levels have a smaller network"
    )


def page_faults(name: str, card: ModelCard) -> Iterator[str]:
    """Yield why the sampler in a page cannot run a model, as far as its card shows."""
    if features := lacking(card):
        lacks = " and ".join(features)
        yield f"the model {name} has {lacks}, which the sampler in a page does not have"


def _stored(
    name: str, values: Array, bands: Sequence[tuple[str, Band]], precision: Precision | None
) -> dict[str, Array]:
    """Return a tensor as stored, by name, with its scales if `precision` is None (bytes).

    Numbers that the type cannot hold become infinite.
    """
    import numpy as np

    if name in (*STATISTICS, RESIDUAL):
        return {name: values}
    owners = (
        band.unet
        for prefix, band in bands
        if (name.startswith(prefix) if prefix else is_of_unet(name))
    )
    unet = next(owners, None)
    if unet is not None and _QKV in name and not unet.use_new_attention_order:
        # The page reads rows as (q|k|v, head, width), here they are (head, q|k|v, width).
        parts = values.reshape(unet.heads(len(values) // 3), 3, -1, *values.shape[1:])
        values = parts.swapaxes(0, 1).reshape(values.shape)
    if precision is None:
        numbers, scale = quantised(values)
        return {name: numbers, name + SCALE: scale}
    with np.errstate(over="ignore"):
        return {name: values.astype(precision)}


def _packed(tensors: Mapping[str, Array]) -> tuple[dict[str, Any], bytes]:
    table, data = {}, bytearray()
    for name, values in sorted(tensors.items()):
        data += bytes(-len(data) % _ALIGNMENT)
        letters = "FI"[values.dtype.kind == "i"] + str(values.dtype.itemsize * 8)
        table[name] = {"dtype": letters, "shape": list(values.shape), "offset": len(data)}
        # The memory of WebAssembly is little-endian on every machine.
        data += values.astype(values.dtype.newbyteorder("<")).tobytes()
    return table, bytes(data)
