"""What takes the steps of a run: Adam, or Muon for the matrices and Adam for the rest.

Muon (Jordan et al. 2024) makes the step of a matrix orthogonal, and so moves all directions alike.
Here it gets matrices and convolution kernels with at least 16 rows and columns, a kernel as the
matrix (out, everything else), but not the first and the last convolution. Its steps are scaled to
be as large as those of Adam, so that its learning rate is of the same kind. It is computed in what
the device is quick in, equal shapes together: `torch.optim.Muon` iterates in bfloat16, one matrix
at a time, which costs more than the network itself on a CPU without matrix units for bfloat16.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sitegen.generative.training.options import TrainingOptions

SMALLEST_SIDE = 16
MOMENTUM = 0.95
_ENDS = re.compile(r"(bands\.\d+\.)?(input_blocks\.0|out|enter|leave)\.")
"""The first and the last layer of a network."""
ITERATIONS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315
"""The quintic of Jordan et al.: steep at 0, so that few iterations do."""
_SMALLEST_NORM = 1e-7


class Optimizers:
    """The optimizers of the named `parameters` of a U-Net; build it when they are in their place.

    Both follow the schedule of the options, each with its own highest rate.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], options: TrainingOptions) -> None:
        wanted = muon_names(parameters) if options.optimizer == "muon" else frozenset()
        rest = [value for name, value in parameters.items() if name not in wanted]
        self._options = options
        self._adam = torch.optim.Adam(rest, options.learning_rate, fused=True)
        # Each with the matrix that shares its numbers, in the order that they lie in.
        self._matrices = [
            (value, nn.Parameter(_flattened(value.data, value)))
            for name, value in parameters.items()
            if name in wanted
        ]
        assert all(value.data_ptr() == flat.data_ptr() for value, flat in self._matrices)
        self._muon: Muon | None = None
        if self._matrices:
            matrices = [flat for _, flat in self._matrices]
            self._muon = Muon(matrices, options.muon_learning_rate, MOMENTUM)

    def step(self, number: int) -> None:
        """Move all parameters by their gradients, at the rates of step `number`."""
        for group in self._adam.param_groups:
            group["lr"] = self._options.rate(number)
        self._adam.step()
        if self._muon is not None:
            self._muon.learning_rate = self._options.muon_rate(number)
            for value, flat in self._matrices:
                assert value.grad is not None
                flat.grad = _flattened(value.grad, value)
            self._muon.step()

    def state(self) -> dict[str, Any]:
        """What a run must save to go on, in tables by the name of each."""
        muon = {} if self._muon is None else {"muon": self._muon.state_dict()}
        return {"optimizer": self._adam.state_dict(), **muon}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved `state`. Raises KeyError or ValueError if it does not fit."""
        self._adam.load_state_dict(state["optimizer"])
        if self._muon is not None:
            self._muon.load_state_dict(state["muon"])


def muon_names(parameters: Mapping[str, Tensor]) -> frozenset[str]:
    """The names of those parameters of networks that Muon gets."""
    return frozenset(
        name
        for name, value in parameters.items()
        if value.dim() >= 2
        and min(len(value), value[0].numel()) >= SMALLEST_SIDE
        and not _ENDS.match(name)
    )


def _flattened(values: Tensor, like: Tensor) -> Tensor:
    """`values` as a matrix (out, rest), its columns in the order of `like`'s memory."""
    return (values if like.is_contiguous() else values.movedim(1, -1)).flatten(1)


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
