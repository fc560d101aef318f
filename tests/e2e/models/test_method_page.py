"""The complete programs of the page "Your own method", as an author would copy them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMPipeline

from sitegen.generative.data.recording import open_recording
from tests.support.builders import page, run_python
from tests.support.forked import sitegen
from tests.support.paths import ROOT
from tests.unit.generative.checkpoints.test_foreign import network

PAGE = (ROOT / "docs/pages/method.md").read_text(encoding="utf-8")
RECORDING, DIFFUSERS, POINTS, SAMPLER = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
SITE = 'title = "Birds"\n'


def build(folder: Path) -> list[dict[str, object]]:
    """Build the site, and return its figures."""
    sitegen(folder, "build")
    manifest: dict[str, Any] = json.loads((folder / "build/media.json").read_text("utf-8"))
    return list(manifest["figures"])


def test_recording(tmp_path: Path) -> None:
    """The program writes a file that becomes a clip."""
    (tmp_path / "site.toml").write_text(SITE)
    page(tmp_path)
    assert run_python("-c", RECORDING, folder=tmp_path).returncode == 0
    sitegen(tmp_path, "add", "flow", "--recording", "flow.npz", "--subject", "small birds")
    page(tmp_path, 'trajectories("flow", count=4, show="final")')
    (figure,) = build(tmp_path)
    assert "4 small birds" in str(figure["alt"])


def test_points(tmp_path: Path) -> None:
    """The program writes the recording that the manual shows."""
    assert run_python("-c", POINTS, folder=tmp_path).returncode == 0
    with (
        np.load(ROOT / "docs/own/plane/plane.npz") as shown,
        np.load(tmp_path / "plane.npz") as new,
    ):
        arrays = [name for name in new.files if isinstance(new[name], np.ndarray)]
        assert (shown.files, len(arrays) > 20) == (new.files, True)
        for name in arrays:
            np.testing.assert_allclose(new[name], shown[name], rtol=0, atol=1e-5)


def test_loop_of_diffusers(tmp_path: Path) -> None:
    """The loop records a pipeline's own samples, which become a clip."""
    kind: Any = DDPMPipeline
    pipe = kind(network(), DDIMScheduler())
    pipe.save_pretrained(tmp_path / "pipe")
    program = DIFFUSERS.replace('"google/ddpm-cat-256"', repr(str(tmp_path / "pipe")))
    (tmp_path / "site.toml").write_text(SITE)
    page(tmp_path)
    done = run_python("-c", program, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    pipe.set_progress_bar_config(disable=True)
    images = pipe(4, torch.Generator().manual_seed(0), num_inference_steps=50, output_type="np")
    recorded = open_recording(tmp_path / "theirs.npz")
    *_, last = recorded.states("state", range(4))
    assert np.abs(last.clip(0, 1) - images[0].transpose(0, 3, 1, 2)).max() < 2e-3
    sitegen(tmp_path, "add", "theirs", "--recording", "theirs.npz", "--subject", "cats")
    assert recorded.levels == 50


def test_sampler_file(tmp_path: Path) -> None:
    """The class is a model once site.toml names it."""
    (tmp_path / "flow.py").write_text(SAMPLER)
    model = '[models.flow]\npath = "flow.py:Sampler"\n'
    (tmp_path / "site.toml").write_text(f"{SITE}{model}")
    page(tmp_path, 'trajectories("flow", count=2)')
    (figure,) = build(tmp_path)
    assert "2 small birds forming out of Gaussian noise over 50 steps" in str(figure["alt"])
