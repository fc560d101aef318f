"""What every process keeps to, sitegen's own and that of a plug-in."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from sitegen.core.errors import TargetError
from sitegen.generative.card.abilities import RANDOM
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.kinds import KINDS
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.card.parts import card_kind
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.resampling import resampled
from sitegen.generative.maths.heat import dissipate
from sitegen.generative.maths.noise import Branching, Purpose, generator, independent, normal
from sitegen.generative.process.base import Draw, FromNoise, Moved, split
from sitegen.generative.process.blurring import BlurringConfig
from sitegen.generative.process.cold import ColdConfig
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.edm import EdmConfig
from sitegen.generative.process.flow import FlowConfig
from sitegen.generative.process.karras import NoiseLevels
from sitegen.generative.process.protocol import GenerativeProcess, Step, run
from sitegen.generative.process.sde import SdeConfig
from sitegen.generative.process.solver import SolverConfig
from tests.support.making import model_of, narrowed, process_with, small_card

SEED, SAMPLES, SHAPE = 5, (0, 3, 4), (1, 8, 8)


@card_kind
class Churn(FromNoise):
    """A process as a plug-in may write it: two draws a step, one of them before the network."""

    kind: Literal["churn"] = "churn"

    label = "Churn"
    abilities = RANDOM

    def move(self, model: Any, level: int, below: int, x: Tensor, draw: Draw) -> Moved:
        """Split and squash."""
        x = split(x, draw(0)) + 0.1 * draw(0)
        final = torch.tanh(x)
        mean = x + (final - x) / level
        return Moved(mean + (0.05 * draw(1) if level > 1 else 0), mean, lambda: final)


class FlatStarts(GenerativeProcess):
    """A process from random flat states."""

    def start(self, seed: int, samples: Sequence[int]) -> Tensor:
        """Blur noise."""
        return dissipate(normal(seed, Purpose.INITIAL_STATE, samples, 0, SHAPE), 4.0)


def heat() -> GenerativeProcess:
    """Heat dissipation from random flat states."""
    model = model_of(small_card())
    return FlatStarts(model.card, model)


def card(kind: str, **tables: Any) -> ModelCard:
    """A small card of a kind."""
    return ModelCard(8, 1, 10, UNetConfig(32, (1,), num_res_blocks=1), kind=kind, **tables)


def noised(kind: str, **tables: Any) -> GenerativeProcess:
    """A process with random weights."""
    return process_with(card(kind, **tables))


def ddpm(**diffusion: Any) -> GenerativeProcess:
    """A small DDPM with random weights."""
    return noised("ddpm", diffusion=DiffusionConfig("cosine", **diffusion))


def ddim(eta: float) -> GenerativeProcess:
    """DDIM in five steps."""
    process = ddpm(eta=eta)
    return replace(process, card=narrowed(resampled(process.card, 5, "ddim"), Ddpm))


SIGMAS = tuple(30.0 / 2**step for step in range(10))
TIMES = tuple(float(100 - 10 * step) for step in range(10))
PROCESSES: dict[str, Callable[[], GenerativeProcess]] = {
    "heat": heat,
    "ddpm": ddpm,
    "ddim": lambda: ddim(0.0),
    "ddim with noise": lambda: ddim(0.5),
    "flow": lambda: noised("flow", flow=FlowConfig("midpoint")),
    "flow of a ddpm": lambda: noised("flow", diffusion=DiffusionConfig("cosine")),
    "heun": lambda: noised("solver", solver=SolverConfig("heun", TIMES, SIGMAS, 30.0)),
    "dpmpp": lambda: noised("solver", solver=SolverConfig("dpmpp2m", TIMES, SIGMAS)),
    "edm": lambda: noised("edm", edm=EdmConfig()),
    "edm with churn": lambda: noised(
        "edm", edm=EdmConfig(solver="euler", churn=5.0, churn_min=0.1)
    ),
    "consistency": lambda: noised("consistency", edm=NoiseLevels()),
    "score sde, ve": lambda: noised("sde", sde=SdeConfig("ve", corrector_steps=1)),
    "score sde, vp": lambda: noised("sde", sde=SdeConfig("vp", "ancestral", beta_max=3.0)),
    "cold": lambda: noised("cold", cold=ColdConfig((0.1,), ((0.2,),), start_noise=0.01)),
    "blurring": lambda: noised("blurring", blurring=BlurringConfig(sigma_max=0.3)),
    "plug-in": lambda: process_with(Churn(8, 1, 10, UNetConfig(32, (1,), num_res_blocks=1))),
}


@pytest.fixture(params=PROCESSES)
def process(request: pytest.FixtureRequest) -> GenerativeProcess:
    """Each process."""
    torch.manual_seed(0)
    return PROCESSES[request.param]()


def steps(process: GenerativeProcess, samples: Sequence[int] = SAMPLES, **more: Any) -> list[Step]:
    """All steps of some samples."""
    noise = independent(SEED, samples, process.card.shape) if process.random else None
    return list(run(process, process.start(SEED, samples), noise, **more))


def near(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal but for rounding."""
    return float((one - other).abs().max()) <= 1e-4 * float(other.abs().max())


def test_steps_lead_from_the_first_level_to_0(process: GenerativeProcess) -> None:
    """There is one to each level below the first, and the last ends at level 0 in its mean."""
    *_, last = found = steps(process)
    assert [step.level for step in found] == list(process.levels[1:])
    assert last.level == 0
    assert last.mean.shape == (3, *process.card.shape)


def test_every_kind_keeps_to_the_contract() -> None:
    """No kind of a card but a sampler and a recording is without a process in this suite."""
    torch.manual_seed(0)
    kinds = {make().card.kind for make in PROCESSES.values()}
    assert kinds >= KINDS.keys() - {"sampler", "recording"}


def test_a_card_says_what_its_process_does(process: GenerativeProcess) -> None:
    """Randomness, predicted images and the values of the axis are those of the process."""
    abilities, axis = process.card.abilities, process.card.axis
    assert ("random" in abilities) == process.random
    assert ("final" in abilities) == all(step.final is not None for step in steps(process))
    assert len(axis.values) == process.card.levels + 1


def test_a_sample_does_not_know_the_others(process: GenerativeProcess) -> None:
    """A sample is the same alone, in another order and in another company; no two are alike."""
    *_, together = steps(process)
    *_, alone = steps(process, [3])
    *_, turned = steps(process, SAMPLES[::-1])
    assert near(alone.mean[0], together.mean[1])
    assert near(turned.mean.flip(0), together.mean)
    assert float((together.mean[0] - together.mean[1]).abs().max()) > 1e-3


def test_a_tree_splits_where_it_should(process: GenerativeProcess) -> None:
    """A draw for more branches splits every state; the first leaf goes on as its own sample."""
    if "random" not in process.card.abilities:
        return
    level = process.levels[1]
    splits, leaves = (process.levels[0], level), (0, 7, 8, 9)
    noise = Branching(SEED, splits, process.card.shape, samples=leaves)
    found = list(run(process, process.start(SEED, [0]), noise))
    assert [len(step.state) for step in found][:2] == [2, 4]
    *_, plain = steps(process, [0])
    assert near(found[-1].mean[0], plain.mean[0])
    for step in found:
        if step.final is not None:
            assert step.final().shape == step.mean.shape


def test_paths_end_in_their_ends(process: GenerativeProcess) -> None:
    """The path between two initial states begins at one and ends at the other."""
    first, last = process.start(SEED, [0, 1])
    found = process.between(first, last, 5)
    assert found.shape == (5, *process.card.shape)
    assert near(found[0], first)
    assert near(found[-1], last)


def test_what_is_broken_is_told(process: GenerativeProcess) -> None:
    """A state that is not finite is refused, with level and sample."""
    noise = independent(SEED, SAMPLES, process.card.shape)
    broken = process.start(SEED, SAMPLES).clone()
    broken[1] = torch.nan
    with pytest.raises(TargetError, match=r"on the way to level \d+: sample 3 of seed 5"):
        next(run(process, broken, noise))


def test_predicted_images() -> None:
    """The predicted image of a DDPM is x̂_0, and it ends in the finished one."""
    found = steps(ddpm())
    assert all(step.final is not None for step in found)
    assert found[-1].final is not None
    assert near(found[-1].final(), found[-1].mean)
    assert all(step.final is None for step in steps(heat())[:-1])  # it predicts means alone


def test_draws_of_a_step() -> None:
    """Draw 0 has the numbers that a sample always had; further draws of a step are others."""
    key = generator(3, Purpose.STEP, 2, 7).bit_generator.state["state"]["counter"]
    assert key.tolist() == [0, 0, 2, 7]
    more = generator(3, Purpose.STEP, 2, 7, draw=4).bit_generator.state["state"]["counter"]
    assert more.tolist() == [0, 4, 2, 7]
    noise = independent(3, [2], SHAPE)
    assert torch.equal(noise(7), noise(7, 0))
    assert not torch.equal(noise(7), noise(7, 1))


def test_corrupted_images() -> None:
    """At level 0 nothing is lost; at the last level heat leaves the mean, and a DDPM noise."""
    images = torch.rand(2, *SHAPE)
    draw: Draw = lambda number: torch.zeros(2, *SHAPE)  # noqa: E731
    process = heat()
    assert near(process.corrupt(images, 0, draw), images)
    flat = process.corrupt(images, process.card.levels, draw)
    assert near(flat.mean((2, 3)), images.mean((2, 3)))
    other = ddpm()
    assert near(other.corrupt(images, 0, draw), images)
    assert float(other.corrupt(images, 10, draw).abs().max()) < 1
