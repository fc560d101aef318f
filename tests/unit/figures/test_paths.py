"""Paths begin and end at plain samples, and go the way between them that each model has."""

import math

import pytest
import torch
from torch import Tensor

from sitegen.generative.maths.noise import independent
from sitegen.models.registry import model_source
from sitegen.sampling.models import (
    Sampler,
    Trajectory,
    load_sampler,
)
from sitegen.sampling.trajectory import Paths
from tests.support.builders import CPU
from tests.support.tinymodel import write_ddpm, write_model

# A batch of another size rounds otherwise in the last bits; a DDPM then divides that by √ᾱ_K.
PATHS = Paths(seed=3, pairs=((4, 1), (0, 7)), points=5)
SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    """A tiny model."""
    folder = write_model(tmp_path_factory.mktemp("a") / "a")
    return load_sampler(model_source("a", folder), CPU)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    """A tiny DDPM."""
    return load_sampler(model_source("b", write_ddpm(tmp_path_factory.mktemp("b") / "b")), CPU)


def final(trajectory: Trajectory) -> Tensor:
    """The finished images."""
    *_, last = trajectory.steps
    return last.mean


def ends(images: Tensor) -> Tensor:
    """The first and last image of each path, a pair after the other."""
    return images.reshape(len(PATHS.pairs), PATHS.points, *SHAPE)[:, [0, -1]].flatten(0, 1)


def test_paths(sampler: Sampler, baseline: Sampler) -> None:
    """Straight in u_K, great circles in x_K and every noise; the ends are plain samples."""
    trajectory = sampler.paths(PATHS)
    plain = sampler.start(3, PATHS.ends)
    assert torch.equal(ends(trajectory.u_K), plain)
    assert float((trajectory.u_K[2] - plain[:2].mean(0)).abs().max()) < 1e-6
    wanted = final(sampler.begin(3, PATHS.ends, None))
    found = final(trajectory)
    assert float((ends(found) - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())
    assert float((found[2] - found[0]).abs().max()) > 0.01
    trajectory = baseline.paths(PATHS)
    x_K = baseline.start(3, PATHS.ends)
    assert torch.equal(ends(trajectory.u_K), (x_K + 1) / 2)
    half = (x_K[0] + x_K[1]) / math.sqrt(2)
    assert float((trajectory.u_K[2] - (half + 1) / 2).abs().max()) < 1e-6
    wanted = final(baseline.run(x_K, independent(3, PATHS.ends, SHAPE)))
    found = final(trajectory)
    assert float((ends(found) - wanted).abs().max()) < 1e-4
    assert float((found[2] - found[0]).abs().max()) > 0.01
    assert (float(found.min()) >= 0, float(found.max()) <= 1) == (True, True)  # in pixels
