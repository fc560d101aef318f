"""Levels that a sample visits if it takes fewer steps, as the programs of DDPMs space them.

Level k is timestep k − 1. All lists fall, without the final level 0.
"""

from __future__ import annotations

import re

from sitegen.core.errors import ConfigError

Levels = tuple[int, ...]


def respaced(levels: int, spacing: str) -> Levels:
    """Return the levels of `timestep_respacing` of guided-diffusion, for K = `levels`.

    spacing: a number of steps in each of as many equal parts of the levels, as in "10,15,20" or
        "250"; or "ddim25", the stride that gives 25 steps from level 1 on

    Raises ConfigError for other texts, and for numbers of steps that the levels do not have.
    """
    if match := re.fullmatch(r"ddim(\d{1,6})", spacing):
        strides = (range(1, levels + 1, stride) for stride in range(1, levels))
        steps = next((steps for steps in strides if len(steps) == int(match[1])), None)
        if steps is None:
            raise ConfigError(f"--respacing {spacing}: no stride gives so many of {levels} levels")
        return tuple(reversed(steps))
    counts = numbers(spacing)
    size, more = divmod(levels, len(counts))
    visited, first = list[int](), 1
    for part, count in enumerate(counts):
        size_of_part = size + (part < more)
        if not 1 <= count <= size_of_part:
            raise ConfigError(f"--respacing {spacing}: {count} steps of {size_of_part} levels")
        stride = (size_of_part - 1) / max(count - 1, 1)
        position = 0.0  # a sum, whose rounding decides where a product would be halfway
        for _ in range(count):
            visited.append(first + round(position))
            position += stride
        first += size_of_part
    return tuple(reversed(visited))


def _require_steps(levels: int, steps: int) -> None:
    if not 1 <= steps <= levels:
        raise ConfigError(f"{steps} steps: must be from 1 to its {levels} levels")


def numbers(text: str) -> Levels:
    """Return whole numbers that commas separate. Raises ConfigError for other texts."""
    if not re.fullmatch(r"\d{1,6}(,\d{1,6}){0,999}", text):
        raise ConfigError(f'--respacing {text[:40]}: must be as in 250, "10,15,20" or ddim25')
    return tuple(map(int, text.split(",")))


def evenly_spaced(levels: int, steps: int) -> Levels:
    """Return `steps` levels from K = `levels` on, evenly spaced and rounded.

    Raises ConfigError for more steps than levels, as `truncated` does.
    """
    _require_steps(levels, steps)
    return tuple(round(levels - step * levels / steps) for step in range(steps))


def truncated(levels: int, steps: int) -> Levels:
    """Return `steps` levels of K = `levels`, as denoising-diffusion-pytorch spaces them."""
    import torch

    _require_steps(levels, steps)
    timesteps = torch.linspace(-1, levels - 1, steps + 1)  # in float32, which decides some of them
    return tuple(reversed([int(timestep) + 1 for timestep in timesteps[1:].tolist()]))
