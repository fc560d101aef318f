"""The reverse process is the published one, and a sample does not depend on its company."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor

from sitegen.core.errors import TargetError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.maths.noise import Branching, independent
from sitegen.generative.process.dissipation import heat_of
from sitegen.generative.process.model import Model
from sitegen.ihdm import interpolate_noise, reverse_process
from tests.support.lessons import cascade_card
from tests.support.making import closeness, random_unet, small_card


@dataclass
class _Stub:
    """Stands for a model: computes with a function, and remembers what it was asked."""

    card: ModelCard
    answer: Callable[[Tensor, int], Tensor] = field(default=lambda u, _level: u)
    calls: list[tuple[int, int]] = field(default_factory=list)
    jumps: list[int | None] = field(default_factory=list)

    def __call__(self, u: Tensor, level: int, below: int | None = None) -> Tensor:
        self.calls.append((level, len(u)))
        self.jumps.append(below)
        return self.answer(u, level)


def _no_noise(level: int) -> Tensor:
    return torch.zeros(2, 1, 8, 8)


def _flat(count: int) -> Tensor:
    return torch.full((count, 1, 8, 8), 0.5)


def test_recorded_trajectory(tiny_model: Model, expected: dict[str, Tensor]) -> None:
    """All K + 1 states with the recorded noise, and five points between two samples."""
    noises = expected["noises"]
    steps = list(
        reverse_process(
            tiny_model, expected["u_K"], lambda level: noises[8 - level], float(expected["delta"])
        )
    )
    found = torch.stack([expected["u_K"], *(step.state for step in steps)])
    assert closeness(found, expected["trajectory"]) < 1e-5
    assert closeness(steps[-1].mean, expected["final_mean"]) < 1e-5
    assert [step.level for step in steps] == [7, 6, 5, 4, 3, 2, 1, 0]
    a, b = expected["interp_noise_a"], expected["interp_noise_b"]
    angles = torch.linspace(0, math.pi / 2, 5)
    share = torch.linspace(0, 1, 5).reshape(-1, 1, 1, 1)
    u_K = (1 - share) * expected["u_K"][:1] + share * expected["u_K"][1:]
    assert closeness(u_K, expected["interp_init"]) < 1e-6
    *_, last = reverse_process(
        tiny_model,
        u_K,
        lambda level: interpolate_noise(a[level - 1], b[level - 1], angles),
        float(expected["delta"]),
    )
    assert closeness(last.mean, expected["interp_final"]) < 1e-5


def test_visits_the_levels_of_the_card() -> None:
    """Where the card lists levels, those alone are visited; a step of one level is no jump.

    One may begin at any of them.
    """
    stub, asked = _Stub(cascade_card()), list[int]()

    def noise(level: int) -> Tensor:
        asked.append(level)
        return torch.ones(2, 1, 8, 8)

    steps = list(reverse_process(stub, _flat(2), noise))
    assert asked == [level for level, _ in stub.calls] == [8, 6, 5, 3, 1]
    assert [step.level for step in steps] == [6, 5, 3, 1, 0]
    assert stub.jumps == [6, None, 3, 1, None]
    assert [step.level for step in reverse_process(stub, _flat(2), noise, begin=5)] == [3, 1, 0]
    with pytest.raises(ValueError, match="not in tuple"):
        next(iter(reverse_process(stub, _flat(2), noise, begin=4)))


def test_a_tree_computes_each_state_once() -> None:
    """The network sees one state until the first split, two until the next; leaves are right."""
    card = small_card()
    unet = random_unet(card)
    stub = _Stub(card, lambda u, level: u + 0.1 * unet(u, torch.full((len(u),), level)))
    tree = Branching(0, (6, 3), card.shape)
    steps = list(reverse_process(stub, _flat(1), tree))
    assert stub.calls == [(8, 1), (7, 1), (6, 1), (5, 2), (4, 2), (3, 2), (2, 4), (1, 4)]

    def for_leaves(level: int) -> Tensor:
        return tree(level).repeat_interleave(4 // tree.branches(level), dim=0)

    for step, leaves in zip(steps, reverse_process(stub, _flat(4), for_leaves), strict=True):
        spread = 4 // len(step.state)
        assert closeness(step.state.repeat_interleave(spread, 0), leaves.state) < 1e-5
        assert step.mean.shape == step.state.shape
    assert len(set(map(tuple, steps[-1].state.flatten(1).tolist()))) == 4


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e6, -1e6])
def test_breakdown_is_told(value: float) -> None:
    """A value that is not finite, or far out of range, stops at once: level, sample, limit."""

    def answer(u: Tensor, level: int) -> Tensor:
        u = u.clone()
        u[1, 0, 2, 2] = value if level == 5 else 0.5
        return u

    steps = reverse_process(_Stub(small_card(), answer), _flat(2), _no_noise)
    assert [next(steps).level for _ in range(3)] == [7, 6, 5]
    with pytest.raises(TargetError, match=r"level 4: sample 1 .* has values beyond ±1000, or that"):
        next(steps)


def test_what_cannot_be(tiny_card: ModelCard) -> None:
    """Its steps keep no gradients; other shapes and noises are refused."""
    card = replace(heat_of(tiny_card), levels=2)
    unet = random_unet(card).requires_grad_(True)
    steps = reverse_process(
        Model(card, [unet]), torch.full((1, 1, 28, 28), 0.5), independent(0, [0], card.shape)
    )
    for step in steps:
        assert torch.is_grad_enabled()
        assert not step.mean.requires_grad
