"""Our own weights files: safetensors, written reproducibly."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sitegen.core.errors import RefusedError
from sitegen.core.files import canonical_json, digest_bytes, write_atomic
from sitegen.generative.card.card import ModelCard, plain
from sitegen.generative.checkpoints.quantised import SCALE, quantised

if TYPE_CHECKING:
    import torch
    from torch import Tensor

STATISTICS = ("statistics.mean", "statistics.variance")
"""Names of the data's statistics, of preconditioned and guided models; always float32."""
RESIDUAL = "statistics.residual"
"""Name of the optional residual variance of a preconditioned model, also stored as float32."""
BANDS = "bands."
"""Prefix of the names of a cascade's networks, followed by the number of the band and a dot."""
MEANING = (
    *(("unet", "norm_groups"), ("unet", "patch_size"), ("diffusion", "prediction_type")),
    *(("flow", "data_time"), ("flow", "time_scale"), ("edm", "sigma_data"), ("edm", "time_scale")),
    *(("sde", "family"), ("sde", "centered"), ("blurring", "time_scale")),
)
"""Keys of a card that decide the meaning of weights but not their shapes; copied to file notes."""
NOISED = "kind"
"""File note with the kind of a model that has statistics and starts from noise."""
CASCADE = "bands"
"""File note with the bands of its networks, as canonical JSON."""


def is_of_unet(name: str) -> bool:
    """Return whether a tensor belongs to a single U-Net."""
    return name not in (*STATISTICS, RESIDUAL) and not name.startswith(BANDS)


def scales_of(path: Path, weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the byte weights in a safetensors file, with the names of their scales.

    Raises RefusedError if the scales do not fit.
    """
    scales = {}
    for name, tensor in weights.items():
        scale = weights.get(name + SCALE)
        if type_name(tensor) != "int8" or scale is None:
            continue
        if type_name(scale) != "float32" or not tensor.dim() or scale.shape != tensor.shape[:1]:
            raise RefusedError(f"{path}: {name + SCALE} is not a float32 for each row of {name}")
        scales[name] = name + SCALE
    return scales


def type_name(tensor: Tensor) -> str:
    """Return the name of a tensor's number type, such as "float16"."""
    return str(tensor.dtype).removeprefix("torch.")


def save_weights(
    path: Path,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype,
    card: ModelCard | None = None,
    small: Collection[str] = (),
) -> str:
    """Write `tensors` by name, the statistics as float32 and the rest as `dtype`, a float type.

    Those named in `small` are stored as bytes (`quantised.py`). For a card with several networks,
    the bands of levels are stored too. The same tensors give the same bytes. Returns the SHA-256 of
    the file. Raises RefusedError for a number that is not finite, or too large for `dtype`.
    """
    import torch
    from safetensors.torch import save

    stored = {}
    for name, tensor in tensors.items():
        kind = torch.float32 if name in (*STATISTICS, RESIDUAL) else dtype
        # A copy, since safetensors refuses tensors that share memory.
        stored[name] = tensor.detach().to("cpu", kind, copy=True).contiguous()
        if not bool(torch.isfinite(stored[name]).all()):
            raise RefusedError(f"{path}: {name} holds numbers that {dtype} cannot hold")
    for name in small:
        numbers, scale = quantised(tensors[name].detach().cpu().float().numpy())
        stored |= {name: torch.from_numpy(numbers), name + SCALE: torch.from_numpy(scale)}
    data = save(stored, notes(card) or None if card else None)
    write_atomic(path, data)
    return digest_bytes(data)


def notes(card: ModelCard) -> dict[str, str]:
    """Return the file notes for a card: its settings that decide the meaning of the weights."""
    if card.bands:
        return {CASCADE: canonical_json(plain(card.bands))}
    noised = {NOISED: card.kind} if card.has_statistics and "blur" not in card.abilities else {}
    values = {key: getattr(getattr(card, key[0], None), key[1], None) for key in MEANING}
    solver: Any = getattr(card, "solver", None)
    if solver is not None and solver.prediction_type != "epsilon":  # the network is a DDPM's
        values["diffusion", "prediction_type"] = solver.prediction_type
    return noised | {".".join(key): str(v) for key, v in values.items() if v is not None}


def prefixes(card: ModelCard) -> tuple[str, ...]:
    """Return the prefix of the tensors' names for each of the card's networks."""
    return tuple(f"{BANDS}{number}." for number in range(len(card.bands))) or ("",)
