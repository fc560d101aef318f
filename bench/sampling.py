"""Compare a plain sampling loop, sitegen's, and the floor: the time of the arithmetic alone.

    python -m bench.sampling [NAME …] [--images 1 24] [--precision float32]

NAME is a shipped model. Each of its U-Nets is timed at one of its levels, with everything that a
model does around it:

- plain: eager torch in float32, all images at once, with torch's own threads;
- ours: as figures are sampled;
- floor: the operations that torch counts in an evaluation, over the rate of a large float32
  matrix product by torch or NumPy, whichever is faster.

They take turns, three times in a row each, and the minimum of each counts, so that other programs
that run for a while do not matter. `OMP_NUM_THREADS` sets the number of cores. With one core
`--clock cpu` counts this process's CPU time, which is more reliable on a busy machine.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.judging.report import table
from sitegen.cli import exits
from sitegen.core.compute import ComputeTarget, Precision
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.models.registry import model_source
from sitegen.sampling.models import keep_freed_memory, load_network

MODELS = Path(__file__).resolve().parent.parent / "models"
NAMES = ("mnist", "fashion-mnist", "mnist-ddpm", "faces", "faces-ddpm")
MATRIX_SIDE = 1536
ENOUGH_S = 30.0
"""Seconds after which a comparison that was repeated twice is not repeated again."""
IN_A_ROW = 3
"""Runs of each turn; the first of them finds its data in no cache."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Comparison:
    """Milliseconds per image and level, for one U-Net of a model and a number of images."""

    name: str
    level: int
    images: int
    gflop: float
    plain_ms: float
    ours_ms: float
    floor_ms: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="bench.sampling", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help="what to measure")
    parser.add_argument("--images", type=int, nargs="+", default=[1, 24], help="at a time (1 24)")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--repetitions", type=int, default=9, help="of each comparison (9)")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="see above (wall)")
    options = parser.parse_args(arguments)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    comparisons = measure(
        options.names, options.images, options.precision, options.repetitions, clock
    )
    print(f"{torch.get_num_threads()} threads; ours in {options.precision}\n")
    print(markdown(comparisons))


@torch.inference_mode()
def measure(
    names: Sequence[str],
    images: Sequence[int],
    precision: Precision,
    repetitions: int,
    clock: Clock = time.perf_counter,
) -> list[Comparison]:
    """Compare every U-Net of the models, with each number of images."""
    keep_freed_memory()
    first, second = torch.rand(2, MATRIX_SIDE, MATRIX_SIDE)
    first_array, second_array = first.numpy(), second.numpy()
    products: dict[str, Callable[[], object]] = {
        "torch": lambda: first @ second,
        "numpy": lambda: first_array @ second_array,
    }
    comparisons = []
    for name in names:
        source = model_source(name, MODELS / name)
        plain: Any = load_model(source.weights, source.card)
        ours: Any = load_network(source, ComputeTarget("cpu", precision))
        levels = [
            band.lowest_level for band in source.card.networks if isinstance(band.unet, UNetConfig)
        ]
        for level in levels:
            for count in images:
                states = torch.rand(count, *source.card.shape)
                loops = {
                    "plain": partial(plain, states, level),
                    "ours": partial(ours, states, level),
                }
                seconds = least_seconds({**products, **loops}, repetitions, clock)
                gflop = operations(plain, states[:1], level) / 1e9
                rate = 2 * MATRIX_SIDE**3 / 1e9 / min(seconds["torch"], seconds["numpy"])
                plain_ms, ours_ms = (1e3 * seconds[loop] / count for loop in loops)
                timing = Comparison(
                    name, level, count, gflop, plain_ms, ours_ms, 1e3 * gflop / rate
                )
                comparisons.append(timing)
    return comparisons


def least_seconds(
    runs: Mapping[str, Callable[[], object]], repetitions: int, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """Return the minimum time of each run; they take turns, and the first turn is a warm-up."""
    for run in runs.values():
        run()
    least, begun = dict.fromkeys(runs, math.inf), clock()
    for done in range(repetitions):
        if done >= 2 and clock() - begun > ENOUGH_S:
            break
        for name, run in runs.items():
            for _ in range(IN_A_ROW):
                started = clock()
                run()
                least[name] = min(least[name], clock() - started)
    return least


def operations(model: Any, states: Tensor, level: int) -> int:
    """Return the floating-point operations of an evaluation, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        model(states, level)
    return int(counter.get_total_flops())


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Return the numbers as a table; shares are of the floor."""
    head = ("network", "images", "GFLOP", "plain, ms", "ours, ms", "floor, ms", "ours", "faster")
    rows = [
        (
            f"{row.name}, level {row.level}",
            f"{row.images}",
            f"{row.gflop:.2f}",
            f"{row.plain_ms:.1f}",
            f"{row.ours_ms:.1f}",
            f"{row.floor_ms:.1f}",
            f"{row.floor_ms / row.ours_ms:.2f} of the floor",
            f"{row.plain_ms / row.ours_ms:.1f}×",
        )
        for row in comparisons
    ]
    return table(head, rows)


if __name__ == "__main__":
    exits.run(main)
