"""Optimizers of the shipped models' runs: Adam, or Muon for the matrices and Adam for the rest.

Muon (Jordan et al. 2024) orthogonalizes the step of a matrix, so that all directions move equally.
It is applied here to matrices and convolution kernels with at least 16 rows and columns, a kernel
as the matrix (out, everything else), except the first and last convolution. Its steps are scaled to
the size of Adam's, so that the learning rates are comparable.

Matrices of equal shape are processed together, in float32. `torch.optim.Muon` iterates in bfloat16,
one matrix at a time, which costs more than the network itself on a CPU without matrix units for
bfloat16.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sitegen.generative.card.parts import table
from sitegen.generative.training.options import Rate, TrainingOptions
from sitegen.models.converting import large_matrices

MOMENTUM = 0.95
ITERATIONS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315
"""Coefficients of the quintic of Jordan et al.; it is steep at 0, so few iterations suffice."""
_SMALLEST_NORM = 1e-7


@table
class RecipeOptions(TrainingOptions):
    """Options of a run of a recipe.

    optimizer: "adam", or "muon" for most matrices and Adam for the rest
    muon_learning_rate: the highest learning rate of the parameters that Muon trains
    """

    optimizer: Literal["adam", "muon"] = "adam"
    muon_learning_rate: Rate = 1e-3

    def muon_rate(self, step: int) -> float:
        """Return the learning rate of the parameters that Muon trains."""
        return self.muon_learning_rate * self.rate(step) / self.learning_rate


class Optimizers:
    """Optimizers of the named `parameters` of the networks, once these are on their device.

    Both follow the schedule of the options, each with its own highest rate.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], options: RecipeOptions) -> None:
        muon_names = large_matrices(parameters) if options.optimizer == "muon" else frozenset()
        others = [value for name, value in parameters.items() if name not in muon_names]
        self._options = options
        self._adam = torch.optim.Adam(others, options.learning_rate, fused=True)
        kernels = [value for name, value in parameters.items() if name in muon_names]
        self._muon = Muon(kernels, options.muon_learning_rate, MOMENTUM) if kernels else None

    def step(self, number: int) -> None:
        """Update all parameters from their gradients, at the rates of step `number`."""
        for group in self._adam.param_groups:
            group["lr"] = self._options.rate(number)
        self._adam.step()
        if self._muon is not None:
            self._muon.learning_rate = self._options.muon_rate(number)
            self._muon.step()

    def state(self) -> dict[str, Any]:
        """Return the state to save, in tables by optimizer."""
        muon = {} if self._muon is None else {"muon": self._muon.state_dict()}
        return {"optimizer": self._adam.state_dict(), **muon}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a saved `state`. Raises KeyError or ValueError if it does not fit."""
        self._adam.load_state_dict(state["optimizer"])
        if self._muon is not None:
            self._muon.load_state_dict(state["muon"])


def _flattened(values: Tensor, like: Tensor) -> Tensor:
    """Return `values` as a matrix (out, rest), with columns in the memory order of `like`."""
    return (values if like.is_contiguous() else values.movedim(1, -1)).flatten(1)


class Muon:
    """Muon for matrices and kernels, with Nesterov momentum and without weight decay.

    A step is the orthogonal matrix near the averaged gradient, times `learning_rate` · 0.2
    √max(rows, columns), which is as large as one of Adam (Liu et al. 2025). The saved state is that
    of `torch.optim.Muon`.
    """

    def __init__(
        self, kernels: Sequence[nn.Parameter], learning_rate: float, momentum: float
    ) -> None:
        self.kernels, self.momentum = kernels, momentum
        self.learning_rate = learning_rate
        # Views, which share the memory of the kernels.
        self._matrices = [_flattened(kernel.data, kernel) for kernel in kernels]
        pairs = zip(kernels, self._matrices, strict=True)
        assert all(kernel.data_ptr() == matrix.data_ptr() for kernel, matrix in pairs)
        self._averages = [torch.zeros_like(matrix) for matrix in self._matrices]

    @torch.no_grad()
    def step(self) -> None:
        """Update all kernels from their gradients."""
        updates = orthogonalized([*map(self._update, self.kernels, self._averages)])
        for matrix, update in zip(self._matrices, updates, strict=True):
            matrix.add_(update, alpha=-self.learning_rate * 0.2 * max(matrix.shape) ** 0.5)

    def _update(self, kernel: nn.Parameter, average: Tensor) -> Tensor:
        assert kernel.grad is not None
        gradient = _flattened(kernel.grad, kernel)
        return gradient.lerp(average.lerp_(gradient, 1 - self.momentum), self.momentum)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged gradients, under the names of torch."""
        state = {
            index: {"momentum_buffer": average} for index, average in enumerate(self._averages)
        }
        return {"state": state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Restore a saved state. Raises KeyError or ValueError if it does not fit."""
        averages = [saved["state"][index]["momentum_buffer"] for index in range(len(self.kernels))]
        for mine, other in zip(self._averages, averages, strict=True):
            if mine.shape != other.shape:
                raise ValueError(f"a gradient is {tuple(other.shape)}, not {tuple(mine.shape)}")
            mine.copy_(other)


def orthogonalized(matrices: list[Tensor]) -> list[Tensor]:
    """Return approximately U Vᵀ for each matrix U S Vᵀ, by Newton-Schulz iteration.

    The singular values of the results are about 0.7 to 1.2 instead of 1.
    """
    groups: dict[torch.Size, list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        groups[_wide(matrix).shape].append(index)
    answers = list(matrices)
    for indices in groups.values():
        results = _iterated(torch.stack([_wide(matrices[index]) for index in indices]))
        for index, answer in zip(indices, results, strict=True):
            tall = len(matrices[index]) > matrices[index].shape[1]
            answers[index] = answer.T if tall else answer
    return answers


def _wide(matrix: Tensor) -> Tensor:
    return matrix.T if len(matrix) > matrix.shape[1] else matrix


def _iterated(x: Tensor) -> Tensor:
    """Return the iteration's result for `x` (N, rows, columns), with at most as many rows.

    Each step multiplies x by a polynomial of x xᵀ. Only these products, (rows, rows), are iterated,
    so x itself is multiplied twice instead of ten times.
    """
    dtype, x = x.dtype, x.float()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(_SMALLEST_NORM)
    gram = x @ x.mT
    factor = step = _polynomial(gram)
    for _ in range(ITERATIONS - 1):
        gram = step @ gram @ step
        step = _polynomial(gram)
        factor = step @ factor
    return (factor @ x).to(dtype)


def _polynomial(gram: Tensor) -> Tensor:
    """Return _A + _B gram + _C gram² of symmetric matrices."""
    result = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
    result.diagonal(dim1=1, dim2=2).add_(_A)
    return result
