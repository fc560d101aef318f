"""Flows against closed forms, DDIM, diffusers, and the numbers of torchcfm."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.maths.noise import Purpose, normal
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.flow import Flow, FlowConfig
from sitegen.generative.process.protocol import GenerativeProcess, process_of, reverse_process, run
from sitegen.sampling.models import Sampler
from tests.support.making import model_of, process_with, random_unet

SEED, SAMPLES = 3, (0, 2)
LEVELS = 10


def card(**changes: Any) -> Flow:
    """The card of a small flow."""
    return Flow(8, 1, LEVELS, UNetConfig(32, (1,), num_res_blocks=1), **changes)


@dataclass
class Given:
    """A velocity in closed form in place of a network."""

    card: Flow
    device: None = None

    def __call__(self, x: Tensor, t: float) -> Tensor:
        """V = t − x, so that x = t − 1 + (x_0 + 1) exp(−t)."""
        return t - x


def last(process: GenerativeProcess) -> Tensor:
    """The finished images of two samples, in the process's own units."""
    *_, step = run(process, process.start(SEED, SAMPLES), None)
    return step.state


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2)])
@pytest.mark.parametrize("data_time", [1, 0])
def test_solvers_converge_with_their_order(solver: Any, order: int, data_time: Any) -> None:
    """Twice the steps leave a half, or a quarter, of the error against the exact solution."""

    def error(levels: int) -> float:
        flow = FlowConfig(solver, data_time)
        process = process_of(Given(replace(card(flow=flow), levels=levels)))
        first = process.start(SEED, SAMPLES).double()
        t, end = (0.0, 1.0) if data_time else (1.0, 0.0)
        exact = end - 1 + (first - (t - 1)) * math.exp(t - end)
        return float((last(process) - exact).abs().max())

    assert error(20) / error(40) == pytest.approx(2**order, rel=0.1)


@pytest.mark.parametrize("schedule", [("cosine", None, None), ("linear", 0.01, 0.6)])
@pytest.mark.parametrize("prediction", [None, "v_prediction"])
def test_flow_of_a_ddpm_is_ddim(schedule: Any, prediction: Any) -> None:
    """Euler steps over a DDPM's network are DDIM without noise, at every level, but for scale."""
    name, first, final = schedule
    noise = DiffusionConfig(name, first, final, prediction_type=prediction)
    whole = card(diffusion=noise)
    unet = random_unet(whole)
    unclipped = replace(noise, clip_sample=False)
    ddpm = Ddpm(8, 1, LEVELS, whole.unet, diffusion=replace(unclipped, sampler="ddim"))
    process = process_with(whole, unet)
    start = normal(SEED, Purpose.INITIAL_NOISE, SAMPLES, 0, whole.shape)
    wanted = list(reverse_process(model_of(ddpm, unet), start, None))
    found = list(run(process, process.start(SEED, SAMPLES), None))
    for one, other in zip(found, wanted, strict=True):
        t = whole.times[one.level]
        scaled = math.hypot(t, 1 - t) * other.state
        assert float((one.state - scaled).abs().max()) < 1e-5 * float(scaled.abs().max())
        if one.level and one.final and other.final:
            assert torch.allclose(one.final(), other.final(), atol=1e-3, rtol=1e-3)
    assert (found[-1].level, whole.times[0]) == (0, 1)  # so the last is unscaled


def test_flow_of_diffusers() -> None:
    """Times and steps are those of FlowMatchEulerDiscreteScheduler, whose data are at t = 0."""
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(LEVELS)
    times = tuple(float(each) for each in scheduler.sigmas)
    flow = FlowConfig(data_time=0, time_scale=1000.0, times=times)
    process = process_with(card(flow=flow))
    state = process.start(SEED, SAMPLES)
    found = [step.state for step in run(process, state, None)]
    for timestep, own in zip(scheduler.timesteps, found, strict=True):
        with torch.no_grad():
            velocity = process.model.unet(state, timestep.expand(len(state)))
        state = scheduler.step(velocity, timestep, state).prev_sample
        assert torch.allclose(own, state, atol=2e-5)


def test_corrupted_images_have_their_share() -> None:
    """A state at level 0 is the image, and one at level K the noise, whichever end data are at."""
    images, noise = torch.ones(1, 1, 8, 8), torch.full((1, 1, 8, 8), -2.0)
    for end in (0, 1):
        process = process_of(Given(card(flow=FlowConfig(data_time=end))))
        at = [float(process.corrupt(images, k, lambda _: noise).mean()) for k in (0, 5, LEVELS)]
        assert at == pytest.approx([1, -0.5, -2])


def tree(samples: tuple[int, ...] | None = None) -> list[Tensor]:
    """The pictures of a tree of four leaves, level by level."""
    sampler = Sampler(process_with(card()))
    found = sampler.tree(SEED, (8, 5), samples)
    return [torch.from_numpy(images) for _, images in found.seen("state")]


def test_a_tree_is_noised_anew() -> None:
    """A branch continues its parent; its sibling starts from the parent's picture, noised again."""
    found = tree()
    assert [len(each) for each in found] == [1, 1, 1, 2, 2, 2, 4, 4, 4, 4, 4]
    process = process_with(card())
    *_, plain = run(process, process.start(SEED, [0]), None)
    assert torch.allclose(found[-1][0], process.pixels(plain.state, 0)[0], atol=1e-5)
    noise = normal(SEED, Purpose.BRANCH, [3], 8, process.card.shape)
    state = process.corrupt(plain.state, 8, lambda _: noise)
    for level, below in pairwise(process.levels[2:]):
        with torch.no_grad():
            state = process.move(level, below, state, lambda _: noise).state
    assert torch.allclose(found[-1][2], process.pixels(state, 0)[0], atol=1e-5)


def test_a_tree_of_chosen_samples() -> None:
    """The first leaf is the first sample; a leaf depends on its own samples alone."""
    one, other = tree((4, 5, 6, 7))[-1], tree((4, 5, 6, 9))[-1]
    assert torch.equal(one[:3], other[:3])
    assert float((one[3] - other[3]).abs().max()) > 1e-3


def test_renoised_states_keep_their_law() -> None:
    """Siblings of exact samples of two values are exact: each value in half of the pictures.

    The velocity is that of data ±1, v = (tanh(x t / (1 − t)²) − x) / (1 − t).
    """

    class Exact(Given):
        def __call__(self, x: Tensor, t: float) -> Tensor:
            """The velocity."""
            image = torch.tanh(x * t / max(1 - t, 1e-3) ** 2)
            return (image - x) / max(1 - t, 1e-3)

    process = process_of(Exact(replace(card(), levels=50)))
    ends = last_of(process, process.start(SEED, range(40)), 0)
    noise = normal(SEED, Purpose.BRANCH, range(40), 25, (1, 8, 8))
    again = last_of(process, process.corrupt(ends, 25, lambda _: noise), 25)
    assert float((again > 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    kept = float((again.sign() == ends.sign()).float().mean())
    assert 0.6 < kept < 0.999


def last_of(process: GenerativeProcess, state: Tensor, first: int) -> Tensor:
    """The finished images from the states before the step `first`."""
    for level, below in pairwise(process.levels[first:]):
        state = process.move(level, below, state, torch.zeros).state
    return state


def test_initial_states_around_the_first() -> None:
    """The first picture is the sample itself, and the others start at the angle to it."""
    sampler = Sampler(process_with(card()))
    start = sampler.around(SEED, (0, 1, 2), 0.3).u_K
    own = sampler.process.pixels(sampler.start(SEED, (0, 1)), LEVELS)
    z, other = own * 2 - 1
    assert torch.allclose(start[0], own[0])
    assert torch.allclose(start[1] * 2 - 1, math.cos(0.3) * z + math.sin(0.3) * other, atol=1e-6)
