"""Round the weights of a network to bytes with little change of its layers' outputs.

Rounding each weight to the nearest byte ignores that the inputs of a layer are correlated. Here
the columns of a matrix are rounded one after another, and the columns that remain make up for the
error so far: GPTQ (Frantar, Ashkboos, Hoefler and Alistarh, ICLR 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recipes.runs import Loss
from sitegen.generative.checkpoints.quantised import LARGEST

DAMPING = 0.01
"""Share of the mean square of a layer's inputs, added to each mean square for stability."""
BATCHES = 8
"""Number of batches whose inputs are seen."""
BLOCK = 128
"""Number of columns after which the rest of the matrix is corrected; one by one is slower."""


@torch.no_grad()
def round_weights(net: nn.Module, names: Collection[str], loss: Loss) -> None:
    """Round the weights of `names` to values that one byte each stores exactly.

    The inputs of the layers are those that the network has when its loss is computed.
    """
    generator = torch.Generator().manual_seed(0)

    def run() -> None:
        for step in range(BATCHES):
            loss(net, step, generator)

    layers = {name: net.get_submodule(name.removesuffix(".weight")) for name in names}
    moments = input_moments(layers.values(), run)
    for layer in layers.values():
        weight = layer.get_parameter("weight")
        weight.copy_(rounded(weight, moments[layer]))


def input_moments(layers: Iterable[nn.Module], run: Callable[[], Any]) -> dict[nn.Module, Tensor]:
    """Return the second moments (n, n), float64, of the inputs of each layer while it runs.

    An input of a convolution is a patch, in the order of a kernel's weights.
    """
    moments: dict[nn.Module, Tensor] = {}

    def add(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows = _rows(layer, inputs[0].float())
        moments[layer] = moments.get(layer, 0) + (rows.T @ rows).double()

    handles = [layer.register_forward_pre_hook(add) for layer in layers]
    run()
    for handle in handles:
        handle.remove()
    return moments


def _rows(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Return the inputs (N, n) that each output of a layer is a product with."""
    if isinstance(layer, nn.Conv2d):
        assert layer.groups == 1
        assert isinstance(layer.padding, tuple)
        patches = F.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        return patches.transpose(1, 2).flatten(0, 1)
    if isinstance(layer, nn.Conv1d):
        assert layer.kernel_size == (1,)
        return inputs.transpose(1, 2).flatten(0, 1)
    return inputs.flatten(0, -2)


def rounded(weight: Tensor, moments: Tensor) -> Tensor:
    """Return weights (rows, …) near `weight` that `quantised` stores exactly.

    `moments` (n, n) are those of the inputs of a row of n weights. The scale of a row stays as it
    is, and so its largest weight stays the largest.
    """
    order = moments.diagonal().argsort(descending=True)
    rows = weight.flatten(1).double()[:, order]
    largest = rows.abs().argmax(1)
    scale = (rows.abs().amax(1).float() / LARGEST).double()
    step = torch.where(scale > 0, scale, 1)
    moments = moments[order][:, order]
    damping = DAMPING * float(moments.diagonal().mean()) or 1.0
    inverse = torch.linalg.inv(moments + damping * torch.eye(len(order), dtype=torch.float64))
    upper = torch.linalg.cholesky(inverse, upper=True)
    remaining, numbers = rows.clone(), torch.zeros_like(rows)
    for start in range(0, len(order), BLOCK):
        block = slice(start, start + BLOCK)
        errors = torch.zeros_like(remaining[:, block])
        for index, column in enumerate(range(len(order))[block]):
            ends = LARGEST * rows[:, column].sign()
            nearest = (remaining[:, column] / step).round().clamp(-LARGEST, LARGEST)
            numbers[:, column] = torch.where(largest == column, ends, nearest)
            error = (remaining[:, column] - numbers[:, column] * step) / upper[column, column]
            remaining[:, block] -= error[:, None] * upper[column, block]
            errors[:, index] = error
        remaining[:, start + BLOCK :] -= errors @ upper[block, start + BLOCK :]
    result = torch.empty_like(rows)
    result[:, order] = numbers * scale[:, None]
    return result.view_as(weight).float()
