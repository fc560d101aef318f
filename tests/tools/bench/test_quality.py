"""Real images pass, and failures show where they should."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.judging.classifier import classifier_for
from bench.judging.images import Quality, Samples, judge_samples
from bench.judging.mnist import as_floats, read_dataset
from bench.judging.spectra import Images
from sitegen.generative.card.card import BlurSchedule
from sitegen.generative.maths.heat import dissipate

SIGMAS = BlurSchedule.log_spaced(4, 0.5, 20).sigmas
Judging = Callable[[Samples], Quality]


@pytest.fixture(scope="module")
def train_images(data_folder: Path) -> Images:
    """The training images in [0, 1]."""
    return as_floats(read_dataset(data_folder).train_images)


@pytest.fixture(scope="module")
def judged(data_folder: Path, cache: Path) -> Judging:
    """Judges samples against the made-up data."""
    data = read_dataset(data_folder)
    classifier = classifier_for(data, cache)
    return lambda samples: judge_samples(samples, data, classifier)


def flattest(images: Images) -> Images:
    """u_K of `images`."""
    found: Images = dissipate(torch.from_numpy(images)[:, None], SIGMAS[-1])[:, 0].numpy()
    return found


def from_images(images: Images, initial: Images | None = None) -> Samples:
    """Images as if they had been sampled, from their own seeds unless `initial` is given."""
    start = flattest(images) if initial is None else initial
    return Samples(images, start, 0.0125, SIGMAS)


def test_real_images_are_as_good_as_real(
    judged: Judging, train_images: Images, data_folder: Path
) -> None:
    """Training images are near the floor and seen as copies; held-out ones are neither."""
    found = judged(from_images(train_images[:200]))
    assert found.samples.confident_share > 0.95
    assert found.samples.label_entropy == pytest.approx(np.log(4), abs=0.05)
    assert found.samples.feature_fid < 2 * found.real.feature_fid
    assert found.samples.coverage > 0.8
    assert found.samples.nearest_neighbour_ratio == 0
    assert [each.shown for each in found.levels] == ["final mean", "training images"]
    assert found.levels[0].largest < 0.05
    held_out = judged(from_images(as_floats(read_dataset(data_folder).test_images)))
    assert held_out.samples.nearest_neighbour_ratio == pytest.approx(1)


def test_failures_show(judged: Judging, train_images: Images) -> None:
    """One class lowers label entropy and coverage; flat grey is neither sharp nor covering."""
    real = judged(from_images(train_images[:200])).samples
    one = judged(from_images(np.repeat(train_images[:1], 200, axis=0))).samples
    flat = judged(from_images(flattest(train_images[:200]))).samples
    assert one.label_entropy == 0
    assert one.coverage < 0.3 * real.coverage
    assert flat.coverage < 0.3 * real.coverage
    assert flat.log_spectral_distance > 1
    assert flat.variance_ratio < 0.5
    assert min(one.feature_fid, flat.feature_fid) > 10 * real.feature_fid
