"""DDPM and DDIM are diffusers' schedulers step by step, and samples belong to their seed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from sitegen.core.errors import ConfigError, TargetError
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.resampling import resampled
from sitegen.generative.maths.noise import independent, initial_noise
from sitegen.generative.process.base import to_pixels
from sitegen.generative.process.ddpm import Ddpm
from sitegen.generative.process.protocol import Step, reverse_process
from tests.support.making import closeness, model_of, narrowed, small_card

SHAPE = (1, 8, 8)
LINEAR: dict[str, Any] = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
COSINE: dict[str, Any] = {"beta_schedule": "cosine"}
THEIRS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}


def diffusion_card(levels: int = 8, **config: Any) -> Ddpm:
    """The smallest DDPM's card; `config` are its `[diffusion]`, cosine unless told."""
    diffusion = DiffusionConfig(**{**COSINE, **config})
    card = small_card(levels=levels, kind="ddpm", diffusion=diffusion)
    assert isinstance(card, Ddpm)
    return card


def implicit(card: Ddpm, steps: int) -> Ddpm:
    """The card of DDIM in so many steps."""
    return narrowed(resampled(card, steps, "ddim"), Ddpm)


@dataclass
class Predictor:
    """Stands for a model: answers with a function of the state and √ᾱ, √(1 − ᾱ) of its level.

    Remembers the levels that it was asked at.
    """

    card: Ddpm
    answer: Callable[[Tensor, float, float], Tensor]
    levels: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = self.card.alphas_bar

    def __call__(self, x: Tensor, level: int, _below: int | None = None) -> Tensor:
        """What a model answers."""
        self.levels.append(level)
        left = self._left[level]
        return self.answer(x, left**0.5, (1 - left) ** 0.5)


def guess(x: Tensor, kept: float, noisy: float) -> Tensor:
    """About as good as a model's answer: of the size of noise, with x̂_0 about that of images.

    Here and there x̂_0 is beyond [-1, 1].
    """
    return noisy * x + 0.7 * kept * torch.tanh(x.roll(1, -1))


def theirs(kind: Any, card: Ddpm, **more: Any) -> Any:
    """Diffusers' scheduler of a card."""
    config = card.diffusion
    options = {"beta_start": config.beta_start, "beta_end": config.beta_end}
    return kind(
        num_train_timesteps=card.levels,
        beta_schedule=THEIRS[config.beta_schedule],
        clip_sample=config.clip_sample,
        **{key: value for key, value in options.items() if value is not None},
        **more,
    )


def start(count: int = 2) -> Tensor:
    """x_K of the first samples."""
    return initial_noise(0, range(count), SHAPE)


def step_by_step(
    ours: Iterator[Step], x_K: Tensor, card: Ddpm, step: Callable[[Tensor, int, Tensor], Any]
) -> float:
    """The largest difference of a state, both going on from ours.

    `step` is given ε, the timestep and the state, and gives diffusers' next state.
    """
    worst, state, level = 0.0, x_K, card.levels
    model = Predictor(card, guess)
    for found in ours:
        wanted = step(model(state, level), level - 1, state)
        worst = max(worst, closeness(found.state, wanted))
        state, level = found.state, found.level
    assert level == 0
    return worst


def fed(monkeypatch: pytest.MonkeyPatch, module: str, noise: Callable[[], Tensor]) -> None:
    """Let a scheduler of diffusers draw our noise."""
    monkeypatch.setattr(f"{module}.randn_tensor", lambda *_, **__: noise())


def test_only_ddim_rounds() -> None:
    """DDPM has no ε to find again: `rederive_noise`, with its float32, leaves its steps exact."""
    card = diffusion_card(250)
    rederived = replace(card, diffusion=replace(card.diffusion, rederive_noise=True))
    exact, other = (
        list(reverse_process(Predictor(one, guess), start(), independent(0, [0, 1], SHAPE)))
        for one in (card, rederived)
    )
    assert all(torch.equal(a.state, b.state) for a, b in zip(exact, other, strict=True))


@pytest.mark.parametrize("schedule", [LINEAR, COSINE], ids=["linear", "cosine"])
@pytest.mark.parametrize(
    ("levels", "every", "variance", "clip"),
    [
        (1000, 1, "fixed_small", True),
        (40, 1, "fixed_small", False),
        (40, 1, "fixed_large", True),
        (100, 1, "fixed_large", False),
        (40, 5, "fixed_small", True),
        (40, 5, "fixed_large", True),
    ],
)
def test_ddpm_is_theirs(
    schedule: dict[str, Any],
    levels: int,
    every: int,
    variance: str,
    clip: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each state is the one that DDPMScheduler makes of the state before and the same noise.

    So it is where a card visits every fifth level, and the scheduler takes so many steps.
    """
    card = diffusion_card(levels, **schedule, variance=variance, clip_sample=clip)
    if every > 1:
        card = replace(card, sampling=SamplingConfig(levels=tuple(range(levels, 0, -every))))
    scheduler = theirs(DDPMScheduler, card, variance_type=variance, timestep_spacing="trailing")
    scheduler.set_timesteps(levels // every)
    noise = independent(0, [0, 1], SHAPE)
    at = levels

    def step(predicted: Tensor, timestep: int, state: Tensor) -> Any:
        nonlocal at
        at = timestep + 1
        found = scheduler.step(predicted, timestep, state)
        # It goes on adding noise until timestep 0, which it does not come to in larger steps.
        return found.prev_sample if at > every or every == 1 else found.pred_original_sample

    fed(monkeypatch, "diffusers.schedulers.scheduling_ddpm", lambda: noise(at))
    model = Predictor(card, guess)
    ours = reverse_process(model, start(), noise)
    assert step_by_step(ours, start(), card, step) <= 1e-4
    assert model.levels == [timestep + 1 for timestep in scheduler.timesteps.tolist()]


_EVEN = [(10, 0.0), (10, 1.0), (50, 0.0), (50, 0.5), (1000, 1.0)]
_UNEVEN = [(3, 0.0), (3, 1.0), (7, 0.0), (7, 1.0), (99, 0.0), (99, 1.0)]


@pytest.mark.parametrize(
    ("schedule", "steps", "eta"),
    [(LINEAR, *each) for each in (*_EVEN, *_UNEVEN)] + [(COSINE, *each) for each in _EVEN],
)
def test_ddim_is_theirs(schedule: dict[str, Any], steps: int, eta: float) -> None:
    """Each state is the one that DDIMScheduler makes of the state before and the same noise."""
    card = diffusion_card(1000, **schedule)
    scheduler = theirs(DDIMScheduler, card, timestep_spacing="trailing")
    # Rounded to float32 theirs alone would move the steps more.
    scheduler.alphas_cumprod = torch.tensor(card.alphas_bar[1:], dtype=torch.float64)
    scheduler.set_timesteps(steps)
    way = [*scheduler.timesteps.tolist(), -1]
    below = dict(pairwise(way))
    noise = independent(0, [0, 1], SHAPE)

    def step(predicted: Tensor, timestep: int, state: Tensor) -> Any:
        if 1000 % steps:
            scheduler.num_inference_steps = Fraction(1000, timestep - below[timestep])
        given = {"eta": eta, "variance_noise": noise(timestep + 1) if eta else None}
        return scheduler.step(predicted.double(), timestep, state.double(), **given).prev_sample

    card = replace(card, diffusion=replace(card.diffusion, eta=eta))
    model = Predictor(implicit(card, steps), guess)
    ours = reverse_process(model, start(), noise if eta else None)
    assert step_by_step(ours, start(), card, step) <= 1e-5
    assert [level - 1 for level in model.levels] == way[:-1]


@pytest.mark.parametrize("levels", [1, 2, 7, 100, 4000])
def test_schedules_are_theirs(levels: int) -> None:
    """ᾱ of any number of levels; ᾱ falls from 1 and never reaches 0."""
    for config in (LINEAR, COSINE):
        card = diffusion_card(levels, **config)
        scheduler = theirs(DDPMScheduler, card)
        ours = torch.tensor(card.alphas_bar, dtype=torch.float64)
        assert torch.allclose(ours[1:], scheduler.alphas_cumprod.double(), atol=1e-5)
        assert ours[0] == 1
        assert bool((ours.diff() < 0).all())
        assert ours[-1] > 0


def drawn(draw: Callable[[], Tensor], _number: int) -> Tensor:
    """The only draw of a step."""
    return draw()


def test_levels_of_ddim() -> None:
    """DDIM's levels go from K to 0 evenly; diffusing is `add_noise` of theirs."""
    assert to_pixels(torch.tensor([-1.0, 1.0])).tolist() == [0, 1]
    assert implicit(diffusion_card(1000), 4).visited_levels == (1000, 750, 500, 250, 0)
    assert implicit(diffusion_card(100), 100).visited_levels == tuple(range(100, -1, -1))
    for steps in range(1, 101):
        levels = implicit(diffusion_card(100), steps).visited_levels
        assert (levels[0], levels[-1], len(levels)) == (100, 0, steps + 1)
        gaps = -np.diff(levels)
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 2
    for steps in (0, 101):
        with pytest.raises(ConfigError, match=r"must be (from 1 to its 100 levels|at least 1)"):
            implicit(diffusion_card(100), steps)
    card = diffusion_card(100)
    images, noise = torch.rand(4, *SHAPE) * 2 - 1, start(4)
    at = torch.tensor([1, 2, 50, 100])
    for sample, level in enumerate(at.tolist()):
        draw = partial(noise.__getitem__, slice(sample, sample + 1))
        found = card.corrupt(None, images[sample : sample + 1], level, partial(drawn, draw))
        wanted = theirs(DDPMScheduler, card).add_noise(images, noise, at - 1)
        assert found.dtype == torch.float32
        assert closeness(found[0], wanted[sample]) < 1e-6
    assert torch.equal(card.corrupt(None, images, 0, lambda _: noise), images)


def test_first_noise_and_what_cannot_be() -> None:
    """First noise is the sample's, and like no step's; what cannot be is refused."""
    one = initial_noise(5, [3], SHAPE)
    assert torch.equal(one, initial_noise(5, [1, 3, 7], SHAPE)[1:2])
    assert not torch.equal(one, initial_noise(6, [3], SHAPE))
    step = independent(5, [3], SHAPE)
    assert not any(torch.equal(one, step(level)) for level in range(9))
    many = initial_noise(0, range(500), SHAPE)
    assert abs(float(many.mean())) < 0.02
    assert float(many.std()) == pytest.approx(1, abs=0.02)
    card = diffusion_card()
    model = model_of(card)
    for level in (0, 9):
        with pytest.raises(ValueError, match="level must be an integer from 1 to 8"):
            model(start(), level)
    noise = independent(0, [0, 1], SHAPE)
    with pytest.raises(ValueError, match="this process draws noise"):
        next(reverse_process(model, start(), None))
    with pytest.raises(ConfigError, match="sampling_noise_std"):
        reverse_process(model, start(), noise, 0.1)
    wild = diffusion_card(clip_sample=False)
    with pytest.raises(TargetError, match=r"level 7: sample 0 .* beyond ±"):
        next(reverse_process(Predictor(wild, lambda x, *_: x * 1e6), start(), noise))
