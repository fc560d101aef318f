"""Compare `sitegen train` with a plain loop: python -m bench.training [--data .data/mnist].

Both train the same cascade on the same images, in turn: the plain loop in float32 with Adam, with
the whole batch through the networks of its levels; ours with the defaults of `sitegen train`.
`OMP_NUM_THREADS` sets the number of cores. Prints the time per image, the losses after equally many
steps, and the ratio of the times.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from sitegen.cli import exits
from sitegen.generative.data.images import read_images
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.recipe import small_card
from sitegen.generative.training.train import Run, Training
from sitegen.models.training import training_precision

ROUNDS = 5


def measured(run: Run, steps: int) -> tuple[float, float]:
    """Return the seconds per image in `steps` in a row, and the mean loss of the last of them."""
    started = time.perf_counter()
    for _ in range(steps):
        _, losses = run.advance()
    return (time.perf_counter() - started) / steps / run.options.batch_size, float(losses.mean())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".data/mnist"))
    parser.add_argument("--steps", type=int, default=8, help="steps in a row")
    arguments = parser.parse_args()
    images = read_images(arguments.data)
    card = small_card(images.shape[2], images.shape[1])
    options = TrainingOptions(warmup_steps=0)
    precision = training_precision("auto", "cpu")
    with TemporaryDirectory() as folder:
        common = Training(images, "images", Path(folder), options)
        runs = {"plain": Run(card, common), "ours": Run(card, replace(common, precision=precision))}
        for run in runs.values():
            run.advance()
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                found[name].append(measured(run, arguments.steps))
    for name, rounds in found.items():
        time_ = 1e3 * statistics.median(seconds for seconds, _ in rounds)
        print(f"{name}: {time_:.2f} ms an image, loss {rounds[-1][1]:.4f} at the end")
    ratios = [a[0] / b[0] for a, b in zip(found["plain"], found["ours"], strict=True)]
    ratio = statistics.median(ratios)
    print(f"{torch.get_num_threads()} threads, {precision}: {ratio:.2f} x as fast")


if __name__ == "__main__":
    exits.run(main)
