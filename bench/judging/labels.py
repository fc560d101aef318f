"""Agreement of a classifier with the labels that samples were drawn for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.judging.classifier import Classifier
from bench.judging.report import table
from sitegen.core.compute import ComputeTarget, Precision
from sitegen.generative.card.labels import Condition
from sitegen.models.registry import ModelSource
from sitegen.sampling.models import load_sampler

BATCH = 250


def agreement(
    source: ModelSource,
    classifier: Classifier,
    count: int,
    seed: int,
    device: str,
    precision: Precision,
    guidance: float = 0.0,
) -> list[float]:
    """Return the share of samples of each label, drawn in turn, that the classifier calls so."""
    assert source.card.labels is not None
    classes = len(source.card.labels.names)
    sampler, right = load_sampler(source, ComputeTarget(device, precision)), list[bool]()
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        labels = tuple(number % classes for number in numbers)
        *_, (_, images) = (
            sampler.conditioned(Condition(labels, guidance)).begin(seed, numbers).seen("mean")
        )
        _, probabilities = classifier.judge(images[:, 0].clip(0, 1))
        right += (probabilities.argmax(1) == np.array(labels)).tolist()
    return [float(np.mean(right[label::classes])) for label in range(classes)]


def agreement_table(names: Sequence[str], shares: Sequence[float], count: int) -> str:
    """Return the shares as Markdown."""
    head = ("label", *names, "all")
    row = ("classified as it", *(f"{share:.3f}" for share in (*shares, float(np.mean(shares)))))
    return f"Labels of {count} samples:\n\n{table(head, [row])}"
