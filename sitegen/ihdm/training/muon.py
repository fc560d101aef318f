"""Muon (Jordan et al. 2024), computed in what the device is quick in, equal shapes together.

`torch.optim.Muon` iterates in bfloat16, one matrix at a time. On a CPU without matrix units for
bfloat16 that costs more than the network itself; there this one iterates in float32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

ITERATIONS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315
"""The quintic of Jordan et al.: steep at 0, so that few iterations do."""
_SMALLEST_NORM = 1e-7


class Muon:
    """Moves matrices (rows, columns) by an orthogonal matrix near their averaged gradient.

    The step is `learning_rate` · 0.2 √max(rows, columns) of it, as large as one of Adam (Liu et
    al. 2025), with Nesterov's momentum and without weight decay. It saves what `torch.optim.Muon`
    does and goes on from it.
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], learning_rate: float, momentum: float
    ) -> None:
        self.matrices, self.momentum = list(matrices), momentum
        self.learning_rate = learning_rate
        self._averages = [torch.zeros_like(matrix) for matrix in self.matrices]

    @torch.no_grad()
    def step(self) -> None:
        """Move all by their gradients."""
        updates = orthogonalized([self._update(place) for place in range(len(self.matrices))])
        for matrix, update in zip(self.matrices, updates, strict=True):
            matrix.add_(update, alpha=-self.learning_rate * 0.2 * max(matrix.shape) ** 0.5)

    def _update(self, place: int) -> Tensor:
        gradient = self.matrices[place].grad
        assert gradient is not None
        average = self._averages[place].lerp_(gradient, 1 - self.momentum)
        return gradient.lerp(average, self.momentum)

    def state_dict(self) -> dict[str, Any]:
        """The averaged gradients, under the names of torch."""
        state = {place: {"momentum_buffer": each} for place, each in enumerate(self._averages)}
        return {"state": state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a saved state. Raises KeyError or ValueError if it does not fit."""
        averages = [saved["state"][place]["momentum_buffer"] for place in range(len(self.matrices))]
        for mine, other in zip(self._averages, averages, strict=True):
            if mine.shape != other.shape:
                raise ValueError(f"a gradient is {tuple(other.shape)}, not {tuple(mine.shape)}")
            mine.copy_(other)


def orthogonalized(matrices: list[Tensor]) -> list[Tensor]:
    """Of each matrix U S Vᵀ nearly U Vᵀ, by the iteration of Newton and Schulz.

    The singular values of the answer are about 0.7 to 1.2 rather than 1.
    """
    groups: dict[torch.Size, list[int]] = defaultdict(list)
    for place, matrix in enumerate(matrices):
        groups[_wide(matrix).shape].append(place)
    answers = list(matrices)
    for places in groups.values():
        moved = _iterated(torch.stack([_wide(matrices[place]) for place in places]))
        for place, answer in zip(places, moved, strict=True):
            tall = len(matrices[place]) > matrices[place].shape[1]
            answers[place] = answer.T if tall else answer
    return answers


def _wide(matrix: Tensor) -> Tensor:
    return matrix.T if len(matrix) > matrix.shape[1] else matrix


def _iterated(x: Tensor) -> Tensor:
    """The iteration on matrices (N, rows, columns) with rows ≤ columns."""
    kept = x.dtype
    x = x.to(torch.bfloat16 if x.is_cuda else torch.float32)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(_SMALLEST_NORM)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.to(kept)
