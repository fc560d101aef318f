"""Measure how even interpolations are, and the quality of the images along them.

    python -m bench.interpolation models/mnist models/mnist-ddpm --data .data/mnist

Prints Markdown; `--json FILE` writes the same numbers. README.md in this folder defines them.
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
from sitegen.cli import exits
from sitegen.core.compute import ComputeTarget
from sitegen.figures.smoothness.measure import Evenness, Floats, Interval, evenness, median_interval
from sitegen.figures.smoothness.sample import pairs_of
from sitegen.models.registry import model_source
from sitegen.sampling.models import Trajectory, load_sampler
from sitegen.sampling.trajectory import Paths

log = logging.getLogger(__name__)

Images = NDArray[np.float32]
CONTROL = "blend"
"""Linear blend of the ends of IHDM's paths: perfectly even, but its images are superpositions."""


@dataclass(frozen=True)
class Way:
    """Measurements of the paths of one model, each (paths,).

    peak, tortuosity: in pixels, as `sitegen.figures.smoothness.measure` defines them
    feature_peak, feature_tortuosity: the same between the classifier's features
    spread: the 95th percentile of a path's steps over their median, in pixels
    confident_share: share of a path's images of whose class the classifier is more than 0.9 sure
    foreign_share: share of a path's images that it assigns to neither class of the ends
    """

    peak: Floats
    tortuosity: Floats
    feature_peak: Floats
    feature_tortuosity: Floats
    spread: Floats
    confident_share: Floats
    foreign_share: Floats


@dataclass(frozen=True)
class Comparison:
    """Models to compare: the folders of a model and optionally a DDPM; and the paths."""

    model: Path
    compute_target: ComputeTarget
    ddpm: Path | None = None
    pairs: int = 64
    points: int = 10
    ddim_steps: int = 20
    seed: int = 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, sample the paths, measure, print and write."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    classifier = classifier_for(read_dataset(options.data), options.cache)
    compute_target = ComputeTarget(options.device, options.precision)
    paths = (options.pairs, options.points, options.ddim_steps, options.seed)
    wanted = Comparison(options.model, compute_target, options.ddpm, *paths)
    ways = compare(wanted, classifier)
    print(markdown(ways, options.points))
    if options.json:
        text = json.dumps(numbers(ways), indent=2, sort_keys=True)
        options.json.write_text(text + "\n", encoding="utf-8")


def compare(wanted: Comparison, classifier: Classifier) -> dict[str, Way]:
    """Sample the paths of each model and measure them; return the results by name."""
    return {name: measure(images, classifier) for name, images in sample_paths(wanted)}


def sample_paths(wanted: Comparison) -> Iterator[tuple[str, Images]]:
    """Yield the finished paths (pairs, points, H, W) of each model and the control, by name."""
    paths = Paths(wanted.seed, pairs_of(wanted.pairs), wanted.points)
    sampler = load_sampler(model_source(wanted.model.name, wanted.model), wanted.compute_target)
    begin: dict[str, Callable[[], Trajectory]] = {"IHDM": lambda: sampler.paths(paths)}
    if wanted.ddpm:
        source = model_source(wanted.ddpm.name, wanted.ddpm)
        baseline = load_sampler(source, wanted.compute_target)
        begin["DDPM"] = lambda: baseline.paths(paths)
        begin["DDIM"] = lambda: baseline.ddim(wanted.ddim_steps).paths(paths)
    for name, start in begin.items():
        log.info("sampling %s paths of %s points: %s", wanted.pairs, wanted.points, name)
        *_, last = start().steps
        shape = (wanted.pairs, wanted.points, *last.mean.shape[2:])
        images = last.mean.cpu().numpy().mean(1).reshape(shape)
        yield name, images
        if name == "IHDM":
            yield CONTROL, blend(images)


def blend(images: Images) -> Images:
    """Return linear blends between the ends of paths (pairs, points, H, W)."""
    share = np.linspace(0, 1, images.shape[1], dtype=np.float32)[None, :, None, None]
    return np.asarray((1 - share) * images[:, :1] + share * images[:, -1:])


def measure(images: Images, classifier: Classifier) -> Way:
    """Measure paths (pairs, points, H, W): pixels unclipped, the classifier's input clipped."""
    pairs, points = images.shape[:2]
    features, probabilities = classifier.judge(images.reshape(-1, *images.shape[2:]).clip(0, 1))
    pixels = evenness(images)
    felt = evenness(features.reshape(pairs, points, -1))
    labels = probabilities.argmax(1).reshape(pairs, points)
    foreign = (labels != labels[:, :1]) & (labels != labels[:, -1:])
    return Way(
        peak=pixels.peak,
        tortuosity=pixels.tortuosity,
        feature_peak=felt.peak,
        feature_tortuosity=felt.tortuosity,
        spread=_spread(pixels),
        confident_share=(probabilities.max(1) > 0.9).reshape(pairs, points).mean(1),
        foreign_share=foreign.mean(1),
    )


def _spread(pixels: Evenness) -> Floats:
    high, middle = np.percentile(pixels.steps, [95, 50], axis=1)
    return np.asarray(high / np.maximum(middle, 1e-12))


def numbers(ways: Mapping[str, Way]) -> dict[str, object]:
    """Return medians with intervals, and the paired differences IHDM − another, for JSON."""
    found: dict[str, object] = {
        name: {key: asdict(interval) for key, interval in _intervals(way).items()}
        for name, way in ways.items()
    }
    for name, way in ways.items():
        if name not in ("IHDM", CONTROL):
            less = {key: asdict(each) for key, each in _differences(ways["IHDM"], way).items()}
            found[f"IHDM - {name}"] = less
    return found


def _intervals(way: Way) -> dict[str, Interval]:
    return {key: median_interval(np.asarray(values)) for key, values in vars(way).items()}


def _differences(first: Way, second: Way) -> dict[str, Interval]:
    return {
        key: median_interval(np.asarray(values) - getattr(second, key))
        for key, values in vars(first).items()
    }


def markdown(ways: Mapping[str, Way], points: int) -> str:
    """Return the table, one column per model, with the paired differences."""
    columns = {name: _intervals(way) for name, way in ways.items()}
    for name, way in ways.items():
        if name not in ("IHDM", CONTROL):
            columns[f"IHDM − {name}"] = _differences(ways["IHDM"], way)
    measures = list(vars(ways["IHDM"]))
    rows = [
        (key.replace("_", " "), *(str(each[key]) for each in columns.values())) for key in measures
    ]
    head = (f"{len(ways['IHDM'].peak)} pairs, {points} points", *columns)
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.interpolation", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("model", type=Path, help="folder of the model, with model.toml, weights and prior")
    add("ddpm", type=Path, nargs="?", help="folder of the DDPM to compare with")
    add("--data", type=Path, required=True, metavar="DIR", help="idx files, plain or .gz")
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
