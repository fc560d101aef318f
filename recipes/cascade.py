"""Puts networks for bands of levels together into a cascade: python -m recipes.cascade --help."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recipes.runs import read_net, read_recipe
from recipes.train_cosines import read_model
from sitegen.ihdm.card.card import CARD_NAME, FileRef, ModelCard, SamplingConfig
from sitegen.ihdm.card.networks import Band
from sitegen.ihdm.checkpoints.loading import WEIGHTS_NAME
from sitegen.ihdm.checkpoints.weights import prefixes, save_weights
from sitegen.ihdm.process.model import Model
from sitegen.models.registry import ModelSource, model_source


def spread(highest: int, steps: int) -> tuple[int, ...]:
    """`steps` levels from `highest` down, evenly spaced on the way to 0, which follows."""
    return tuple(round(highest - step * highest / steps) for step in range(steps))


def visited_levels(card: ModelCard, below: int, steps: int) -> tuple[int, ...]:
    """All levels from K to `below`, and `steps` more from there down."""
    return (*range(card.levels, below, -1), *spread(below, steps))


def write_cascade(
    folder: Path,
    source: ModelSource,
    model: Model,
    networks: Sequence[tuple[Band, nn.Module]],
    levels: tuple[int, ...],
    recipe: Mapping[str, Any],
) -> ModelCard:
    """Put the model of `source` with other networks into `folder`; gives its card."""
    bands, nets = zip(*sorted(networks, key=lambda pair: pair[0].lowest_level), strict=True)
    known = {**source.card.training, **recipe}
    card = replace(
        source.card,
        unet=None,
        coarse=None,
        bands=bands,
        sampling=SamplingConfig(levels),
        training=known,
        quality={},
        known_faults=(),
    )
    weights: dict[str, Tensor] = {} if model.statistics is None else model.statistics.tensors()
    for prefix, net in zip(prefixes(card), nets, strict=True):
        weights |= {prefix + name: value for name, value in net.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    digest = save_weights(folder / WEIGHTS_NAME, weights, torch.float16, card)
    card = replace(card, weights=FileRef(WEIGHTS_NAME, digest))
    for part in (card.prior, card.example):
        if part is not None:
            shutil.copyfile(source.weights.parent / part.file, folder / part.file)
    (folder / CARD_NAME).write_text(card.to_toml(), encoding="utf-8")
    return card


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of the model that the networks are for")
    parser.add_argument("runs", type=Path, nargs="+", help="what the runs of its bands saved")
    parser.add_argument("--below", type=int, required=True, help="from this level on down,")
    parser.add_argument("--steps", type=int, required=True, help="so many are visited")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new model")
    arguments = parser.parse_args()
    if arguments.output.resolve() == arguments.model.resolve():
        raise SystemExit(f"{arguments.output}: is the model itself; give another folder")
    model = read_model(arguments.model)
    networks = [read_net(path) for path in arguments.runs]
    made = {band.lowest_level for band, _ in networks}
    for band, net in zip(model.card.networks, model.networks, strict=True):
        if band.cosines and band.lowest_level not in made:  # it stays
            networks.append((band, net))
    levels = visited_levels(model.card, arguments.below, arguments.steps)
    source = model_source(arguments.model.name, arguments.model, None)
    recipe = {path.stem: read_recipe(path) for path in arguments.runs}
    write_cascade(arguments.output, source, model, networks, levels, recipe)


if __name__ == "__main__":
    main()
