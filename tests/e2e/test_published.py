"""Published checkpoints, end to end: added with their preset, sampled, on a page.

The weights are random, but names, shapes, order and file format are the published ones, as they
were recorded (`tests/reference/official_models.json`). Larger ones are in `bench/full_size.py`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitegen.build.context import BuildOptions
from sitegen.build.pipeline import build
from sitegen.build.renderer import FigureRenderer
from sitegen.ihdm.checkpoints.inspection import inspect_checkpoint
from sitegen.models.add import add_model
from sitegen.models.new_card import AddOptions
from tests.support.builders import CPU, decode
from tests.support.reporters import Silent
from tests.support.tinymodel import on_one_thread

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)

PAGE = '{{ trajectories("recorded", count=1, show="mean") }}\n'


def checkpoint(path: Path, state_dict: list[tuple[str, list[int]]]) -> None:
    """Write random weights as the published training does; the raw ones are of no use."""
    numbers = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))

    def weights(shape: list[int]) -> torch.Tensor:
        count = int(np.prod(shape))
        scale = 0.3 / max(shape[1:], default=9)
        return scale * numbers.repeat(-(-count // len(numbers)))[:count].view(shape)

    shadows = [weights(shape) for _, shape in state_dict]
    value: dict[str, Any] = {
        "optimizer": {"state": {}, "param_groups": [{"lr": np.float64(2e-4)}]},
        "model": {f"module.{name}": torch.full(shape, 1e9) for name, shape in state_dict},
        "step": 1_300_000,
        "ema": {"decay": 0.9999, "num_updates": 1_300_000, "shadow_params": shadows},
    }
    torch.save(value, path)


def test_from_published_checkpoint_to_page(reference: Path, tmp_path: Path) -> None:
    """It is known by its weights alone, and two levels of it are rendered in colour."""
    entry = json.loads((reference / "official_models.json").read_text())["cifar10"]
    file, config = tmp_path / "checkpoint_130.pth", tmp_path / "site.toml"
    checkpoint(file, entry["state_dict"])
    found = inspect_checkpoint(file)
    assert (found.presets, found.parameters) == (("cifar10",), entry["parameters"])
    assert (found.step, found.ema_tensors) == (1_300_000, len(entry["state_dict"]))
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/index.md").write_text(PAGE)
    config.write_text('title = "T"\n')
    added = add_model(config, "recorded", AddOptions(file, preset="cifar10", levels=2), None)
    summary = build(config, BuildOptions(CPU), FigureRenderer, Silent())
    assert (summary.rendered, summary.approximate) == (("recorded-trajectories",), ("recorded",))
    (clip,) = (summary.output / "media").glob("*.mp4")
    frames = decode(clip)
    assert len(frames) == 3
    assert frames.shape[2] % added.card.image_size == 0
    assert frames[0].std((0, 1)).max() < 30  # flat
    assert np.abs(frames[-1].astype(int) - frames[0]).max() > 10
