"""Folders of diffusers are sampled as their schedulers do, or refused with the other ways."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from sitegen.core.errors import RefusedError
from sitegen.generative.checkpoints.foreign import foreign_model
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.checkpoints.resampling import resampled
from sitegen.generative.checkpoints.schedulers import SAMPLERS
from sitegen.generative.process.protocol import process_of
from sitegen.ihdm import reverse_process
from sitegen.models.new_card import sampler_note
from tests.unit.generative.checkpoints.test_foreign import network


def saved(folder: Path, name: str, **settings: Any) -> tuple[Any, Any]:
    """Save a network with a scheduler as diffusers does; return both."""
    with torch.random.fork_rng(devices=[]):
        unet = network()
    scheduler = getattr(diffusers, f"{name}Scheduler")(**settings)
    unet.save_pretrained(folder / "unet")
    scheduler.save_pretrained(folder / "scheduler")
    return unet, scheduler


def theirs(unet: Any, scheduler: Any, noise: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return the first and the last state of the scheduler's own loop."""
    scheduler.set_timesteps(steps)
    start = state = noise * scheduler.init_noise_sigma
    options: dict[str, Any] = {}
    if isinstance(scheduler, diffusers.DDPMScheduler):
        options["generator"] = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            answer = unet(scheduler.scale_model_input(state, timestep), timestep).sample
            state = scheduler.step(answer, timestep, state, **options).prev_sample
    return start, state


def ours(folder: Path, start: Tensor, levels: int | None, sampler: str | None = None) -> Tensor:
    """Return the last state of sitegen's process of the folder, with the draws of `theirs`."""
    found = foreign_model(folder, levels, sampler)
    assert found is not None
    generator = torch.Generator().manual_seed(7)
    model = load_model(found.weights, found.card)

    def noise(level: int, number: int = 0) -> Tensor:
        return torch.randn(start.shape, generator=generator)

    *_, last = reverse_process(model, start, noise)
    return last.state


pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

DDPM = [
    {},
    {"variance_type": "fixed_large", "beta_schedule": "squaredcos_cap_v2"},
    {"timestep_spacing": "trailing", "clip_sample": False},
    {"timestep_spacing": "linspace", "variance_type": "fixed_small_log"},
]
DDIM = [
    {},
    {"clip_sample": False, "steps_offset": 1},
    {"timestep_spacing": "trailing", "prediction_type": "v_prediction"},
    {"prediction_type": "sample"},
]
THOUSAND: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "use_karras_sigmas": True,
    "beta_start": 0.00085,
    "beta_end": 0.012,
}
LARGE = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2", "clip_sample": True}
SOLVER: list[dict[str, Any]] = [
    {},
    {"timestep_spacing": "leading", "steps_offset": 1},
    {"timestep_spacing": "trailing", "beta_schedule": "squaredcos_cap_v2"},
    {"use_karras_sigmas": True},
    {"use_karras_sigmas": True, "beta_schedule": "squaredcos_cap_v2"},
    {"prediction_type": "v_prediction", "beta_schedule": "scaled_linear"},
    {"prediction_type": "sample"},
]
HEUN = {
    **THOUSAND,
    "prediction_type": "sample",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "clip_sample": True,
}
CASES = [
    *(("DDPM", settings, 20) for settings in DDPM),
    *(("DDIM", settings, 20) for settings in DDIM),
    *(
        (name, settings, 7)
        for name in ("EulerDiscrete", "HeunDiscrete", "DPMSolverMultistep")
        for settings in SOLVER
    ),
    *(("DPMSolverMultistep", {"solver_order": 1, **s}, 12) for s in SOLVER[:2]),
    ("HeunDiscrete", {"clip_sample": True}, 11),
    # σ and timesteps as rounded to float32; in float64 the last images differ by 1.4e-4 and more.
    ("HeunDiscrete", {"prediction_type": "sample", "clip_sample": True, **THOUSAND}, 3),
    ("HeunDiscrete", {"prediction_type": "v_prediction", "clip_sample": True, **THOUSAND}, 3),
    # σ of 20,000, from which differences of rounding grow to 0.1.
    ("HeunDiscrete", {**LARGE, "prediction_type": "sample"}, 2),
    ("HeunDiscrete", {**LARGE, "prediction_type": "v_prediction", "use_karras_sigmas": True}, 2),
    # β of `torch.linspace`; with NumPy's the last images differ by 2e-3.
    (
        "HeunDiscrete",
        {**THOUSAND, "beta_schedule": "scaled_linear", "beta_end": 0.02, "clip_sample": True},
        2,
    ),
    # The first timestep is just below 49, and cast to 48; in float64 it is 49.
    (
        "DPMSolverMultistep",
        {**SOLVER[4], "prediction_type": "sample", "num_train_timesteps": 50},
        2,
    ),
    # Factors of float64 moved these last images by 8e-4 and 2e-4; the network is not trained.
    ("DDIM", {"num_train_timesteps": 1000, "beta_start": 0.00085}, 20),
    ("DDIM", {"timestep_spacing": "trailing", "beta_schedule": "squaredcos_cap_v2"}, 25),
    *(("HeunDiscrete", {**HEUN, "use_karras_sigmas": karras}, 2) for karras in (False, True)),
    ("FlowMatchEulerDiscrete", {}, 9),
    ("FlowMatchEulerDiscrete", {"shift": 3.0}, 20),
]


@pytest.mark.parametrize(("name", "settings", "steps"), CASES)
def test_as_the_scheduler(name: str, settings: dict[str, Any], steps: int, tmp_path: Path) -> None:
    """The last state is that of the library from the same start, to 1e-4 of its range."""
    unet, scheduler = saved(tmp_path, name, **{"num_train_timesteps": 100, **settings})
    noise = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    if name.startswith("Flow"):
        scheduler.init_noise_sigma, scheduler.scale_model_input = 1.0, lambda state, _: state
    start, last = theirs(unet, scheduler, noise, steps)
    assert (ours(tmp_path, start, steps) - last).abs().max() < 1e-4 * max(
        1, float(last.abs().max())
    )


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_sampler(sampler: str, tmp_path: Path) -> None:
    """A named sampler takes the steps of its class with the settings of the folder's scheduler."""
    settings = {"num_train_timesteps": 100, "beta_schedule": "squaredcos_cap_v2"}
    unet, _ = saved(tmp_path, "PNDM", **settings, set_alpha_to_one=True)
    scheduler = diffusers.PNDMScheduler.from_pretrained(tmp_path / "scheduler")
    other = SAMPLERS[sampler]
    kind = getattr(diffusers, other["_class_name"])
    order = {"solver_order": other["solver_order"]} if "solver_order" in other else {}
    scheduler = kind.from_config(scheduler.config, **order)
    noise = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    start, last = theirs(unet, scheduler, noise, 10)
    assert (ours(tmp_path, start, 10, sampler) - last).abs().max() < 1e-4


def test_another_sampler_of_a_card(tmp_path: Path) -> None:
    """A card's schedule, rounded once, gives the solver that the folder's scheduler gives."""
    saved(tmp_path, "DDPM", timestep_spacing="linspace")
    whole, solved = foreign_model(tmp_path), foreign_model(tmp_path, 7, "heun")
    assert whole is not None
    assert solved is not None
    assert resampled(whole.card, 7, "heun").solver == solved.card.solver  # type: ignore[attr-defined]


def test_default_steps_and_start(tmp_path: Path) -> None:
    """Without a number, a DDPM takes all its steps and a solver 50; noise starts as theirs does."""
    words = {
        "DDPM": (1000, "DDPM, 1000 steps, random"),
        "DDIM": (50, "DDIM, 50 steps, nothing random after the start"),
        "EulerDiscrete": (50, "Euler (euler), 50 steps, nothing random after the start"),
    }
    for name, (steps, sampler) in words.items():
        _, scheduler = saved(tmp_path / name, name)
        found = foreign_model(tmp_path / name)
        assert found is not None
        assert (found.card.steps, sampler_note(found.card)) == (steps, f"sampler: {sampler}")
        scheduler.set_timesteps(steps)
        start = process_of(load_model(found.weights, found.card)).start(0, range(64))
        assert float(start.std()) == pytest.approx(float(scheduler.init_noise_sigma), rel=0.05)


@pytest.mark.parametrize(
    ("name", "settings", "steps", "words"),
    [
        ("PNDM", {}, None, "PNDMScheduler; choose --sampler-name ddpm, ddim, euler"),
        ("EulerAncestralDiscrete", {}, None, "does not take the steps of EulerAncestral"),
        ("UniPCMultistep", {}, None, "does not take the steps of UniPC"),
        ("EDMEuler", {}, None, "does not take the steps of EDMEulerScheduler"),
        ("DDIM", {"timestep_spacing": "linspace"}, 30, "do not meet; choose another number"),
        ("DDIM", {"set_alpha_to_one": False}, None, "set_alpha_to_one = false"),
        ("DDPM", {"thresholding": True}, None, "thresholding = true"),
        ("DDPM", {"variance_type": "learned"}, None, 'variance_type = "learned": supported are'),
        ("EulerDiscrete", {"final_sigmas_type": "sigma_min"}, None, "final_sigmas_type = "),
        ("EulerDiscrete", {}, 2000, "2000 steps: must be from 1 to 1000"),
        ("DPMSolverMultistep", {"solver_order": 3}, None, "solver_order = 3: supported are"),
        ("DPMSolverMultistep", {"algorithm_type": "sde-dpmsolver++"}, None, "algorithm_type = "),
        ("FlowMatchEulerDiscrete", {"use_karras_sigmas": True}, None, "use_karras_sigmas = true"),
    ],
)
def test_other_schedulers_are_refused(
    name: str, settings: dict[str, Any], steps: int | None, words: str, tmp_path: Path
) -> None:
    """A scheduler whose steps are not sitegen's is refused, with recordings as another way."""
    saved(tmp_path, name, **settings)
    with pytest.raises(RefusedError, match=words) as caught:
        foreign_model(tmp_path, steps)
    assert "sitegen add NAME --recording FILE" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
