"""The public API: its names, and that models of every kind are loaded and run by them."""

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import sitegen.generative
import sitegen.ihdm
from sitegen.core.errors import ConfigError
from sitegen.generative.data.recording import open_recording
from sitegen.generative.process.model import CardModel
from sitegen.generative.process.protocol import process_of, run
from sitegen.ihdm import ModelCard, independent, load_model, reverse_process
from sitegen.models import registry
from sitegen.models.add import add_recording
from sitegen.record import record
from tests.support.making import random_unet
from tests.support.tinymodel import write_ddpm, write_model
from tests.unit.generative.process.test_protocol import PROCESSES, SHAPE


def test_star_imports() -> None:
    """`from sitegen.ihdm import *` brings every name; that of the library brings its folders."""
    for package in (sitegen.ihdm, sitegen.generative):
        found: dict[str, object] = {}
        exec(f"from {package.__name__} import *", found)
        assert {*package.__all__} == found.keys() - {"__builtins__"}
    assert {*sitegen.ihdm.__all__} == {*sitegen.ihdm._MODULES} == {*dir(sitegen.ihdm)}


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_runs(name: str) -> None:
    """`reverse_process` runs the process of a model's card, whatever its kind."""
    process = PROCESSES[name]()
    process.model.card = process.card  # a DDPM's, that says DDIM
    start = process.start(3, [0, 1])
    noise = independent(3, [0, 1], SHAPE) if process.random else None
    found = list(reverse_process(process.model, start, noise))
    expected = list(run(process, start, noise))
    assert [step.level for step in found] == [step.level for step in expected]
    assert torch.equal(found[-1].mean, expected[-1].mean)


TABLES: dict[str, dict[str, Any]] = {
    "flow": {},
    "edm": {"edm": {"solver": "heun"}},
    "consistency": {"edm": {}},
    "sde": {"sde": {"family": "vp", "beta_max": 3.0}},
    "cold": {"cold": {"start_mean": [0.0], "start_covariance": [[1.0]]}},
    "blurring": {"blurring": {"sigma_max": 0.3, "log_snr_min": -1.0}},
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_is_loaded(kind: str, tmp_path: Path) -> None:
    """`load_model` reads weights with the card of any kind; the model predicts and is run."""
    write_ddpm(tmp_path, kind=kind, diffusion=None, **TABLES[kind])
    model = load_model(tmp_path)
    assert model.card.kind == kind
    process = process_of(model)
    noise = independent(0, [0], SHAPE) if process.random else None
    *_, last = reverse_process(model, process.start(0, [0]), noise)
    assert last.level == 0
    assert bool(last.mean.isfinite().all())


SAMPLER = """
import numpy as np


class Pull:
    shape = (1, 8, 8)
    value_range = (-1, 1)
    axis = ("t", "", [1.0, 0.5, 0.0])

    def start(self, normal):
        return 2 * normal

    def step(self, x, i, normal):
        return x / 2 + 0.1 * normal, np.tanh(x)
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory is a site of a sampler, a recording, and a checkpoint elsewhere."""
    monkeypatch.chdir(tmp_path)
    Path("pull.py").write_text(SAMPLER)
    write_ddpm(tmp_path / "elsewhere")
    Path("models/noise").mkdir(parents=True)
    Path("elsewhere/model.toml").rename("models/noise/model.toml")
    with record("run.npz", range=(0, 1)) as rec:
        rec.scan([1.0, 0.0], np.zeros((2, 3, 1, 8, 8)))
    Path("site.toml").write_text(
        'title = "T"\n[models.own]\npath = "pull.py:Pull"\n[models.noise]\n'
        'path = "elsewhere/weights.safetensors"\ncard = "models/noise/model.toml"\n'
    )
    add_recording(Path("site.toml"), "run", Path("run.npz"))
    return tmp_path


@pytest.mark.parametrize("path", ["pull.py:Pull", "{site}/pull.py:Pull", "own", "package"])
def test_a_sampler_is_loaded(path: str, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By file and class, by its name in site.toml, and of a package; its class makes the steps."""
    if path == "package":
        monkeypatch.syspath_prepend(site)
        entries = [EntryPoint("pulling", "pull:Pull", "sitegen.processes")]
        monkeypatch.setattr(registry, "entry_points", lambda group: entries)
        path = "sitegen.processes:pulling"
    model = load_model(path.format(site=site))
    start, noise = model.card.start(model, 0, [0, 1]), independent(0, [0, 1], SHAPE)
    *_, last = reverse_process(model, start, noise)
    half = start / 2 + 0.1 * noise(2)
    assert torch.allclose(last.state, half / 2 + 0.1 * noise(1))
    assert last.final is not None
    assert torch.allclose(last.final(), half.tanh())


@pytest.mark.parametrize("path", ["models/noise", "{site}/models/noise", "noise"])
def test_a_folder_whose_weights_are_elsewhere(path: str, site: Path) -> None:
    """The weights of a folder that `sitegen add` wrote are those that site.toml names."""
    model = load_model(path.format(site=site))
    assert isinstance(model, CardModel)
    assert model.card.kind == "ddpm"
    assert model.unet.state_dict().keys() == random_unet(model.card).state_dict().keys()


@pytest.mark.parametrize("path", ["models/run", "run"])
def test_a_recording_is_not_loaded(path: str, site: Path) -> None:
    """The error names what reads its states."""
    with pytest.raises(ConfigError, match=r"run\.npz: a recording has no network.*open_recording"):
        load_model(path)
    assert len(list(open_recording(site / "run.npz").states("state"))) == 2


def test_what_a_process_lacks(tmp_path: Path) -> None:
    """A flow has no δ, and a recording no process; both are refused in words."""

    class Stub:
        card = ModelCard(8, 1, 1, kind="recording", recording={"values": [0.0, 1.0], "count": 1})

        def __call__(self, x: Tensor, *_: object) -> Tensor:
            """Return the states."""
            return x

    with pytest.raises(ConfigError, match='kind "recording" has no process'):
        reverse_process(Stub(), torch.zeros(1, 1, 8, 8), None)
    write_model(tmp_path)
    heat = load_model(tmp_path)
    noise = independent(0, [0], SHAPE)
    *_, last = reverse_process(heat, torch.zeros(1, *SHAPE), noise, 0.5)
    assert last.level == 0
    with pytest.raises(ConfigError, match="has no sampling_noise_std"):
        reverse_process(PROCESSES["flow"]().model, torch.zeros(1, *SHAPE), None, 0.5)
