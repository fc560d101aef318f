"""Measure how even interpolations are, and the quality of the images along them.

    python -m bench.interpolation models/mnist models/mnist-ddpm --data .data/mnist
    python -m bench.interpolation models/faces models/faces-ddpm --pairs 8 --points 6

A path of n images has n − 1 steps, each the root mean square difference of two neighbours. Its peak
is the largest step over the mean step, 1 if all are equal; its tortuosity the sum of the steps over
the distance of the ends, 1 for a straight line. A blend of the ends scores 1 in both, but its
images are superpositions: a path is good if it is even *and* the classifier is sure of its images.
Without data there is no classifier, and the steps in pixels alone are measured.

Prints Markdown; `--json FILE` writes the same numbers: medians over the pairs, with the 95 %
interval of a percentile bootstrap over them (Efron and Tibshirani 1993, ch. 13).
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.judging.classifier import Classifier, classifier_for
from bench.judging.mnist import read_dataset
from bench.judging.report import table
from sitegen.cli import exits
from sitegen.core.compute import ComputeTarget
from sitegen.models.registry import model_source
from sitegen.sampling.models import Trajectory, load_sampler
from sitegen.sampling.trajectory import Paths

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Images = NDArray[np.float32]
CONTROL = "blend"
"""Linear blend of the ends of IHDM's paths."""
RESAMPLES = 10_000
"""Bootstrap resamples of the pairs."""


@dataclass(frozen=True)
class Interval:
    """Median with its 95 % interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]".replace("-", "−")


@dataclass(frozen=True)
class Measures:
    """Measurements of the paths of one method, each (paths,).

    peak, tortuosity: in pixels
    feature_peak, feature_tortuosity: the same between the classifier's features
    spread: the 95th percentile of a path's steps over their median, in pixels
    confident_share: share of a path's images of whose class the classifier is more than 0.9 sure
    foreign_share: share of a path's images that it assigns to neither class of the ends
    """

    peak: Floats
    tortuosity: Floats
    spread: Floats
    feature_peak: Floats | None = None
    feature_tortuosity: Floats | None = None
    confident_share: Floats | None = None
    foreign_share: Floats | None = None

    @property
    def measured(self) -> Mapping[str, Floats]:
        """What was measured, by name."""
        return {name: values for name, values in vars(self).items() if values is not None}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, sample the paths, measure, print and write."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    classifier = None
    if options.data is not None:
        classifier = classifier_for(read_dataset(options.data), options.cache)
    measures = {name: measure(images, classifier) for name, images in sample_paths(options)}
    columns = intervals(measures)
    head = (f"{options.pairs} pairs, {options.points} points", *columns)
    rows = [
        (name.replace("_", " "), *(str(column[name]) for column in columns.values()))
        for name in measures["IHDM"].measured
    ]
    print(table(head, rows))
    if options.json:
        numbers = {
            method: {name: asdict(interval) for name, interval in column.items()}
            for method, column in columns.items()
        }
        text = json.dumps(numbers, indent=2, sort_keys=True, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")


def sample_paths(options: argparse.Namespace) -> Iterator[tuple[str, Images]]:
    """Yield the finished paths (pairs, points, C, H, W) of each method and the control, by name."""
    pairs = tuple((2 * pair, 2 * pair + 1) for pair in range(options.pairs))
    paths = Paths(options.seed, pairs, options.points)
    target = ComputeTarget(options.device, options.precision)
    sampler = load_sampler(model_source(options.model.name, options.model), target)
    methods: dict[str, Callable[[], Trajectory]] = {"IHDM": lambda: sampler.paths(paths)}
    if options.ddpm:
        baseline = load_sampler(model_source(options.ddpm.name, options.ddpm), target)
        methods["DDPM"] = lambda: baseline.paths(paths)
        methods["DDIM"] = lambda: baseline.ddim(options.ddim_steps).paths(paths)
    for name, start in methods.items():
        log.info("sampling %s paths of %s points: %s", options.pairs, options.points, name)
        *_, last = start().steps
        shape = (options.pairs, options.points, *last.mean.shape[1:])
        images = last.mean.cpu().numpy().reshape(shape)
        yield name, images
        if name == "IHDM":
            yield CONTROL, blend(images)


def blend(images: Images) -> Images:
    """Return linear blends between the ends of paths (pairs, points, C, H, W)."""
    share = np.linspace(0, 1, images.shape[1], dtype=np.float32)[None, :, None, None, None]
    return np.asarray((1 - share) * images[:, :1] + share * images[:, -1:])


def measure(images: Images, classifier: Classifier | None) -> Measures:
    """Measure paths (pairs, points, C, H, W): pixels unclipped, the classifier's input clipped."""
    pairs, points = images.shape[:2]
    peak, tortuosity, spread = evenness(images)
    if classifier is None:
        return Measures(peak, tortuosity, spread)
    grey = images.mean(2).reshape(-1, *images.shape[3:])
    features, probabilities = classifier.judge(grey.clip(0, 1))
    labels = probabilities.argmax(1).reshape(pairs, points)
    foreign = (labels != labels[:, :1]) & (labels != labels[:, -1:])
    feature_peak, feature_tortuosity, _ = evenness(features.reshape(pairs, points, -1))
    return Measures(
        peak=peak,
        tortuosity=tortuosity,
        feature_peak=feature_peak,
        feature_tortuosity=feature_tortuosity,
        spread=spread,
        confident_share=(probabilities.max(1) > 0.9).reshape(pairs, points).mean(1),
        foreign_share=foreign.mean(1),
    )


def evenness(paths: NDArray[np.floating]) -> tuple[Floats, Floats, Floats]:
    """Return peak, tortuosity and spread (paths,) of paths (paths, n, …) of n ≥ 2 images.

    A path that never moves counts as even: 1 and 1.
    """
    images = paths.reshape(*paths.shape[:2], -1).astype(np.float64)
    steps = np.sqrt(np.mean(np.diff(images, axis=1) ** 2, axis=-1))
    distance = np.sqrt(np.mean((images[:, -1] - images[:, 0]) ** 2, axis=-1))
    length = steps.sum(1)
    peak = np.where(length > 0, steps.max(1) / np.maximum(steps.mean(1), 1e-12), 1.0)
    tortuosity = np.where(length > 0, length / np.maximum(distance, 1e-12), 1.0)
    high, middle = np.percentile(steps, [95, 50], axis=1)
    return peak, tortuosity, np.asarray(high / np.maximum(middle, 1e-12))


def intervals(measures: Mapping[str, Measures]) -> dict[str, dict[str, Interval]]:
    """Return medians by method and measure, and the paired differences of IHDM and baselines."""
    columns = {
        method: {name: median_interval(values) for name, values in part.measured.items()}
        for method, part in measures.items()
    }
    for method in [method for method in measures if method not in ("IHDM", CONTROL)]:
        columns[f"IHDM − {method}"] = {
            name: median_interval(values - measures[method].measured[name])
            for name, values in measures["IHDM"].measured.items()
        }
    return columns


def median_interval(values: Floats) -> Interval:
    """Return the median of `values` (N,) with its bootstrap interval."""
    chosen = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(np.median(values[chosen], axis=1), [2.5, 97.5])
    return Interval(float(np.median(values)), float(low), float(high))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.interpolation", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("model", type=Path, help="folder of the model, with model.toml, weights and prior")
    add("ddpm", type=Path, nargs="?", help="folder of the DDPM to compare with")
    add("--data", type=Path, metavar="DIR", help="idx files, plain or .gz, for a classifier")
    add("--pairs", type=int, default=64, help="pairs of samples (64)")
    add("--points", type=int, default=10, help="images on each path, with its ends (10)")
    add("--ddim-steps", type=int, default=20, help="steps of the DDIM (20)")
    add("--seed", type=int, default=0, help="seed of the samples (0)")
    add("--device", default="cpu", help="device to sample on (cpu)")
    add("--precision", choices=["float32", "bfloat16"], default="float32", help="(float32)")
    add("--cache", type=Path, default=Path(".data"), help="folder of the classifier (.data)")
    add("--json", type=Path, metavar="FILE", help="also write the numbers there")
    return parser


if __name__ == "__main__":
    exits.run(main)
