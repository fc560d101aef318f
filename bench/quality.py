"""Measure the quality of a model's samples, of MNIST's format or of faces.

    python -m bench.quality models/mnist --data .data/mnist
    python -m bench.quality models/faces --data .data/faces
    python -m bench.quality --samples x.npz --data .data/mnist

Prints Markdown; `--json FILE` writes the same numbers. README.md in this folder defines them.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.judging.attributes import attributes_for, is_faces, read_faces
from bench.judging.classifier import classifier_for
from bench.judging.images import Samples, judge_samples
from bench.judging.mnist import read_dataset
from bench.judging.report import markdown
from bench.judging.samples import Planes, coloured, grey, read_samples
from sitegen.cli import exits
from sitegen.models.registry import model_source

LEAST = 50
"""Smallest number of samples: the measures use 5 neighbours of each, and covariances."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print and write."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    values = _faces(options) if is_faces(options.data) else _digits(options)
    if options.json:
        text = json.dumps(values, indent=2, sort_keys=True)
        options.json.write_text(text + "\n", encoding="utf-8")


def _digits(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and report images of MNIST's format."""
    data, samples = read_dataset(options.data), _samples(options)
    classifier = classifier_for(data, options.cache)
    quality = judge_samples(samples, data, classifier)
    print(markdown(quality))
    values = asdict(quality)
    source = None if options.samples else model_source(options.model.name, options.model)
    if source is not None and source.card.labels is not None:
        from bench.judging.labels import agreement, agreement_table

        how = options.seed, options.device, options.precision, options.guidance
        shares = agreement(source, classifier, options.count, *how)
        values["label_agreement"] = shares
        print(f"\n{agreement_table(source.card.labels.names, shares, options.count)}")
    return values


def _faces(options: argparse.Namespace) -> dict[str, Any]:
    """Measure and report faces, which are in colour and have attributes."""
    from bench.judging import faces

    data, samples = read_faces(options.data), _samples(options, coloured)
    classifier = attributes_for(data, options.cache)
    quality = faces.judge_faces(samples, data, classifier)
    print(faces.markdown(quality))
    return asdict(quality)


def _samples(options: argparse.Namespace, planes: Planes = grey) -> Samples:
    """Return the samples to judge; raises SystemExit if none are given, or too few."""
    if options.samples:
        samples = read_samples(options.samples, planes)
        if len(samples.final) < LEAST:
            few = f"{len(samples.final)} samples are too few to judge"
            raise SystemExit(f"{options.samples}: {few}; draw {LEAST} or more")
        return samples
    if options.model is None:
        raise SystemExit("give a model's folder, or --samples FILE.npz")
    if options.count < LEAST:
        raise SystemExit(f"--count {options.count}: too few to judge; draw {LEAST} or more")
    from bench.judging.draw import draw_samples  # not needed for a file of samples

    source = model_source(options.model.name, options.model)
    channels = 3 if planes is coloured else 1
    if source.card.channels != channels:
        has = f"its images have {source.card.channels} channels, the data {channels}"
        raise SystemExit(f"{options.model}: {has}")
    return draw_samples(
        source,
        options.count,
        options.trajectories,
        options.seed,
        options.device,
        options.precision,
        planes,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.quality", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", type=Path, nargs="?", help="folder with model.toml, weights and prior")
    add("--samples", type=Path, metavar="FILE", help=".npz of `sitegen sample` to measure instead")
    add("--data", type=Path, required=True, metavar="DIR", help="idx files, or drawn faces")
    add("--count", type=int, default=2000, help="samples to draw from a model (2000)")
    add("--trajectories", type=int, default=500, help="number of them to watch (500)")
    add("--seed", type=int, default=0, help="seed of the drawn samples (0)")
    add("--guidance", type=float, default=0.0, help="guidance of the samples with labels (0)")
    add("--device", default="cpu", help="device to sample on (cpu)")
    add("--precision", choices=["float32", "bfloat16"], default="float32", help="(float32)")
    add("--cache", type=Path, default=Path(".data"), help="folder of the classifier (.data)")
    add("--json", type=Path, metavar="FILE", help="also write the numbers there")
    return parser


if __name__ == "__main__":
    exits.run(main)
