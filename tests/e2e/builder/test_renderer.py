"""The bridge to the model: what a clip shows, the noise contract, and its devices."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sitegen.media.look.colours import BACKGROUND

from sitegen.builder.context import BuildOptions
from sitegen.builder.pipeline import build
from sitegen.builder.render import FigureRenderer
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError, PlatformError
from sitegen.core.files import digest
from sitegen.figures.base import Figure
from sitegen.figures.clips import default_fps
from sitegen.figures.trajectories import Trajectories
from sitegen.generative.process.model import Model, require_device
from sitegen.media.frames import grid, to_uint8, upscale
from sitegen.models.registry import ModelSource, model_source
from sitegen.sampling import models as samplers
from sitegen.sampling.models import load_sampler
from tests.support.builders import CPU, decode, write_site
from tests.support.making import load_heat
from tests.support.reporters import Silent
from tests.support.tinymodel import LEVELS, write_model

PLACE = SourceLocation("pages/index.md", 3)


def figure(seed: int = 0) -> Figure:
    """A figure of the tiny model."""
    return Figure("trajectories", "tiny", Trajectories("tiny", seed=seed), "", None, PLACE)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The files of a tiny model."""
    return model_source("tiny", write_model(tmp_path_factory.mktemp("models") / "tiny"))


def test_first_and_last_frame_of_a_built_clip(tmp_path: Path) -> None:
    """Through page and encoder, final means come first and last, and after 1 s the states u_K."""
    config = write_site(tmp_path, '{{ trajectories("tiny", count=4, pixelated=true) }}\n')
    write_model(tmp_path / "models" / "tiny")
    build(config, BuildOptions(CPU), FigureRenderer, Silent())
    entry = json.loads((tmp_path / "build/media.json").read_text())["figures"][0]
    for file in entry["files"].values():
        path = tmp_path / "build" / file["path"]
        assert (path.stat().st_size, digest(path)) == (file["bytes"], file["sha256"])
    frames = decode(tmp_path / "build" / entry["files"]["mp4"]["path"])
    assert len(frames) == len(entry["levels"]) == 2 + LEVELS + 1 + 4
    sampler = load_sampler(model_source("tiny", tmp_path / "models/tiny"), CPU)
    trajectory = sampler.begin(0, range(4), None)
    *_, last = trajectory.steps
    for at, images in ((0, last.mean), (2, trajectory.u_K), (-1, last.mean)):
        frame = frames[at]
        sheet = grid(to_uint8(images.numpy()), 2, BACKGROUND)
        wanted = upscale(sheet, frame.shape[0] // sheet.shape[0])
        assert np.abs(frame.astype(int) - wanted).mean() < 4


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
    """What is no device, or is not there, is told before anything is loaded; default rates fit."""
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
    assert [default_fps(levels) for levels in (1, 16, 100, 200, 1000)] == [1, 8, 24, 40, 60]
