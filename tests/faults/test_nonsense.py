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
    load = models.load_ddpm_sampler if card.kind == "ddpm" else models.load_heat_sampler
    sampler = load(source, ComputeTarget("cpu", "float32"))
    return [step.mean for step in sampler.begin(0, range(5), None).steps if step.level == 0]


def change(folder: Path, factor: float, bias: float = 0.0) -> None:
    """Multiply the last layer of a network, and add to its bias."""
    weights = load_file(folder / "weights.safetensors")
    head = [name for name in weights if name.startswith("out.2.")]
    for name in head:
        weights[name] = weights[name] * factor + (bias if name.endswith("bias") else 0)
    save_file(weights, folder / "weights.safetensors")
    card = card_of(folder)
    assert card.weights is not None
    pinned = replace(card.weights, sha256=digest(folder / "weights.safetensors"))
    (folder / "model.toml").write_text(replace(card, weights=pinned).to_toml())


def test_ordinary_samples_pass(tmp_path: Path) -> None:
    """A model whose pictures have something to show is sampled to the end."""
    folder = write_model(tmp_path / "tiny")
    change(folder, 0.01)
    assert len(sample(folder)) == 1


@pytest.mark.fault(17)
@pytest.mark.parametrize("bias", [5.0, -5.0, 2.0])
def test_states_far_from_images_stop_the_build(tmp_path: Path, bias: float) -> None:
    """Pictures that end far outside of [0, 1] are told with model, level and sample."""
    folder = write_model(tmp_path / "tiny")
    change(folder, 0.0001, bias)
    with pytest.raises(TargetError, match=r"^tiny: .*level 0.*sample 0 "):
        sample(folder)


@pytest.mark.fault(17)
def test_pictures_of_one_value_stop_the_build(tmp_path: Path) -> None:
    """Pictures that are all white or all black are told with model, level and sample."""
    folder = write_model(tmp_path / "tiny")
    change(folder, 0.0001, 0.4)
    with pytest.raises(TargetError, match=r"^tiny: .*level 0.*sample 0 .*one value"):
        sample(folder)


@pytest.mark.fault(17)
@pytest.mark.parametrize("write", [write_model, write_ddpm], ids=["ihdm", "ddpm"])
def test_weights_that_are_zero_are_refused(tmp_path: Path, write: type) -> None:
    """A network whose last layer is all zero was never trained: the model is refused."""
    folder = write(tmp_path / "tiny")
    change(folder, 0.0)
    with pytest.raises(RefusedError, match=r"^tiny: .*zero"):
        sample(folder)
