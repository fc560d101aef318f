"""The classifier learns, is trained once for a data set, and is told apart by its digest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import bench.classifier
from bench.classifier import classifier_for
from bench.mnist import as_floats, read_dataset


def test_learns_what_can_be_seen(data_folder: Path, cache: Path) -> None:
    """Held-out squares are classified; probabilities sum to one and features are not negative."""
    data = read_dataset(data_folder)
    classifier = classifier_for(data, cache)
    assert classifier.accuracy > 0.95
    features, probabilities = classifier.judge(as_floats(data.test_images[:7]))
    assert features.shape == (7, 64)
    assert features.min() >= 0
    np.testing.assert_allclose(probabilities.sum(1), 1)


def test_is_trained_once(data_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time it comes from the cache, the same to the last bit of its digest."""
    data = read_dataset(data_folder)
    first = classifier_for(data, cache)
    monkeypatch.setattr(bench.classifier, "_train", None)
    assert classifier_for(data, cache).digest == first.digest


def test_training_leaves_the_callers_randomness_alone(data_folder: Path, tmp_path: Path) -> None:
    """Training seeds itself: torch's own generator goes on as if nothing had happened."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    classifier_for(read_dataset(data_folder), tmp_path)
    assert torch.equal(torch.rand(3), expected)
