"""What is no picture stops the build, and is told with model, level and sample."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import RefusedError, TargetError
from sitegen.core.files import digest
from sitegen.models.registry import ModelSource
from sitegen.sampling import models
from tests.support.tinymodel import card_of, on_one_thread, write_ddpm, write_model

_thread = pytest.fixture(autouse=True)(on_one_thread)


def sample(folder: Path) -> list[torch.Tensor]:
    """The last means of five samples of a model, as a figure or `sitegen sample` makes them."""
    card = card_of(folder)
    prior = folder / "prior.safetensors" if card.prior else None
    source = ModelSource("tiny", card, folder / "weights.safetensors", prior)
    sampler = models.load_sampler(source, ComputeTarget("cpu", "float32"))
    return [step.mean for step in sampler.begin(0, range(5), None).steps if step.level == 0]


def change(folder: Path, factor: float, *bias: float) -> None:
    """Multiply the last layer of a network, and add to its bias: a number, or one a channel."""
    weights = load_file(folder / "weights.safetensors")
    head = [name for name in weights if name.startswith("out.2.")]
    for name in head:
        weights[name] = weights[name] * factor
        weights[name] += torch.tensor(bias) if bias and name.endswith("bias") else 0
    save_file(weights, folder / "weights.safetensors")
    card = card_of(folder)
    assert card.weights is not None
    pinned = replace(card.weights, sha256=digest(folder / "weights.safetensors"))
    (folder / "model.toml").write_text(replace(card, weights=pinned).to_toml())


@pytest.mark.parametrize(
    ("bias", "told"),
    [
        ((5.0,), r"sample 0 of seed 0 is 20\.\d on average,"),
        ((-5.0,), r"sample 0 .* is -19\.\d on average,"),
        ((2.0,), r"sample 0 .* is 8\.\d+ on average,"),
        ((5.0, -5.0, 0.0), r"sample 0 .* is 20\.\d on average in channel 1 of 3,"),
        ((0.0, 0.0, -50.0), r"sample 0 .* is -200 on average in channel 3 of 3,"),
        ((2.0, 0.0, 0.0), r"sample 0 .* is 8\.\d+ on average in channel 1 of 3,"),
        ((0.4,), "sample 0 .* one value, 1;"),
        ((0.4, -0.4, 0.4), "sample 0 .* one value in each channel, 1, 0, 1;"),
    ],
)
def test_what_is_no_picture_stops_the_build(
    tmp_path: Path, bias: tuple[float, ...], told: str
) -> None:
    """Far outside of [0, 1], or all white or black: told with model, level and sample."""
    folder = write_model(tmp_path / "tiny", channels=len(bias))
    change(folder, 0.0001, *bias)
    with pytest.raises(TargetError, match=rf"^tiny: .*level 0.*{told}"):
        sample(folder)


@pytest.mark.parametrize("write", [write_model, write_ddpm], ids=["ihdm", "ddpm"])
def test_weights_that_are_zero_are_refused(tmp_path: Path, write: type) -> None:
    """A network whose last layer is all zero was never trained: the model is refused."""
    folder = write(tmp_path / "tiny")
    change(folder, 0.0)
    with pytest.raises(RefusedError, match=r"^tiny: .*zero"):
        sample(folder)
