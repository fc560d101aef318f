"""Schedulers of diffusers as the tables of a model card, with the same steps; no torch.

A scheduler whose steps sitegen does not take is refused; it is never replaced by another one unless
the author names that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.card.tables import DiffusionConfig, single_alphas_bar, single_range
from sitegen.generative.checkpoints.archive import OTHER_WAYS
from sitegen.generative.process.flow import FLOW_STEPS, FlowConfig
from sitegen.generative.process.solver import Method, SolverConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Settings = Mapping[str, Any]

SAMPLERS: Mapping[str, Settings] = {
    "ddpm": {"_class_name": "DDPMScheduler"},
    "ddim": {"_class_name": "DDIMScheduler"},
    "euler": {"_class_name": "EulerDiscreteScheduler"},
    "heun": {"_class_name": "HeunDiscreteScheduler"},
    "dpmpp": {"_class_name": "DPMSolverMultistepScheduler", "solver_order": 1},
    "dpmpp2m": {"_class_name": "DPMSolverMultistepScheduler", "solver_order": 2},
}
"""Samplers of `--sampler-name`, which take the other settings of a scheduler as `from_config` does.
"""
SOLVER_STEPS = 50
"""Default number of steps of a solver."""
_RHO = 7.0
_OTHERS = frozenset(
    f"{name}Scheduler"
    for name in (
        *("PNDM", "EulerAncestralDiscrete", "DPMSolverSinglestep", "DPMSolverSDE", "DEISMultistep"),
        *("UniPCMultistep", "LMSDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete", "TCD", "LCM"),
    )
)
"""Schedulers of a DDPM's network whose steps sitegen does not take."""


def schedule_of(
    path: Path, settings: Settings, levels: int | None = None, sampler: str | None = None
) -> Settings:
    """Return the steps of the scheduler in a file, `levels` of them, as fields of a card.

    sampler: one of `SAMPLERS`, in place of the scheduler's own

    Raises RefusedError for schedulers and settings that are not supported, and for numbers of steps
    that they do not have.
    """
    name = settings.get("_class_name", "DDPMScheduler")
    is_ddpm = name in _OTHERS or name in {entry["_class_name"] for entry in SAMPLERS.values()}
    if sampler is not None and is_ddpm:
        settings = {**settings, **SAMPLERS[sampler]}
        if settings["_class_name"] != name:  # PNDM's default, which DDIM's scheduler does not have
            settings.pop("set_alpha_to_one", None)
        name = settings["_class_name"]
    elif sampler is not None:
        raise RefusedError(
            f"{path}: {name}: --sampler-name is for schedulers of DDPMs; leave it out"
        )
    if name not in _SCHEDULERS:
        other = f"choose --sampler-name {', '.join(SAMPLERS)}" if is_ddpm else ""
        raise RefusedError(
            f"{path}: sitegen does not take the steps of {str(name)[:80]}; "
            + "; ".join(filter(None, (other, OTHER_WAYS)))
        )
    try:
        return _SCHEDULERS[name](path, settings, levels)
    except (ConfigError, TypeError, ValueError, ArithmeticError) as error:
        raise RefusedError(f"{path}: {name}: {error}; {OTHER_WAYS}") from None


def require(path: Path, settings: Settings, only: Mapping[str, Any]) -> None:
    """Raise RefusedError for a setting that is there with another value than the supported one."""
    for key, value in only.items():
        if settings.get(key, value) != value:
            raise RefusedError(
                f"{path}: {key} = {json.dumps(settings[key])[:100]}: only {json.dumps(value)} is "
                f"supported; {OTHER_WAYS}"
            )


def _one_of(key: str, value: object, supported: Mapping[str, Any]) -> Any:
    if not isinstance(value, str) or value not in supported:
        raise ValueError(f"{key} = {json.dumps(value)[:100]}: supported are {', '.join(supported)}")
    return supported[value]


_SCHEDULES = {"linear": "linear", "squaredcos_cap_v2": "cosine"}
_ENDS = {"beta_start": 0.0001, "beta_end": 0.02}
_PREDICTIONS = {"epsilon": None, "v_prediction": "v_prediction", "sample": "sample"}
_PLAIN = {
    "thresholding": False,
    "rescale_betas_zero_snr": False,
    "trained_betas": None,
    "clip_sample_range": 1.0,
}
_PLAIN_SOLVER = {
    **_PLAIN,
    **dict.fromkeys(("use_exponential_sigmas", "use_beta_sigmas"), False),
    "interpolation_type": "linear",
    "timestep_type": "discrete",
    "final_sigmas_type": "zero",
}
_PLAIN_DPM_SOLVER = {
    **_PLAIN_SOLVER,
    **dict.fromkeys(("use_lu_lambdas", "use_flow_sigmas", "use_dynamic_shifting"), False),
    "variance_type": None,
    "lambda_min_clipped": -math.inf,
    "algorithm_type": "dpmsolver++",
    "solver_type": "midpoint",
}
_VARIANCES = {
    "fixed_small": "fixed_small",
    # The same variance, whose root diffusers takes by the logarithm.
    "fixed_small_log": "fixed_small",
    "fixed_large": "fixed_large",
}


def _trained(settings: Settings) -> int:
    trained = settings.get("num_train_timesteps", 1000)
    if type(trained) is not int or not 1 <= trained <= 100_000:
        raise ValueError(f"num_train_timesteps = {trained}: must be from 1 to 100,000")
    return trained


def _steps(chosen: int | None, usual: int, most: int) -> int:
    steps = min(usual, most) if chosen is None else chosen
    if not 1 <= steps <= most:
        raise ValueError(f"{steps} steps: must be from 1 to {most}")
    return steps


def _timesteps(settings: Settings, usual: str, steps: int, trained: int) -> list[float]:
    """Return the timesteps of DDPM, DDIM, Euler and Heun, falling; "linspace" is not rounded."""
    spacing = settings.get("timestep_spacing", usual)
    if spacing == "leading":
        offset = settings.get("steps_offset", 0)
        return [float(step * (trained // steps) + offset) for step in reversed(range(steps))]
    if spacing == "trailing":
        return [round(trained - step * trained / steps) - 1.0 for step in range(steps)]
    if spacing != "linspace":
        raise ValueError(f"timestep_spacing = {spacing}: unknown")
    return [(trained - 1) * step / max(steps - 1, 1) for step in reversed(range(steps))]


def _ancestral(path: Path, settings: Settings, chosen: int | None) -> Settings:
    """Return the steps of DDPM or of DDIM with η = 0."""
    trained, implicit = _trained(settings), settings.get("_class_name") == "DDIMScheduler"
    require(path, settings, {**_PLAIN, **({"set_alpha_to_one": True} if implicit else {})})
    steps = _steps(chosen, SOLVER_STEPS if implicit else trained, trained)
    timesteps = [round(time) for time in _timesteps(settings, "leading", steps, trained)]
    # A step of diffusers' DDIM goes down so far, wherever the next one starts.
    apart = trained // steps
    uneven = any(before - after != apart for before, after in pairwise(timesteps))
    if implicit and (uneven or timesteps[-1] >= apart):
        raise ValueError(
            f"its {steps} steps go {apart} timesteps down and do not meet; choose another number "
            "of steps by --levels"
        )
    variance = _one_of("variance_type", settings.get("variance_type", "fixed_small"), _VARIANCES)
    if not implicit and variance == "fixed_large" and timesteps[-1] > 0:
        raise ValueError("fixed_large adds noise after its last step")
    diffusion = DiffusionConfig(
        **_betas(settings),
        variance=variance,
        clip_sample=settings.get("clip_sample", True),
        prediction_type=_one_of(
            "prediction_type", settings.get("prediction_type", "epsilon"), _PREDICTIONS
        ),
        sampler="ddim" if implicit else "ddpm",
        single_precision=True,
    )
    fields: dict[str, Any] = {"kind": "ddpm", "levels": trained, "diffusion": diffusion}
    if len(timesteps) < trained:
        fields["sampling"] = SamplingConfig(levels=tuple(time + 1 for time in timesteps))
    return fields


def _betas(settings: Settings) -> dict[str, Any]:
    """Return the fields of a `DiffusionConfig` for the schedule of a scheduler."""
    schedule = _one_of("beta_schedule", settings.get("beta_schedule", "linear"), _SCHEDULES)
    ends = _ENDS if schedule == "linear" else {}
    return {"beta_schedule": schedule} | {key: settings.get(key, end) for key, end in ends.items()}


def _noise_levels(settings: Settings, trained: int) -> NDArray[np.float32]:
    """Return σ = √((1 − ᾱ) / ᾱ) of all timesteps, (T,)."""
    import numpy as np

    schedule = settings.get("beta_schedule")
    if schedule == "scaled_linear":
        first, last = (settings.get(key, end) ** 0.5 for key, end in _ENDS.items())
        alphas_bar = single_alphas_bar(single_range(first, last, trained) ** 2)
    else:
        if not isinstance(schedule, DiffusionConfig):  # of a card
            schedule = DiffusionConfig(**_betas(settings))
        alphas_bar = replace(schedule, single_precision=True).alphas_bar(trained)
    # Where ᾱ is almost 0 or 1, float64 gives other σ, and timesteps that are interpolated between.
    rounded = np.array(alphas_bar[1:], np.float32)
    levels: NDArray[np.float32] = np.sqrt((1 - rounded) / rounded)
    return levels


def _solver(path: Path, settings: Settings, chosen: int | None) -> Settings:
    """Return the steps of Euler's or Heun's scheduler, or of DPM-Solver++."""
    import numpy as np

    name, trained = settings["_class_name"], _trained(settings)
    multistep = name == "DPMSolverMultistepScheduler"
    require(path, settings, _PLAIN_DPM_SOLVER if multistep else _PLAIN_SOLVER)
    # The spacing of DPM-Solver++ has one more step than it takes.
    steps = _steps(chosen, SOLVER_STEPS, trained - 1 if multistep else trained)
    noise_levels, start, clip = _noise_levels(settings, trained), 1.0, False
    if multistep:
        order = settings.get("solver_order", 2)
        if order not in (1, 2):
            raise ValueError(f"solver_order = {order}: supported are 1 and 2")
        method: Method = "dpmpp" if order == 1 else "dpmpp2m"
        ends = noise_levels[0], noise_levels[-1]
        # Its spacing has one more step, whose timestep is dropped, unless it is "trailing".
        more = settings.get("timestep_spacing") != "trailing"
        timesteps = np.array(_timesteps(settings, "linspace", steps + more, trained)).round()
        timesteps = timesteps[:steps]
        sigmas = noise_levels[timesteps.astype(int)]
    else:
        method = "euler" if name == "EulerDiscreteScheduler" else "heun"
        timesteps = np.array(_timesteps(settings, "linspace", steps, trained), np.float32)
        sigmas = np.interp(timesteps, np.arange(trained), noise_levels)
        ends = (settings.get("sigma_min") or sigmas[-1], settings.get("sigma_max") or sigmas[0])
        clip = method == "heun" and settings.get("clip_sample", False)
    if settings.get("use_karras_sigmas"):  # eq. 5 of Karras et al. 2022
        low, high = (float(end) ** (1 / _RHO) for end in ends)
        sigmas = np.linspace(high, low, steps) ** _RHO
        timesteps = np.interp(np.log(sigmas), np.log(noise_levels), np.arange(trained))
        if multistep:
            # As diffusers does (0.42): it rounds except for this schedule, and then casts to int64.
            if settings.get("beta_schedule") != "squaredcos_cap_v2":
                timesteps = timesteps.round()
            timesteps = timesteps.astype(int)
    if not multistep:
        leads = settings.get("timestep_spacing", "linspace") == "leading"
        # `init_noise_sigma` of diffusers.
        start = math.hypot(1, sigmas[0]) if leads else float(sigmas[0])
    solver = SolverConfig(
        method=method,
        timesteps=tuple(map(float, timesteps)),
        sigmas=tuple(sigmas.astype(np.float32).tolist()),
        start_std=start,
        prediction_type=_one_of(
            "prediction_type",
            settings.get("prediction_type", "epsilon"),
            {key: key for key in _PREDICTIONS},
        ),
        clip_sample=clip,
    )
    return {"kind": "solver", "levels": steps, "solver": solver}


def _flow(path: Path, settings: Settings, chosen: int | None) -> Settings:
    """Return the steps of a flow's scheduler, whose σ is the time, with data at 0.

    As in diffusers, the first and last σ of training and the evenly spaced ones between them are
    shifted in turn, and 0 follows.
    """
    plain = ("use_dynamic_shifting", "invert_sigmas", "stochastic_sampling")
    others = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
    require(path, settings, {**dict.fromkeys((*plain, *others), False), "shift_terminal": None})
    steps, trained = _steps(chosen, FLOW_STEPS, 100_000), _trained(settings)
    shift: float = settings.get("shift", 1.0)

    def shifted(time: float) -> float:
        return shift * time / (1 + (shift - 1) * time)

    first, last = shifted(1.0), shifted(1 / trained)
    even = [first + (last - first) * step / max(steps - 1, 1) for step in range(steps)]
    times = (*map(shifted, even), 0.0)
    flow = FlowConfig(data_time=0, time_scale=float(trained), times=times)
    return {"kind": "flow", "levels": steps, "flow": flow}


_SCHEDULERS: dict[str, Callable[[Path, Settings, int | None], Settings]] = {
    **dict.fromkeys(("DDPMScheduler", "DDIMScheduler"), _ancestral),
    **dict.fromkeys(("EulerDiscreteScheduler", "HeunDiscreteScheduler"), _solver),
    "DPMSolverMultistepScheduler": _solver,
    "FlowMatchEulerDiscreteScheduler": _flow,
}
"""The supported schedulers, by the name of their class."""
