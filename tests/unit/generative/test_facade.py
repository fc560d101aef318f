"""The public API: its names, and that models of every kind are loaded and run by them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sitegen.generative
import sitegen.ihdm
from sitegen.core.errors import ConfigError
from sitegen.generative.process.protocol import process_of, run
from sitegen.ihdm import ModelCard, independent, load_model, reverse_process
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
