"""The blur of cold diffusion, by convolutions with Gaussian kernels, and its first colours."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationInfo

if TYPE_CHECKING:
    from torch import Tensor


@lru_cache(maxsize=4)
def axis_blurs(cold: Any, levels: int, side: int) -> Tensor:
    """Return the blur of one axis by the first k convolutions, (K + 1, side, side) float64.

    cold: the table `[cold]` of a card
    """
    import torch

    k, s, radius = torch.arange(levels).double()[:, None], cold.kernel_std, cold.kernel_size // 2
    stds = {"incremental": s * (k + 1), "constant": s + 0 * k, "exponential": torch.exp(s * k)}
    offset = torch.arange(-radius, radius + 1).double()
    kernels = torch.exp(-(offset**2) / (2 * stds.get(cold.routine, 0.35 + k / 100) ** 2))
    blurs = [torch.eye(side, dtype=torch.float64)]
    for kernel in kernels / kernels.sum(1, keepdim=True):
        rows = torch.nn.functional.pad(blurs[-1][:, None], (radius, radius), mode=cold.padding)
        blurs.append(torch.nn.functional.conv1d(rows, kernel[None, None])[:, 0])
    return torch.stack(blurs)


def colour_root(cold: Any) -> Tensor | None:
    """Return the root of the covariance of first colours, float64; None if that is none."""
    import torch

    covariance = torch.tensor(cold.start_covariance, dtype=torch.float64)
    root, failed = torch.linalg.cholesky_ex(covariance)
    return None if failed or not torch.equal(covariance, covariance.T) else root


def size_fault(cold: Any, info: ValidationInfo) -> str | None:
    """Return why a table `[cold]` does not fit the images of a card, if it does not."""
    channels, size = info.data.get("channels", 0), info.data.get("image_size", 1001)
    rows = (cold.start_mean, cold.start_covariance, *cold.start_covariance)
    if channels and any(len(row) != channels for row in rows):
        return f"start_mean and start_covariance must be of {channels} channels"
    if cold.kernel_size % 2 == 0:
        return "kernel_size must be an odd number"
    if cold.kernel_size >= 2 * size:  # padding repeats an image at most once
        return f"kernel_size must be below twice the image_size, {size}"
    return None
