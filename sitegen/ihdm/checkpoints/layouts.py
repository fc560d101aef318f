"""What a `.pth` or `.pt` file means: which of its tensors are the weights, and what else it tells.

Three layouts are known. "published": `model`, `ema` and `step` of the paper's own code. "state
dict": nothing but named tensors, as improved-diffusion and guided-diffusion save them. "spectral":
`ema_state_dict`, `schedule` and `step` of IHDM-spectral.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sitegen.core.errors import RefusedError
from sitegen.ihdm.checkpoints.pickles import StoredTensor

Layout = Literal["published", "state dict", "spectral"]
HEAD = ("out.2.weight", "out.2.bias")
"""The last convolution. Where it has twice the channels, the others are of a learned variance."""


@dataclass(frozen=True)
class Averages:
    """The running average of the weights, an unnamed list in the order of the parameters."""

    tensors: tuple[StoredTensor, ...]
    decay: float | None
    updates: int | None


@dataclass(frozen=True)
class Published:
    """What a checkpoint holds: the weights by name (without `module.`), and their averages.

    Only of the layout "published" the averages stand apart; of "spectral" they are the weights, and
    `schedule` has its blur scales, as numbers or as a tensor.
    """

    weights: Mapping[str, StoredTensor]
    averages: Averages | None
    step: int | None
    layout: Layout
    schedule: tuple[float, ...] | StoredTensor | None = None


def contents(path: Path, value: object) -> Published:
    """What the pickle of a checkpoint means. Raises RefusedError for what is none of ours."""
    if not isinstance(value, dict):
        why = f"it holds a {type(value).__name__}, not a dict"
        raise RefusedError(f"{path}: damaged or not a checkpoint: {why}")
    if value and all(isinstance(item, StoredTensor) for item in value.values()):
        return Published(_named(path, value), None, None, "state dict")
    if "ema_state_dict" in value and "schedule" in value:
        return _spectral(path, value)
    if {"state", "param_groups"} <= value.keys():
        raise RefusedError(
            f"{path}: the state of an optimizer, not a model; give the model*.pt or, better, the "
            "ema_*.pt beside it"
        )
    return _published(path, value)


def _published(path: Path, value: dict[Any, Any]) -> Published:
    weights = value.get("model")
    if not isinstance(weights, dict) or not weights:
        names = ", ".join(str(key)[:40] for key in list(value)[:8])
        why = f"it holds {names or 'nothing'}; a published checkpoint has model and ema"
        raise RefusedError(f"{path}: not a checkpoint of this kind: {why}")
    averages = _averages(path, value.get("ema"))
    return Published(_named(path, weights), averages, _step(value), "published")


def _spectral(path: Path, value: dict[Any, Any]) -> Published:
    weights, schedule = value["ema_state_dict"], value["schedule"]
    values = schedule.get("values") if isinstance(schedule, dict) else None
    if isinstance(values, list | tuple) and all(type(v) in (int, float) for v in values):
        values = tuple(map(float, values))
    elif not isinstance(values, StoredTensor) or len(values.shape) != 1:
        raise RefusedError(f"{path}: its schedule has no list of values, as IHDM-spectral saves")
    if not isinstance(weights, dict) or not weights:
        raise RefusedError(f"{path}: its ema_state_dict holds no weights")
    return Published(_named(path, weights), None, _step(value), "spectral", values)


def _step(value: Mapping[Any, Any]) -> int | None:
    step = value.get("step")
    return step if isinstance(step, int) else None


def _named(path: Path, weights: Mapping[Any, Any]) -> dict[str, StoredTensor]:
    """The state dict, without the prefix that DataParallel puts before every name."""
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise RefusedError(
                f"{path}: {str(name)[:100]} in its model is not a tensor with a name"
            )
    prefix = "module." if all(name.startswith("module.") for name in weights) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


def _averages(path: Path, ema: object) -> Averages | None:
    if ema is None:
        return None
    tensors = ema.get("shadow_params") if isinstance(ema, dict) else None
    if not isinstance(ema, dict) or not isinstance(tensors, list | tuple):
        raise RefusedError(f"{path}: its ema has no list shadow_params, as published ones have")
    if not all(isinstance(tensor, StoredTensor) for tensor in tensors):
        raise RefusedError(f"{path}: its ema.shadow_params holds what is not a tensor")
    decay, updates = ema.get("decay"), ema.get("num_updates")
    return Averages(
        tuple(tensors),
        float(decay) if isinstance(decay, int | float) else None,
        updates if isinstance(updates, int) else None,
    )


def has_learned_variance(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a U-Net with weights of these shapes answers with two numbers for each of a pixel."""
    first, last = (shapes.get(name, ()) for name in ("input_blocks.0.0.weight", HEAD[0]))
    return len(first) == 4 and len(last) == 4 and last[0] == 2 * first[1]
