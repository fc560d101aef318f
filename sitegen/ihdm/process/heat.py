"""The heat equation on an image with insulated edges, solved in the cosine basis.

Rissanen et al. 2023, §3.1: u(t) = V exp(Λt) Vᵀ u(0) with V the orthonormal DCT-II basis and
Λ_nm = −π²(n² + m²)/N², the continuous Laplacian at unit pixel distance. A blur of σ_B pixels
takes the time t = σ_B²/2.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=32)
def _basis_float64(size: int) -> Tensor:
    position = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi * position[:, None] * (position[None, :] + 0.5) / size)
    basis *= math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


@lru_cache(maxsize=64)
def cosine_basis(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The orthonormal DCT-II matrix (size, size): row n is the n-th cosine over the pixels."""
    return _basis_float64(size).to(device=device, dtype=dtype)


def dct2(images: Tensor) -> Tensor:
    """Orthonormal two-dimensional DCT-II over the last two axes of (…, H, W)."""
    rows = cosine_basis(images.shape[-2], images.dtype, images.device)
    columns = cosine_basis(images.shape[-1], images.dtype, images.device)
    return rows @ images @ columns.T


def idct2(coefficients: Tensor) -> Tensor:
    """Inverse of `dct2`."""
    rows = cosine_basis(coefficients.shape[-2], coefficients.dtype, coefficients.device)
    columns = cosine_basis(coefficients.shape[-1], coefficients.dtype, coefficients.device)
    return rows.T @ coefficients @ columns


def laplacian_eigenvalues(height: int, width: int) -> Tensor:
    """−Λ_nm = (πn/H)² + (πm/W)², float64 (H, W), in 1/pixel²: how fast each cosine decays."""
    n = torch.arange(height, dtype=torch.float64) * (math.pi / height)
    m = torch.arange(width, dtype=torch.float64) * (math.pi / width)
    return n[:, None] ** 2 + m[None, :] ** 2


def dissipation_time(sigma_b: Tensor) -> Tensor:
    """Time t = σ_B²/2 that the heat equation takes for a blur of σ_B pixels."""
    return sigma_b**2 / 2


def attenuation(sigma_b: Tensor, height: int, width: int) -> Tensor:
    """What is left, exp(Λt), float64 (N, H, W), of each cosine after a blur of σ_B (N,) pixels."""
    time = dissipation_time(sigma_b.to(torch.float64))
    eigenvalues = laplacian_eigenvalues(height, width).to(sigma_b.device)
    return torch.exp(-eigenvalues * time[:, None, None])


def dissipate(images: Tensor, sigma_b: float | Tensor) -> Tensor:
    """Run the heat equation over `images` (N, C, H, W) up to a blur of `sigma_b` pixels.

    `sigma_b` is a number or a tensor (N,), at least 0; 0 gives the images back. Values keep their
    range and type; each channel keeps its mean.
    """
    scales = torch.as_tensor(sigma_b, dtype=torch.float64, device=images.device).reshape(-1)
    if bool((scales < 0).any()) or not bool(torch.isfinite(scales).all()):
        raise ValueError(f"sigma_b must be finite and at least 0, not {sigma_b}")
    factor = attenuation(scales, images.shape[-2], images.shape[-1])
    # In float32 the sums over a row of 256 pixels would cost more than 1e-6.
    return idct2(factor[:, None] * dct2(images.double())).to(images.dtype)
