"""Choose the levels that a model visits, by a shortest path: python -m recipes.levels --help.

    python -m recipes.levels models/faces --budgets 9 12 15 --output runs/levels
    python -m bench.quality runs/levels/12 --data .data/faces

A teacher visits all levels with some starts and draws. At each level it predicts finished images,
so that one pass gives the error of every jump from level k to a lower level j: on the way the
sample goes by the prediction of level k, in place of those of the levels that it skips. The error
is the squared distance of the two in pixels, summed over the skipped levels and averaged over the
samples. Of the paths from K to 0 whose steps take no more than a budget in GFLOP, dynamic
programming gives that with the smallest sum of errors. All paths end at the last level that the
teacher visits, whose prediction is the finished image: what it adds is too fine to count in that
distance, but without it edges were soft.

Prints a table of paths, and writes the model with the levels of each budget into a folder of its
own, for `bench.quality`.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from sitegen.cli import exits
from sitegen.core.compute import ComputeTarget
from sitegen.generative.card.card import CARD_NAME, ModelCard
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.process.base import Guided
from sitegen.generative.process.dissipation import HeatDissipation
from sitegen.generative.process.protocol import GenerativeProcess, run
from sitegen.models.registry import model_source
from sitegen.sampling.models import Sampler, load_sampler

Floats: TypeAlias = NDArray[np.float64]

SEED = 77
BATCH = 24
UNITS = 20_000
"""Parts of a budget in which costs are counted; each cost is rounded up."""


def jump_errors(sampler: Sampler, seed: int, count: int) -> Floats:
    """Return the errors (K + 1, K + 1) of all jumps between the levels that a process visits.

    The row is the level that is left, the column the lower one; infinite where there is no jump.
    Only the last level above 0 has one to 0.
    """
    process, levels, size = sampler.process, sampler.process.levels, sampler.card.levels + 1
    distances, errors = np.zeros((size, size)), np.full((size, size), np.inf)
    for first in range(0, count, BATCH):
        samples = range(first, min(first + BATCH, count))
        start, noise = sampler.start(seed, samples), sampler.noise(seed, samples)
        predicted = []
        for step in run(process, start, noise):
            assert step.final is not None
            predicted.append(process.pixels(step.final(), 0).clamp(0, 1))
        for row, level in enumerate(levels[:-1]):
            for images, lower in zip(predicted[row:], levels[row:], strict=False):
                distance = float((images - predicted[row]).square().sum())
                distances[level, lower] += distance / count
    for row, level in enumerate(levels[:-2]):
        # Before the first level below it, a level skips none: its distance from itself is 0.
        skipped = distances[level, list(levels[row:-2])]
        errors[level, list(levels[row + 1 : -1])] = np.cumsum(skipped)
    errors[levels[-2], 0] = 0
    return errors


def best_levels(errors: Floats, costs: Floats, budget: float) -> tuple[int, ...]:
    """Return the levels from K to 0 with the smallest sum of errors, without 0.

    `costs` (K + 1,) are those of leaving a level. Raises SystemExit if none is within the budget.
    """
    count, units = len(costs), np.ceil(costs / budget * UNITS - 1e-6).astype(int)
    least = np.full((count, UNITS + 1), np.inf)  # error from a level to 0, by units of the budget
    following = np.zeros(least.shape, int)
    least[0] = 0
    for level in range(1, count):
        remaining = UNITS + 1 - units[level]
        if remaining > 0:
            sums = errors[level, :level, None] + least[:level, :remaining]
            following[level, units[level] :] = sums.argmin(0)
            least[level, units[level] :] = sums.min(0)
    if not np.isfinite(least[-1, UNITS]):
        raise SystemExit(f"no path takes {budget} or less")
    level, remaining, path = count - 1, UNITS, []
    while level:
        path.append(level)
        level, remaining = following[level, remaining], remaining - units[level]
    return tuple(int(level) for level in path)


def level_costs(process: GenerativeProcess) -> Floats:
    """Return the GFLOP (K + 1,) of a step from each visited level, by torch's counter.

    Other levels cost nothing.
    """
    costs, state = np.zeros(process.card.levels + 1), torch.zeros(1, *process.card.shape)
    for level, below in pairwise(process.levels):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            process.move(level, below, state, lambda _: state)
        costs[level] = counter.get_total_flops() / 1e9
    return costs


def with_levels(card: ModelCard, levels: tuple[int, ...]) -> ModelCard:
    """Return the card with other levels to visit, without notes of quality.

    Raises SystemExit for a kind that does not choose levels.
    """
    if not isinstance(card, HeatDissipation | Guided):
        raise SystemExit(f'a card of kind "{card.kind}" has no levels to choose')
    sampling = replace(card.sampling or SamplingConfig(), levels=levels)
    return replace(card, sampling=sampling, quality={}, known_faults=())


def visits(card: ModelCard, levels: Sequence[int]) -> str:
    """Describe a path by its number of levels in each band, the flattest first."""
    bottoms = [band.lowest_level for band in card.networks]
    bands = np.searchsorted(bottoms, levels, side="right")
    return " + ".join(str((bands == band).sum()) for band in range(len(bottoms), 0, -1))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("model", type=Path, help="folder of the model")
    add("--budgets", type=float, nargs="+", required=True, help="GFLOP a sample")
    add("--last", type=int, help="last level above 0; that of the card by default")
    add("--starts", type=int, default=192, help="samples of the teacher (192)")
    add("--seed", type=int, default=SEED, help=f"their seed ({SEED})")
    add("--precision", choices=["float32", "bfloat16"], default="float32", help="(float32)")
    add("--output", type=Path, required=True, help="folder of the new models, one for each budget")
    options = parser.parse_args()
    source = model_source(options.model.name, options.model)
    card, last = source.card, options.last or source.card.visited_levels[-2]
    every = tuple(range(card.levels, last - 1, -1))
    teacher = replace(source, card=with_levels(card, every))
    sampler = load_sampler(teacher, ComputeTarget("cpu", options.precision))
    costs = level_costs(sampler.process)
    errors = jump_errors(sampler, options.seed, options.starts)

    def show(name: str, levels: Sequence[int]) -> None:
        total = errors[list(levels), [*levels[1:], 0]].sum()
        gflop = costs[list(levels)].sum()
        print(f"| {name} | {gflop:.3g} | {len(levels)} | {visits(card, levels)} | {total:.4g} |")

    print("| budget | GFLOP | levels | of each band | error |\n" + "| --- " * 5 + "|")
    show("now", card.visited_levels[:-1])
    for budget in options.budgets:
        levels = best_levels(errors, costs, budget)
        show(f"{budget:g}", levels)
        folder = options.output / f"{budget:g}"
        shutil.copytree(options.model, folder)
        (folder / CARD_NAME).write_text(with_levels(card, levels).to_toml(), encoding="utf-8")


if __name__ == "__main__":
    exits.run(main)
