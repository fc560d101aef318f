"""The renderer loads each model once, on a device that is there."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sitegen.builder.render import FigureRenderer
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError, PlatformError
from sitegen.figures.base import Figure
from sitegen.figures.trajectories import Trajectories
from sitegen.generative.process.model import Model, require_device
from sitegen.models.registry import ModelSource, model_source
from sitegen.sampling import models as samplers
from tests.support.builders import CPU
from tests.support.making import load_heat
from tests.support.tinymodel import write_model

PLACE = SourceLocation("pages/index.md", 3)


def figure(seed: int = 0) -> Figure:
    """A figure of the tiny model."""
    return Figure("trajectories", "tiny", Trajectories("tiny", seed=seed), "", None, PLACE)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The files of a tiny model."""
    return model_source("tiny", write_model(tmp_path_factory.mktemp("models") / "tiny"))


def test_each_model_is_loaded_once(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several figures of a model, also rendered at the same time, share it."""
    loaded: list[Path] = []

    def counted(path: Path, *rest: object) -> Model:
        loaded.append(path)
        return load_heat(path, *rest)

    monkeypatch.setattr(samplers, "load_model", counted)
    renderer, barrier = FigureRenderer({"tiny": source}, CPU), threading.Barrier(4)

    def render_job(seed: int) -> None:
        barrier.wait()
        renderer.render_job(figure(seed=seed))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(render_job, range(4)))
    assert loaded == [source.weights]


def test_devices(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown device, and a missing one, are refused before anything is loaded."""
    with pytest.raises(ConfigError, match="should be auto, cpu, cuda, cuda:N or mps"):
        require_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:0"):
        with pytest.raises(PlatformError, match="no GPU here; use --device cpu"):
            FigureRenderer({"tiny": source}, replace(CPU, device=device)).sampler("tiny")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_device("cuda:1")
    with pytest.raises(PlatformError, match="only 2 GPUs"):
        require_device("cuda:2")
