"""A GPU of Apple, which has no float64: a stand-in that refuses it trains and samples."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sitegen.core.errors import PlatformError
from sitegen.generative.maths import heat
from sitegen.generative.maths.noise import independent
from sitegen.generative.process.model import Model, require_device
from sitegen.generative.process.protocol import reverse_process
from sitegen.generative.training.loss import loss_per_image
from sitegen.generative.training.residual import residual_shares
from tests.support.lessons import cascade, images
from tests.support.making import random_unet, small_card


class NoFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses all tensors in float64 on the device "meta", as MPS does.

    On the CPU, which has some of its own, those with several numbers and more than two axes.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute, and look at the results."""
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else [made]:
            wide = isinstance(each, Tensor) and each.dtype == torch.float64
            if wide and (each.device.type == "meta" or each.dim() > 2):
                raise TypeError(f"{func}: MPS has no float64")
        return made


@pytest.mark.parametrize("parameterization", ["preconditioned", "difference"])
def test_without_float64(parameterization: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """States, losses and samples need no float64 on such a device, and are those of the CPU."""
    known = parameterization == "preconditioned"
    channels = 1 if known else 3  # covariances of channels are factored on the CPU
    pictures, card = images(channels=channels)[:4], small_card(channels=channels)
    model = cascade() if known else Model(card, [random_unet(card)])
    card = model.card
    if known:
        shares = residual_shares(model.eval(), images().numpy(), count=2)
        model.register_buffer("statistics_residual", shares, persistent=False)
    levels, noise = torch.tensor([1, 3, 5, 8]), torch.randn((4, *card.shape))
    start = heat.dissipate(pictures.float() / 255, card.schedule[card.levels])

    def results() -> tuple[Tensor, Tensor]:
        losses = loss_per_image(model, pictures.float() / 255, levels, noise)
        steps = reverse_process(model, start, independent(0, range(4), card.shape))
        return losses, [step.mean for step in steps][-1]

    wanted = results()
    with pytest.raises(TypeError, match="MPS has no float64"), NoFloat64():  # type: ignore[no-untyped-call]
        results()
    monkeypatch.setattr(heat, "WITHOUT_FLOAT64", {"cpu"})
    model.to("cpu")
    with NoFloat64(), torch.no_grad():  # type: ignore[no-untyped-call]
        found = results()
    for here, there in zip(found, wanted, strict=True):
        assert torch.allclose(here, there, rtol=1e-3, atol=1e-4)


def test_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--device mps` elsewhere than on a Mac is refused with what to do, and accepted there."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(PlatformError, match="no GPU of Apple here; use --device cpu"):
        require_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    require_device("mps")
