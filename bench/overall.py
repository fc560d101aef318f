"""Measure the separation of overall colour and shape: effects of initial state and of noise.

    python -m bench.overall models/faces --data .data/faces

Samples are drawn with each of some noises from each of some initial states around the colour
circle, those of `shared_noise(…, vary="hue")`. Prints Markdown; `--json FILE` writes the same
numbers. README.md in this folder defines them.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.judging.attributes import (
    ATTRIBUTES,
    AttributeClassifier,
    Images,
    attributes_for,
    read_faces,
)
from bench.judging.report import table
from sitegen.cli import exits
from sitegen.core.compute import ComputeTarget
from sitegen.figures.shared_noise.sample import spread
from sitegen.generative.process.noise import Interpolated
from sitegen.models.registry import model_source
from sitegen.sampling.models import Sampler, load_sampler

log = logging.getLogger(__name__)

Labels = NDArray[np.int64]
_AT_ONCE = 100  # samples


@dataclass(frozen=True)
class Agreement:
    """Share of pairs of images with the same class: with the same noise, or the same state.

    neither: for pairs that share neither, as by chance
    """

    same_noise: float
    same_state: float
    neither: float


@dataclass(frozen=True)
class Overall:
    """Measurements of noises · states draws.

    slope: of the mean colour of the finished images over that of their initial states
    correlation: of the two, over channels and draws, after subtracting each channel's mean
    distance: the mean distance of the two in units of [0, 1], root mean square over channels
    attributes: agreement of the classes, by attribute; all: of all attributes at once
    """

    noises: int
    states: int
    slope: float
    correlation: float
    distance: float
    attributes: Mapping[str, Agreement]
    all: Agreement


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, draw, measure, print and write."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    faces = read_faces(options.data)
    source, shape = model_source(options.model.name, options.model), faces.test_images.shape[1:]
    if source.card.shape != shape:
        raise SystemExit(f"{options.model}: its images are {source.card.shape}, the faces {shape}")
    classifier = attributes_for(faces, options.cache)
    target = ComputeTarget(options.device, options.precision)
    sampler = load_sampler(source, target)
    initial, final = draw(sampler, options.noises, options.states, options.seed)
    found = measure(initial, final, classifier)
    print(markdown(found))
    if options.json:
        text = json.dumps(asdict(found), indent=2, sort_keys=True)
        options.json.write_text(text + "\n", encoding="utf-8")


def draw(sampler: Sampler, noises: int, states: int, seed: int) -> tuple[Images, Images]:
    """Return initial states (states, C, H, W), and the results (noises, states, C, H, W)."""
    u_K = sampler.prior.states(spread(sampler.prior, states, "hue"))
    shape, parts, together = sampler.card.shape, [], max(1, _AT_ONCE // states)
    for start in range(0, noises, together):
        rows = range(start, min(start + together, noises))
        log.info("drawing noises %s to %s of %s from %s states", rows[0], rows[-1], noises, states)
        every = u_K.to(sampler.model.device).repeat(len(rows), 1, 1, 1)
        points = tuple((row, row, 0.0) for row in rows for _ in range(states))
        *_, last = sampler.run(every, Interpolated(seed, points, shape)).steps
        parts.append(last.mean.cpu().numpy().reshape(len(rows), states, *shape))
    return u_K.numpy(), np.concatenate(parts)


def measure(initial: Images, final: Images, classifier: AttributeClassifier) -> Overall:
    """Measure draws (noises, states, 3, H, W) from states (states, 3, H, W)."""
    noises, states = final.shape[:2]
    judged = classifier.judge(final.reshape(-1, *final.shape[2:]).clip(0, 1))
    labels = judged.labels.reshape(noises, states, -1)
    begun = np.broadcast_to(initial.mean((2, 3), dtype=np.float64), (noises, states, 3))
    ended = final.mean((3, 4), dtype=np.float64)
    x, y = (each - each.mean((0, 1)) for each in (begun, ended))
    return Overall(
        noises=noises,
        states=states,
        slope=float((x * y).sum() / (x * x).sum()),
        correlation=float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())),
        distance=float(np.sqrt(((ended - begun) ** 2).mean(2)).mean()),
        attributes={
            name: agreement(labels[:, :, at : at + 1]) for at, name in enumerate(ATTRIBUTES)
        },
        all=agreement(labels),
    )


def agreement(labels: Labels) -> Agreement:
    """Return the agreement of labels (noises, states, attributes), in all attributes at once."""
    noises, states = labels.shape[:2]
    row, column = (each.ravel() for each in np.indices((noises, states)))
    flat = labels.reshape(noises * states, -1)
    same = (flat[:, None] == flat[None]).all(2)
    by_noise, by_state = row[:, None] == row[None], column[:, None] == column[None]
    return Agreement(
        same_noise=float(same[by_noise & ~by_state].mean()),
        same_state=float(same[by_state & ~by_noise].mean()),
        neither=float(same[~by_state & ~by_noise].mean()),
    )


def markdown(found: Overall) -> str:
    """Return the report as Markdown."""
    rows = [*found.attributes.items(), ("all of them at once", found.all)]
    head = ("the same class in two pictures", "same noise", "same initial state", "neither")
    lines = [
        (name, f"{each.same_noise:.1%}", f"{each.same_state:.1%}", f"{each.neither:.1%}")
        for name, each in rows
    ]
    return (
        f"{found.noises * found.states} draws: {found.noises} noises from {found.states} initial "
        "states around the colour circle. The mean colour of a finished image follows that of its "
        f"initial state with a slope of {found.slope:.3f} and a correlation of "
        f"{found.correlation:.3f}; it is {found.distance:.4f} away on average, where 1 is the "
        f"range of pixels.\n\n{table(head, lines)}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.overall", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", type=Path, help="folder with model.toml, weights and prior")
    add("--data", type=Path, required=True, metavar="DIR", help="the faces of `make data`")
    add("--noises", type=int, default=50, help="how many noises (50)")
    add("--states", type=int, default=4, help="initial states that each is drawn from (4)")
    add("--seed", type=int, default=0, help="seed of the noises (0)")
    add("--device", default="cpu", help="where to sample (cpu)")
    add("--precision", choices=["float32", "bfloat16"], default="float32", help="(float32)")
    add("--cache", type=Path, default=Path(".data"), help="where the classifier is kept (.data)")
    add("--json", type=Path, metavar="FILE", help="also write the numbers there")
    return parser


if __name__ == "__main__":
    exits.run(main)
