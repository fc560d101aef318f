"""Models of denoising-diffusion-pytorch: network, schedule and objective, read from a file.

Shapes determine the network. The program also saves the tables of its diffusion, from which the
schedule follows, and the weights of its loss, which differ by what the network predicts: with a
signal-to-noise ratio s they are 1 for noise, s for images and s / (s + 1) for v. Where s > 1 they
may be clipped (`min_snr_loss_weight`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import isclose
from typing import TYPE_CHECKING

from sitegen.generative.card.limits import MOST_LEVELS
from sitegen.generative.card.networks import LucidrainsUNet
from sitegen.generative.card.tables import DiffusionConfig, Prediction

if TYPE_CHECKING:
    from torch import Tensor

PROGRAM = "denoising-diffusion-pytorch"
OBJECTIVES: dict[str, Prediction | None] = {
    "pred_noise": None,
    "pred_x0": "sample",
    "pred_v": "v_prediction",
}
"""Predictions of a network, by the program's name, and the `prediction_type` of a card."""
SCHEDULES = ("linear", "cosine", "sigmoid")
"""Noise schedules that have a name, in the program and in a card."""
_NETWORK = {"init_conv.weight", "time_mlp.1.weight", "final_conv.weight"}
_TABLES = ("sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod")


def is_lucidrains(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether tensors have the names of this network, or one that is related to it."""
    return shapes.keys() >= _NETWORK


def network_of(shapes: Mapping[str, tuple[int, ...]]) -> LucidrainsUNet:
    """Return the network of these weights. Raises ValueError with why one is not supported."""
    try:
        inputs, outputs = shapes["init_conv.weight"][1], shapes["final_conv.weight"][0]
        dim = shapes["time_mlp.1.weight"][0] // 4
        stages = range(len({name.split(".")[1] for name in shapes if name.startswith("downs.")}))
        full = [f"downs.{stage}.2.to_out.weight" in shapes for stage in stages]
        # Of full attention (2, heads, memory, width), of linear (2, heads, width, memory).
        memory = [shapes[f"downs.{stage}.2.mem_kv"] for stage in stages]
        widths = [shapes[f"ups.{stage}.0.block1.proj.weight"][0] for stage in reversed(stages)]
        frequencies = shapes.get("time_mlp.0.weights")
        network = LucidrainsUNet.of(
            {
                "dim": dim,
                "init_dim": shapes["init_conv.weight"][0],
                "dim_mults": tuple(width // dim for width in widths),
                "channels": outputs,
                "full_attn": tuple(full),
                "attn_heads": tuple(heads for _, heads, _, _ in memory),
                "attn_dim_head": tuple(shape[2 + full[at]] for at, shape in enumerate(memory)),
                "num_mem_kv": memory[0][3 - full[0]],
                "learned_sinusoidal_dim": 2 * frequencies[0] if frequencies else None,
                "resnet_block_groups": 8 if "mid_block1.block1.norm.weight" in shapes else None,
            }
        )
    except (LookupError, ValueError, ArithmeticError):
        raise ValueError(
            f"a network of {PROGRAM} before its version 1.9 (October 2023), or a changed one"
        ) from None
    if inputs == 2 * outputs:
        raise ValueError("self_condition: each step also depends on the image before")
    if outputs != inputs:
        learned = " (a learned variance)" if outputs == 2 * inputs else ""
        raise ValueError(f"{outputs} channels of its output for {inputs} of its images{learned}")
    return network


def diffusion_of(tables: Mapping[str, Tensor]) -> tuple[DiffusionConfig, str | None]:
    """Return the noise process in the saved tables, and its objective if they show it.

    Raises ValueError or ConfigError for tables that are not those of `GaussianDiffusion`.
    """
    import torch

    parts = [tables[name] for name in (*_TABLES, "betas") if name in tables]
    if len(parts) < 3 or parts[0].dim() != 1 or len({part.shape for part in parts}) > 1:
        raise ValueError("a diffusion without the betas of GaussianDiffusion")
    if not 1 <= len(parts[0]) <= MOST_LEVELS:
        raise ValueError(f"{len(parts[0])} levels, where there may be 1 to {MOST_LEVELS:,}")
    image, noise = (part.double().square() for part in parts[:2])
    # Each is rounded to float32, which is precise for the smaller one only.
    alphas_bar = torch.where(image < noise, image, 1 - noise)
    count, kept = len(alphas_bar), alphas_bar.tolist()
    close = partial(isclose, rel_tol=1e-5)
    for name in SCHEDULES:
        schedule = DiffusionConfig.of(name, count, rederive_noise=True)
        pairs = zip(schedule.alphas_bar(count)[1:], kept, strict=True)
        if all(close(a, b) and close(1 - a, 1 - b) for a, b in pairs):
            break
    else:
        listed = {"rederive_noise": True, "alphas_cumprod": tuple(kept)}
        schedule = DiffusionConfig.of("listed", count, **listed)
    ratio, weights = alphas_bar / (1 - alphas_bar), tables.get("loss_weight")
    low = ratio < 1
    if weights is None or weights.shape != ratio.shape or not bool(low.any()):
        return schedule, None
    shares = torch.ones_like(ratio), ratio, ratio / (ratio + 1)
    fits = [
        name
        for name, expected in zip(OBJECTIVES, shares, strict=True)
        if torch.allclose(weights.double()[low], expected[low], rtol=1e-3, atol=1e-6)
    ]
    return schedule, fits[0] if len(fits) == 1 else None
