"""Files of k-diffusion: safetensors whose metadata has the configuration.

The expected samples are recorded (`tests/reference/README.md`): its own samplers drew them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from sitegen.cli.main import cli
from sitegen.core.errors import ConfigError, RefusedError
from sitegen.generative.card.card import ModelCard, read_card
from sitegen.generative.card.networks import KDiffusionConfig
from sitegen.generative.checkpoints.foreign import foreign_model
from sitegen.generative.checkpoints.inspection import inspect_checkpoint
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.networks.kdiffusion_unet import ImageUnet
from sitegen.generative.process.base import to_pixels
from sitegen.generative.process.protocol import process_of, run
from sitegen.models.new_card import sampler_note
from tests.unit.generative.checkpoints.test_flows import waves

KERNEL = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
NETWORKS: dict[str, dict[str, Any]] = {
    "colour": {
        "input_channels": 3,
        "mapping_out": 16,
        "depths": [1, 2],
        "channels": [32, 128],
        "self_attn_depths": [False, True],
    },
    "patches": {
        "input_channels": 1,
        "mapping_out": 8,
        "depths": [2, 1],
        "channels": [16, 32],
        "self_attn_depths": [True, True],
        "patch_size": 2,
    },
}
SAMPLING: dict[str, dict[str, Any]] = {
    "colour": {"sigma_data": 0.5, "sigma_min": 0.01, "sigma_max": 80, "has_variance": True},
    "patches": {"sigma_min": 0.02, "sigma_max": 40, "augment_wrapper": False},
}


def written(folder: Path, name: str, **changes: Any) -> Path:
    """Write a file as `convert_for_inference.py` does, in half precision."""
    config = {"type": "image_v1", "input_size": [16, 16], **NETWORKS[name], **SAMPLING[name]}
    shapes = {
        key: tuple(value.shape)
        for key, value in ImageUnet(KDiffusionConfig(**NETWORKS[name])).state_dict().items()
    }
    if config.get("has_variance"):
        for key in ("proj_out.weight", "proj_out.bias"):
            shapes[key] = (shapes[key][0] + 1, *shapes[key][1:])
    if config.get("augment_wrapper", True):
        shapes["mapping_cond.weight"] = (config["mapping_out"], 9)
        shapes = {f"inner_model.{key}": shape for key, shape in shapes.items()}
    weights = {}
    for at, (key, shape) in enumerate(sorted(shapes.items())):
        values = 0.3 * waves(shape, at)
        if key.endswith("kernel"):
            values = torch.outer(KERNEL, KERNEL) * (4 if "u_blocks" in key else 1)
        weights[key] = values.half()
    path = folder / "model.safetensors"
    save_file(weights, path, {"config": json.dumps({"model": {**config, **changes}})})
    return path


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("sampler", ["heun", "euler"])
def test_samples(name: str, sampler: str, tmp_path: Path, reference: Path) -> None:
    """The samples are those of the program's own sampler, by what the file says alone."""
    path = written(tmp_path, name)
    model = foreign_model(path, 6, sampler)
    assert model is not None
    assert f"EDM ({sampler}), 6 steps" in sampler_note(model.card)
    card = ModelCard.from_toml(model.card.to_toml())
    process = process_of(load_model(path, card))
    *_, last = run(process, process.start(0, [0, 1]), None)
    expected = json.loads((reference / "k-diffusion.json").read_text())[f"{name} {sampler}"]
    samples = to_pixels(last.state).flatten()[::7]
    assert np.allclose(samples, expected, rtol=1e-5, atol=1e-5)


def test_inspected(tmp_path: Path) -> None:
    """Program and network are shown."""
    text = inspect_checkpoint(written(tmp_path, "colour")).to_text()
    assert "program           k-diffusion" in text
    assert "card              edm, 16×16 pixels, 50 levels" in text
    assert "architecture      input_channels 3, mapping_out 16, depths (1, 2)" in text
    assert "ema               87 tensors" in text
    assert "next" not in text


def test_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command adds a file with its sampler; another draws from it in other steps."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text('title = "T"\n[[authors]]\nname = "A"\n')
    path = written(tmp_path, "patches")
    runner = CliRunner()
    result = runner.invoke(cli, ["add", "birds", "--checkpoint", str(path), "--levels", "7"])
    assert result.exit_code == 0, result.output
    card = read_card(tmp_path / "models" / "birds")
    assert (card.kind, card.levels) == ("edm", 7)
    result = runner.invoke(
        cli, ["sample", "birds", "--count", "2", "--steps", "3", "--output", "x.npz"]
    )
    assert result.exit_code == 0, result.output
    assert np.load("x.npz")["final"].shape == (2, 1, 16, 16)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "image_transformer_v2"}, "of the type image_transformer_v2; of k-diffusion"),
        ({"input_size": [16, 24]}, "its images are not square"),
        ({"mapping_cond_dim": 8}, "mapping_cond_dim is not supported"),
        ({"depths": [1]}, "must be as long as channels"),
        ({"channels": [32, 10**9]}, "its configuration: .*channels"),
        ({"sigma_max": 0.001}, "its configuration: .*sigma_max"),
        ({"mapping_out": 32}, "do not fit the card's network"),
    ],
)
def test_refused(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """What is not supported, and configurations that do not fit, are refused with the reason."""
    with pytest.raises(RefusedError, match=reason):
        load_model(written(tmp_path, "colour", **changes))


def test_other_sampler(tmp_path: Path) -> None:
    """Samplers of other programs are refused with those that there are."""
    with pytest.raises(ConfigError, match=r"--sampler-name ddim: .* has heun and euler"):
        foreign_model(written(tmp_path, "patches"), None, "ddim")
