"""The heat equation on an image with insulated edges, solved in the cosine basis.

Rissanen et al. 2023, §3.1: u(t) = V exp(Λt) Vᵀ u(0) with V the orthonormal DCT-II basis and
Λ_nm = −π²(n² + m²)/N², the continuous Laplacian at unit pixel distance. A blur of σ_B pixels
takes the time t = σ_B²/2.

Of an image, whose values are in [0, 1] units and unclipped, the power at the place (n, m) is its
squared coefficient c²_nm. That basis takes the image as mirrored at its edges, so that these add no
false power (Denis, Côté and Laprise 2002, Mon. Weather Rev. 130, 1812). A spectrum is the mean of
the power over channels and over the ring of all places with r − ½ ≤ √(n² + m²) < r + ½, for r = 0,
1, 2, … up to the corner. Ring r has r/2 cycles along a side of the image, or πr/N radians a pixel.
White noise of the standard deviation s has the power s² in every ring.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
@torch.inference_mode(mode=False)  # it is kept, and may be needed for gradients next
def cosine_basis(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The orthonormal DCT-II matrix (size, size): row n is the n-th cosine over the pixels."""
    position = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi * position[:, None] * (position[None, :] + 0.5) / size)
    basis *= math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.to(dtype).to(device)


def dct2(images: Tensor) -> Tensor:
    """Return the orthonormal two-dimensional DCT-II over the last two axes of (…, H, W)."""
    rows = cosine_basis(images.shape[-2], images.dtype, images.device)
    columns = cosine_basis(images.shape[-1], images.dtype, images.device)
    return rows @ images @ columns.T


def idct2(coefficients: Tensor) -> Tensor:
    """Inverse of `dct2`."""
    rows = cosine_basis(coefficients.shape[-2], coefficients.dtype, coefficients.device)
    columns = cosine_basis(coefficients.shape[-1], coefficients.dtype, coefficients.device)
    return rows.T @ coefficients @ columns


def attenuation(sigma_b: Tensor, height: int, width: int) -> Tensor:
    """Return each cosine's factor exp(Λt), float64 (N, H, W), after a blur of σ_B (N,) pixels."""
    time = sigma_b.double() ** 2 / 2
    # The eigenvalues −Λ_nm = (πn/H)² + (πm/W)² are those of the published code, not of the 5-point
    # stencil: with that Laplacian the heat equation is off by 2.4 % at a blur of 3 pixels.
    n = torch.arange(height, dtype=torch.float64) * (math.pi / height)
    m = torch.arange(width, dtype=torch.float64) * (math.pi / width)
    eigenvalues = (n[:, None] ** 2 + m[None, :] ** 2).to(sigma_b.device)
    return torch.exp(-eigenvalues * time[:, None, None])


def retained(sigma_k: float, sigma_j: float, size: int) -> Tensor:
    """Return the factor A_k / A_j, float64 (H, W), of each cosine from level j to blurrier level k.

    Blurs are in pixels of images of `size` a side, with `sigma_k` the larger.
    """
    # Squares of blurs add up. The quotient of two attenuations would be 0 / 0 where both vanish.
    between = torch.tensor([sigma_k**2 - sigma_j**2], dtype=torch.float64).sqrt()
    return attenuation(between, size, size)[0]


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


SMALLEST = 1e-8
"""Smallest denominator in `posterior`, as in the program of blurring diffusion."""


def posterior(ratio: Tensor, sigma_t: float, sigma_s: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return p, q and the standard deviation √V of the posterior of cosines (H, W) at s < t.

    Given u_t and the noise ε̂ of standard deviation σ_t in it, u_s is normal with the mean
    p u_t + q (u_t − σ_t ε̂) (Hoogeboom and Salimans 2023, eq. 21 to 23). With the ratio r of the
    factors of an image at t and s,

        V = 1 / (1 / σ_s² + 1 / (σ_t² / r² − σ_s²)), p = r V / (σ_t² − r² σ_s²), q = V / (r σ_s²)
    """
    spread = 1 / (sigma_t**2 / ratio**2 - sigma_s**2).clamp_min(SMALLEST)
    variance = (1 / max(sigma_s**2, SMALLEST) + spread).clamp_min(SMALLEST).reciprocal()
    of_state = ratio * variance / (sigma_t**2 - ratio**2 * sigma_s**2 + SMALLEST)
    return of_state, variance / ratio / max(sigma_s**2, SMALLEST), variance.sqrt()


LEAST_VARIANCE = 1e-10
"""Smallest variance of a cosine of the data; the linear estimate divides by it."""


@dataclass(frozen=True)
class Statistics:
    """Mean and variance (C, H, W) of the training images' cosine coefficients.

    `residual` (K, rings) is set if it was estimated, for the levels 1 … K. A linear estimate leaves
    a variance R_k of the sharp image unknown; `residual` is the share of it that the model leaves.
    For images in colour it is (K, rings, C, C), the covariance of the channels in units of √R_k.
    """

    mean: Tensor
    variance: Tensor
    residual: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Under the names that they have in a file of weights."""
        parts = {"mean": self.mean, "variance": self.variance, "residual": self.residual}
        return {f"statistics.{name}": part for name, part in parts.items() if part is not None}

    def centred(self) -> tuple[Tensor, Tensor]:
        """Mean and variance (C, H, W) of the cosines of the images in [-1, 1]; no variance is 0."""
        mean = 2 * self.mean
        mean[:, 0, 0] -= self.mean.shape[-1]  # the cosines of an image of ones
        return mean, 4 * self.variance.clamp_min(LEAST_VARIANCE)

    def pixel_scale(self, side: int) -> tuple[float, float]:
        """Mean and standard deviation of a pixel over all images, positions and channels.

        Of images made small: of their lowest `side` × `side` cosines alone.
        """
        mean, variance = (part[:, :side, :side] for part in (self.mean, self.variance))
        average = float(mean[:, 0, 0].mean()) / self.mean.shape[-1]
        square = float((variance + mean**2).mean()) * (side / self.mean.shape[-1]) ** 2
        return average, max(square - average**2, 1e-12) ** 0.5


@lru_cache(maxsize=16)
def ring_of(size: int) -> Tensor:
    """The ring r that each place (n, m) of a square spectrum belongs to, (size, size) int64."""
    index = torch.arange(size, dtype=torch.float64)
    return torch.hypot(index[:, None], index[None, :]).round().long()


def rings(size: int) -> int:
    """Return the number of rings for images of `size` pixels a side."""
    return int(ring_of(size).max()) + 1


def frequencies(size: int) -> list[float]:
    """Cycles along a side of the image, of each ring."""
    return [ring / 2 for ring in range(rings(size))]


def ring_means(power: Tensor) -> Tensor:
    """Means over the rings of a power (…, N, N), and over its leading axes: (rings,) float64."""
    places = ring_of(power.shape[-1]).to(power.device).flatten()
    flat = power.double().reshape(-1, places.numel()).mean(0)
    sums = flat.new_zeros(int(places.max()) + 1).index_add_(0, places, flat)
    return sums / torch.bincount(places)


def channel_factor(covariance: Tensor) -> Tensor:
    """Return the lower triangular L (C, C, H, W) with L Lᵀ = `covariance` (C, C, H, W) per cosine.

    Computed in float64. Raises torch.linalg.LinAlgError if `covariance` is not a covariance.
    """
    factor: Tensor = torch.linalg.cholesky(covariance.double().permute(2, 3, 0, 1))
    return factor.permute(2, 3, 0, 1).contiguous().to(covariance.dtype)


def spectrum(images: Tensor) -> Tensor:
    """Mean spectrum (rings,) float64, on the CPU, of images (N, C, H, H)."""
    return ring_means(dct2(images.cpu().double()).square())


def spectrum_of(statistics: Statistics) -> Tensor:
    """Mean spectrum (rings,) float64 of the images that the statistics were taken of; exact.

    E[c²] = mean² + variance for every coefficient c.
    """
    power = statistics.mean.cpu().double().square() + statistics.variance.cpu().double()
    return ring_means(power)
