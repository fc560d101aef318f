"""The random numbers of the page's sampler are ours, bit for bit."""

import math
from pathlib import Path

import numpy as np
import pytest

from sitegen.generative.maths.noise import (
    Purpose,
    generator,
    interpolate_noise,
    normal,
)
from tests.support.engine import run_engine


@pytest.mark.parametrize(
    ("seed", "purpose", "sample", "level", "count"),
    [
        (0, Purpose.STEP, 0, 1, 784),
        (2**63 - 1, Purpose.BRANCH, 2**40, 100, 3 * 64 * 64 + 1),
        (3, Purpose.STEP, 7, 12, 2_000_000),
        # One of these numbers is at the edge of its layer, which is one of 18 million.
        (2**40 + 3, Purpose.TILE, (2 << 32) + 7, 93, 12288),
    ],
)
def test_normals_are_those_of_numpy(
    seed: int, purpose: Purpose, sample: int, level: int, count: int, tmp_path: Path
) -> None:
    """Any seed, and so many numbers that every rare way to draw one was gone many times."""
    program = """
    const { seed, purpose, sample, level, count } = values;
    output("found", normals(kernels, BigInt(seed), purpose, sample, level, count));
    """
    values = {"seed": str(seed), "purpose": purpose, "sample": sample}
    found = run_engine(tmp_path, program, values | {"level": level, "count": count})["found"]
    wanted = generator(seed, purpose, sample, level).standard_normal(count, dtype=np.float32)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("count", [1, 100, 3_000_000_000])
def test_initial_states_are_those_chosen(count: int, tmp_path: Path) -> None:
    """The places in a bank, also where its size does not go evenly into the numbers drawn."""
    program = """
    const draw = (n) => chosenState(kernels, 4, n, values.count);
    const found = Float64Array.from({ length: 50 }, (_, n) => draw(n));
    output("found", found);
    """
    found = run_engine(tmp_path, program, {"count": count})["found"].view(np.float64)
    draws = [generator(4, Purpose.INITIAL_STATE, n).integers(count) for n in range(50)]
    assert found.tolist() == draws


@pytest.mark.parametrize("angle", [0.0, 0.7, math.pi / 2])
def test_interpolated_noise(angle: float, tmp_path: Path) -> None:
    """The great circle between two noises is ours, its ends exactly."""
    program = """
    const of = (seed) => (level) => normals(kernels, seed, Purpose.STEP, 0, level, 100);
    output("found", interpolated(of(1), of(2), values.angle)(7));
    """
    found = run_engine(tmp_path, program, {"angle": angle})["found"]
    first, second = (normal(seed, Purpose.STEP, [0], 7, (100,)) for seed in (1, 2))
    assert np.array_equal(found, interpolate_noise(first, second, angle)[0].numpy())
