"""Combine networks for bands of levels into a cascade: python -m recipes.cascade --help.

A network of the model is kept unless a run replaces it: a U-Net if no run has as many pixels, an
MLP over cosines if no run begins at its level. If all MLPs of the runs begin at other levels, the
lowest at or below those of the model, they are a new division and replace all old ones.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from recipes.runs import read_net, read_recipe
from recipes.train_cosines import read_model
from sitegen.cli import exits
from sitegen.generative.card.card import CARD_NAME, FileRef, ModelCard
from sitegen.generative.card.labels import LabelsConfig
from sitegen.generative.card.networks import Band
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.checkpoints.loading import WEIGHTS_NAME
from sitegen.generative.checkpoints.weights import prefixes, save_weights
from sitegen.generative.process.dissipation import heat_of
from sitegen.models.converting import large_matrices
from sitegen.models.registry import ModelSource, model_source


def spread(highest: int, steps: int, bottom: int = 0) -> tuple[int, ...]:
    """Return `steps` levels from `highest` down, evenly spaced towards `bottom` (excluded)."""
    return tuple(round(highest - step * (highest - bottom) / steps) for step in range(steps))


def visited_levels(card: ModelCard, below: int, steps: int) -> tuple[int, ...]:
    """Return all levels from K to `below`, and `steps` more from there down."""
    return (*range(card.levels, below, -1), *spread(below, steps))


def spread_over_bands(card: ModelCard, steps: Sequence[int]) -> tuple[int, ...]:
    """Return the given number of levels for each band, the finest first, evenly spaced in it."""
    bottoms = [band.lowest_level - 1 for band in card.networks]
    tops = [*bottoms[1:], card.levels]
    parts = [spread(*segment) for segment in zip(tops, steps, bottoms, strict=True)]
    return tuple(level for part in reversed(parts) for level in part)


def write_model(
    folder: Path,
    source: ModelSource,
    card: ModelCard,
    tensors: Mapping[str, Tensor],
    networks: Sequence[nn.Module],
    small: Collection[str] = (),
) -> ModelCard:
    """Write a model into `folder` and return its card, without notes of quality.

    Prior and example are copied from `source`; the rest is as in `write_networks`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part in (card.prior, card.example):
        if part is not None:
            shutil.copyfile(source.weights.parent / part.file, folder / part.file)
    return write_networks(folder, card, tensors, networks, small)


def write_networks(
    folder: Path,
    card: ModelCard,
    tensors: Mapping[str, Tensor],
    networks: Sequence[nn.Module],
    small: Collection[str] = (),
) -> ModelCard:
    """Write weights and card into `folder` and return the card, without notes of quality.

    `tensors` are the statistics, stored with the weights of the `networks`. Tensors named in
    `small` are stored as one byte per number.
    """
    weights = dict(tensors)
    for prefix, net in zip(prefixes(card), networks, strict=True):
        weights |= {prefix + name: value for name, value in net.state_dict().items()}
    digest = save_weights(folder / WEIGHTS_NAME, weights, torch.float16, card, small)
    card = replace(card, weights=FileRef(WEIGHTS_NAME, digest), quality={}, known_faults=())
    (folder / CARD_NAME).write_text(card.to_toml(), encoding="utf-8")
    return card


def matrices(card: ModelCard, networks: Sequence[nn.Module]) -> list[str]:
    """Return the names of the weights to store as bytes: large matrices and kernels.

    The first and last layers are excluded. They are small, and the inputs of an MLP over cosines
    need precise weights: bytes there increased its loss on the shipped faces by 1.5 %, and bytes
    everywhere else by 0.2 %.
    """
    return [
        prefix + name
        for prefix, net in zip(prefixes(card), networks, strict=True)
        for name in sorted(large_matrices(dict(net.named_parameters())))
    ]


def staying(card: ModelCard, runs: Sequence[Band]) -> list[Band]:
    """Return the bands that no run replaces. Raises SystemExit if levels would be left out."""
    sides = {band.side or card.image_size for band in runs if not band.cosines}
    begin = {band.lowest_level for band in runs if band.cosines}
    old = {band.lowest_level for band in card.networks if band.cosines}
    anew = bool(begin and old) and not begin & old
    if anew and min(begin) > min(old):
        raise SystemExit(
            f"no run is for the levels {min(old)} to {min(begin) - 1}, which an MLP of the model "
            f"has; give one that begins at {min(old)}"
        )
    return [
        band
        for band in card.networks
        if (
            not anew and band.lowest_level not in begin
            if band.cosines
            else (band.side or card.image_size) not in sides
        )
    ]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of the model that the networks are for")
    parser.add_argument("runs", type=Path, nargs="+", help="files saved by runs of its bands")
    parser.add_argument("--below", type=int, default=38, help="from this level on down,")
    parser.add_argument(
        "--steps", type=int, default=14, help="number of levels visited, unless it is a cascade"
    )
    parser.add_argument(
        "--visits", type=int, nargs="+", help="number of levels of each band instead, finest first"
    )
    parser.add_argument(
        "--small", action="store_true", help="store weights as one byte instead of float16"
    )
    parser.add_argument("--names", nargs="+", help="names of labels; their numbers by default")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new model")
    arguments = parser.parse_args()
    if arguments.output.resolve() == arguments.model.resolve():
        raise SystemExit(f"{arguments.output}: is the model itself; give another folder")
    source = model_source(arguments.model.name, arguments.model, None)
    networks = [read_net(path) for path in arguments.runs]
    recipe = {path.stem: read_recipe(path) for path in arguments.runs}
    card = replace(source.card, training={**source.card.training, **recipe})
    model = read_model(arguments.model)
    assert model.statistics is not None
    stay = staying(model.card, [band for band, _ in networks])
    old = zip(model.card.networks, model.networks, strict=True)
    networks += [(band, net) for band, net in old if band in stay]
    bands, nets = zip(*sorted(networks, key=lambda pair: pair[0].lowest_level), strict=True)
    sampling = card.sampling if card.bands else None  # a cascade has its levels already
    sampling = sampling or SamplingConfig(visited_levels(card, arguments.below, arguments.steps))
    rows = max((band.classes or 0 for band in bands), default=0)
    names = arguments.names or [str(number) for number in range(rows - 1)]
    labels = LabelsConfig(tuple(names)) if rows else None
    card = replace(heat_of(card), unet=None, bands=bands, sampling=sampling, labels=labels)
    if arguments.visits:
        levels = spread_over_bands(card, arguments.visits)
        card = replace(card, sampling=replace(sampling, levels=levels))
    small = matrices(card, nets) if arguments.small else ()
    write_model(arguments.output, source, card, model.statistics.tensors(), nets, small)


if __name__ == "__main__":
    exits.run(main)
