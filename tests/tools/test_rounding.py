"""Weights are rounded to bytes so that the outputs of their layers change little."""

import numpy as np
import torch
from torch import Tensor, nn

from recipes.rounding import input_moments, round_weights, rounded
from sitegen.generative.checkpoints.quantised import quantised


def correlated(count: int, size: int) -> Tensor:
    """Return rows of numbers that follow few causes, as those of a network's layers do."""
    generator = torch.Generator().manual_seed(1)
    causes = torch.randn(count, size // 4, generator=generator)
    ways = torch.randn(size // 4, size, generator=generator)
    return causes @ ways + 0.1 * torch.randn(count, size, generator=generator)


def to_nearest(weight: Tensor) -> Tensor:
    """Return the weights, each rounded to the nearest byte."""
    numbers, scale = quantised(weight.numpy())
    return torch.from_numpy(numbers * scale[:, None])


def test_outputs_change_less_than_by_nearest_bytes() -> None:
    """On other inputs of the same kind the error is 0.4 at most; the bytes are kept exactly."""
    torch.manual_seed(1)
    rows, weight = correlated(4096, 300), torch.randn(7, 300)
    seen, others = rows[:2048], rows[2048:]
    found = rounded(weight, (seen.T @ seen).double())
    careful, nearest = (others @ (each - weight).T for each in (found, to_nearest(weight)))
    assert float(careful.std()) < 0.4 * float(nearest.std())
    numbers, scale = quantised(found.numpy())
    np.testing.assert_allclose(scale, np.abs(weight.numpy()).max(1) / 127, rtol=1e-6)
    np.testing.assert_allclose(numbers * scale[:, None], found.numpy(), rtol=1e-5, atol=1e-7)


def test_silent_inputs_and_rows() -> None:
    """Inputs that are always 0 leave the nearest bytes; a row of zeros stays so."""
    weight = torch.randn(5, 12)
    weight[2] = 0
    found = rounded(weight, torch.zeros(12, 12, dtype=torch.float64))
    torch.testing.assert_close(found, to_nearest(weight), rtol=1e-5, atol=1e-7)
    assert not found[2].any()


@torch.no_grad()
def test_inputs_of_each_layer() -> None:
    """The moments give the sum of the squares of a layer's outputs, for each kind of layer."""
    torch.manual_seed(2)
    layers = (
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(4, 4, 1, bias=False),
        nn.Flatten(2),
        nn.Conv1d(4, 6, 1, bias=False),
        nn.Linear(16, 5, bias=False),
    )
    outputs = dict[nn.Module, Tensor]()
    for layer in layers:
        layer.register_forward_hook(lambda layer, _, given: outputs.update({layer: given}))
    net = nn.Sequential(*layers)
    weighted = [layer for layer in layers if not isinstance(layer, nn.Flatten)]
    moments = input_moments(weighted, lambda: net(torch.randn(8, 3, 8, 8)))
    for layer in weighted:
        rows = layer.get_parameter("weight").flatten(1).double()
        found = torch.einsum("oi,ij,oj->", rows, moments[layer], rows)
        torch.testing.assert_close(found, outputs[layer].double().square().sum(), rtol=1e-4, atol=0)


@torch.no_grad()
def test_a_network_is_rounded() -> None:
    """Its outputs change less than with nearest bytes, and other weights stay as they are."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3)
    )
    inputs = correlated(4096, 40)
    wanted, before = net(inputs), {name: value.clone() for name, value in net.state_dict().items()}
    names = ["0.weight", "2.weight"]
    near = {name: to_nearest(before[name]) if name in names else before[name] for name in before}
    nearest = torch.func.functional_call(net, near, inputs)
    round_weights(net, names, lambda net, step, _: net(inputs[256 * step :][:256]))
    assert float((net(inputs) - wanted).std()) < 0.6 * float((nearest - wanted).std())
    changed = {name for name, value in net.state_dict().items() if not value.equal(before[name])}
    assert changed == set(names)
