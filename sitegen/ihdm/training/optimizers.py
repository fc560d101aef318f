"""What takes the steps of a run: Adam, or Muon for the matrices and Adam for the rest.

Muon (Jordan et al. 2024) makes the step of a matrix orthogonal, and so moves all directions alike.
Here it gets matrices and convolution kernels with at least 16 rows and columns, a kernel as the
matrix (out, everything else), but not the first and the last convolution. Its steps are scaled to
be as large as those of Adam, so that its learning rate is of the same kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sitegen.ihdm.training.muon import Muon
from sitegen.ihdm.training.options import TrainingOptions

SMALLEST_SIDE = 16
MOMENTUM = 0.95
_ENDS = ("input_blocks.0.", "out.")


class Optimizers:
    """The optimizers of the named `parameters` of a U-Net; build it when they are in their place.

    Both follow the schedule of the options, each with its own highest rate.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], options: TrainingOptions) -> None:
        wanted = muon_names(parameters) if options.optimizer == "muon" else frozenset()
        rest = [value for name, value in parameters.items() if name not in wanted]
        self._options = options
        self._adam = torch.optim.Adam(rest, options.learning_rate, fused=True)
        self._matrices = [_Matrix.of(parameters[name]) for name in parameters if name in wanted]
        self._muon: Muon | None = None
        if self._matrices:
            flat = [matrix.flat for matrix in self._matrices]
            self._muon = Muon(flat, options.muon_learning_rate, MOMENTUM)

    def step(self, number: int) -> None:
        """Move all parameters by their gradients, at the rates of step `number`."""
        for group in self._adam.param_groups:
            group["lr"] = self._options.rate(number)
        self._adam.step()
        if self._muon is not None:
            self._muon.learning_rate = self._options.muon_rate(number)
            for matrix in self._matrices:
                matrix.take_gradient()
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
    """The names of those parameters of a U-Net that Muon gets."""
    return frozenset(
        name
        for name, value in parameters.items()
        if value.dim() >= 2
        and min(len(value), value[0].numel()) >= SMALLEST_SIDE
        and not name.startswith(_ENDS)
    )


@dataclass(frozen=True)
class _Matrix:
    """A parameter, and the matrix that shares its numbers, in the order that they lie in."""

    parameter: nn.Parameter
    flat: nn.Parameter

    @classmethod
    def of(cls, parameter: nn.Parameter) -> _Matrix:
        flat = _flattened(parameter.data, parameter)
        assert flat.data_ptr() == parameter.data_ptr()
        return cls(parameter, nn.Parameter(flat))

    def take_gradient(self) -> None:
        assert self.parameter.grad is not None
        self.flat.grad = _flattened(self.parameter.grad, self.parameter)


def _flattened(values: Tensor, like: Tensor) -> Tensor:
    """`values` as a matrix (out, rest), its columns in the order of `like`'s memory."""
    return (values if like.is_contiguous() else values.movedim(1, -1)).flatten(1)
