"""Noise belongs to the sample: it depends on nothing but seed, sample, level and purpose."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sitegen.generative.maths.noise import (
    Branching,
    Interpolated,
    Purpose,
    generator,
    independent,
    normal,
)
from sitegen.ihdm import interpolate_noise

_SHAPE = (1, 6, 5)
_SAMPLES = st.lists(st.integers(0, 10_000), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**63 - 1), _SAMPLES, st.integers(1, 400))
def test_company_does_not_matter(seed: int, samples: list[int], level: int) -> None:
    """A sample's noise is bit-equal alone, in a batch, in another order, and asked for again."""
    together = independent(seed, samples, _SHAPE)(level)
    alone = [independent(seed, [sample], _SHAPE)(level)[0] for sample in samples]
    turned = independent(seed, samples[::-1], _SHAPE)(level).flip(0)
    assert torch.equal(together, torch.stack(alone))
    assert torch.equal(together, turned)
    assert together.dtype == torch.float32


_RECORDED = [0.27475792, 0.37948388, 0.04645855, -1.53139305]
_RECORDED_INDICES = [310, 392, 351, 16]


def test_numbers() -> None:
    """Normal numbers, other for each seed, sample, level and purpose, that stay as they are."""
    noise = independent(4, [0, 0, 0], _SHAPE)(2)
    assert torch.equal(noise, independent(4, [0], _SHAPE)(2).expand(3, *_SHAPE))
    numbers = independent(0, range(50), (1, 64, 64))(1)
    assert abs(float(numbers.mean())) < 0.01
    assert abs(float(numbers.std()) - 1) < 0.01
    assert abs(float((numbers.abs() > 2).float().mean()) - 0.0455) < 0.002
    shape = (1, 40, 40)
    base = (5, Purpose.STEP, [2], 7)
    others = [
        (6, Purpose.STEP, [2], 7),
        (5, Purpose.BRANCH, [2], 7),
        (5, Purpose.PRIOR_NOISE, [2], 7),
        (5, Purpose.STEP, [3], 7),
        (5, Purpose.STEP, [2], 8),
        (5, Purpose.STEP, [7], 2),
        (2, Purpose.STEP, [5], 7),
        (2**63 - 1, Purpose.STEP, [2], 7),
    ]
    first = normal(*base, shape).flatten()
    for other in others:
        assert abs(float((first * normal(*other, shape).flatten()).mean())) < 0.1
    found = normal(1, Purpose.STEP, [2], 3, (4,))[0]
    assert found.tolist() == pytest.approx(_RECORDED, abs=1e-6)
    assert (
        generator(1, Purpose.INITIAL_STATE, 2).integers(400, size=4).tolist() == _RECORDED_INDICES
    )


def test_great_circle() -> None:
    """Great circles from a to b, exact at both ends; branches double at each split."""
    a, b = independent(0, [0], _SHAPE)(1), independent(0, [1], _SHAPE)(1)
    assert torch.equal(interpolate_noise(a, b, 0.0), a)
    assert torch.allclose(interpolate_noise(a, b, math.pi / 2), b, atol=1e-6)
    assert torch.allclose(interpolate_noise(a, b, math.pi / 4), (a + b) / math.sqrt(2))
    angles = torch.linspace(0, math.pi / 2, 7)
    found = interpolate_noise(a, b, angles)
    assert found.shape == (7, *_SHAPE)
    assert torch.equal(found, interpolate_noise(a[0], b[0], angles))
    for theta, row in zip(angles.tolist(), found, strict=True):
        assert torch.allclose(row, math.cos(theta) * a[0] + math.sin(theta) * b[0], atol=1e-6)
    points = ((4, 4, 0.0), (4, 1, math.pi / 2), (1, 4, 0.3))
    circles = Interpolated(7, points, _SHAPE)
    four, one = independent(7, [4, 1], _SHAPE)(3)
    between = math.cos(0.3) * one + math.sin(0.3) * four
    assert torch.equal(circles(3)[:2], torch.stack([four, one]))
    assert torch.allclose(circles(3)[2], between, atol=1e-6)
    part = replace(circles, samples=circles.samples[1:3])
    assert torch.equal(part(3), circles(3)[1:])
    large, small = torch.full(_SHAPE, 1e10), torch.full(_SHAPE, 1e-10)
    ends = torch.tensor([0, math.pi / 2], dtype=torch.float64)
    assert torch.equal(interpolate_noise(large, small, ends), torch.stack([large, small]))
    assert torch.equal(interpolate_noise(small, large, ends), torch.stack([small, large]))
    assert torch.equal(interpolate_noise(large, small, math.pi / 2), small)
    tree = Branching(0, (6, 3, 2), _SHAPE)
    assert [tree.branches(level) for level in (8, 7, 6, 5, 4, 3, 2, 1)] == [1, 1, 2, 2, 2, 4, 8, 8]
    assert all(tree(level).shape == (tree.branches(level), *_SHAPE) for level in range(1, 9))
    other = Branching(1, (6, 3, 2), _SHAPE)
    rows = torch.cat([source(level) for source in (tree, other) for level in range(1, 9)])
    assert len(set(map(tuple, rows.flatten(1).tolist()))) == len(rows)
    short = Branching(0, (6,), _SHAPE)
    assert all(torch.equal(short(level), tree(level)) for level in (8, 7, 6, 5, 4))
