"""The bridge to the model: what a clip shows, the noise contract, and clear failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sitegen.build.context import BuildOptions
from sitegen.build.pipeline import build
from sitegen.build.renderer import FigureRenderer
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError, PlatformError, TargetError
from sitegen.figures.base import Figure
from sitegen.figures.clips import BACKGROUND, default_fps, displayed
from sitegen.figures.trajectories import Trajectories
from sitegen.ihdm.process.model import Model, require_device
from sitegen.media.frames import grid, to_uint8, upscale
from sitegen.models.registry import ModelSource, model_source
from sitegen.sampling import models as samplers
from sitegen.sampling.models import HeatSampler, load_heat_sampler
from tests.support.builders import CPU, decode, write_page
from tests.support.making import load_heat
from tests.support.reporters import Silent
from tests.support.tinymodel import LEVELS, on_one_thread, write_model

PLACE = SourceLocation("pages/index.md", 3)

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """The files of a tiny model."""
    return model_source("tiny", write_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def sampler(source: ModelSource) -> HeatSampler:
    """The tiny model."""
    return load_heat_sampler(source, CPU)


def figure(**spec: object) -> Figure:
    """A figure of the tiny model."""
    return Figure("trajectories", "tiny", Trajectories("tiny", **spec), "", None, PLACE)  # type: ignore[arg-type]


def finals(sampler: HeatSampler, samples: Sequence[int], seed: int = 5) -> NDArray[np.float32]:
    """The finished images of some samples."""
    *_, last = sampler.begin(seed, samples, None).steps
    return last.mean.numpy()


@pytest.mark.parametrize("show", ["state", "mean"])
def test_what_is_displayed(sampler: HeatSampler, show: str) -> None:
    """First u_K, then states or means as asked for, and in the end the mean."""
    seen = list(displayed(sampler.begin(0, range(3), None), show))
    trajectory = sampler.begin(0, range(3), None)
    steps = list(trajectory.steps)
    wanted: list[Tensor] = [trajectory.u_K]
    wanted += [step.mean if show == "mean" else step.state for step in steps[:-1]]
    wanted.append(steps[-1].mean)
    assert len(seen) == LEVELS + 1
    for one, other in zip(seen, wanted, strict=True):
        np.testing.assert_array_equal(one, other.numpy())


def test_job(source: ModelSource, sampler: HeatSampler) -> None:
    """Levels K … 0; the card's δ filled in; frames of native size. An image costs no second."""
    renderer = FigureRenderer({"tiny": source}, CPU)
    assert 0 < renderer.pace("tiny") < 1
    job = renderer.render_job(figure(count=5, seed=2))
    assert job.levels == (4, 3, 2, 1, 0)
    assert job.parameters["sampling_noise_std"] == sampler.model.card.sampling_noise_std
    assert job.parameters["seed"] == 2
    assert json.loads(json.dumps(job.parameters)) == job.parameters
    frames = list(job.clips[""].frames)
    assert {frame.shape for frame in frames} == {(2 * 8, 3 * 8, 3)}
    first = grid(to_uint8(sampler.begin(2, range(5), None).u_K.numpy()), 3, BACKGROUND)
    np.testing.assert_array_equal(frames[0], first)


def test_noise_of_the_figure_beats_the_card(source: ModelSource) -> None:
    """δ = 0 in the call is δ = 0: state and mean are then the same."""
    renderer = FigureRenderer({"tiny": source}, CPU)
    still = {"count": 1, "sampling_noise_std": 0.0}
    jobs = [renderer.render_job(figure(**still, show=show)) for show in ("state", "mean")]
    assert jobs[0].parameters["sampling_noise_std"] == 0.0
    for one, other in zip(*(job.clips[""].frames for job in jobs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_default_rate() -> None:
    """A clip lasts about five seconds, where 24 to 60 frames a second allow it."""
    assert [default_fps(levels) for levels in (1, 100, 200, 1000)] == [24, 24, 40, 60]


def write_site(folder: Path, **model: Any) -> Path:
    """A site with one figure of a tiny model that was written for it."""
    write_model(folder / "models" / "tiny", **model)
    (folder / "site.toml").write_text('title = "A title"\n[models.tiny]\npath = "models/tiny"\n')
    (folder / "pages").mkdir()
    write_page(folder / "site.toml", '{{ trajectories("tiny", count=4) }}\n')
    return folder / "site.toml"


def test_first_and_last_frame_of_a_built_clip(tmp_path: Path) -> None:
    """Through page, encoder and player: first the initial states, last the final means."""
    build(write_site(tmp_path), BuildOptions(CPU), FigureRenderer, Silent())
    entry = json.loads((tmp_path / "build/media.json").read_text())["figures"][0]
    frames = decode(tmp_path / "build" / entry["files"]["mp4"]["path"])
    assert len(frames) == len(entry["levels"]) == LEVELS + 1
    sampler = load_heat_sampler(model_source("tiny", tmp_path / "models/tiny"), CPU)
    u_K = sampler.begin(0, range(4), None).u_K.numpy()
    for frame, images in ((frames[0], u_K), (frames[-1], finals(sampler, range(4), seed=0))):
        sheet = grid(to_uint8(images), 2, BACKGROUND)
        wanted = upscale(sheet, frame.shape[0] // sheet.shape[0])
        assert np.abs(frame.astype(int) - wanted).mean() < 4


def test_each_model_is_loaded_once(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several figures of a model, also rendered at the same time, share it."""
    loaded: list[Path] = []

    def counted(path: Path, *rest: object) -> Model:
        loaded.append(path)
        return load_heat(path, *rest)

    monkeypatch.setattr(samplers, "load_model", counted)
    renderer = FigureRenderer({"tiny": source}, CPU)
    barrier = threading.Barrier(4)

    def render_job(seed: int) -> None:
        barrier.wait()
        renderer.render_job(figure(seed=seed))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(render_job, range(4)))
    assert loaded == [source.weights]


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no device is a mistake; a GPU that is not there is told before anything is loaded."""
    with pytest.raises(ConfigError, match="there is auto, cpu, cuda and cuda:N"):
        require_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:0"):
        with pytest.raises(PlatformError, match="no GPU here; use --device cpu"):
            FigureRenderer({}, replace(CPU, device=device))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_device("cuda:1")
    with pytest.raises(PlatformError, match="only 2 GPUs"):
        require_device("cuda:2")


def test_diverging_model(tmp_path: Path) -> None:
    """It stops with page, line, figure and level, and no site is made."""
    config = write_site(tmp_path, spoil=1e6)
    with pytest.raises(TargetError, match=r"index\.md:1: tiny-trajectories: .*level 3: sample 0"):
        build(config, BuildOptions(CPU), FigureRenderer, Silent())
    assert not (tmp_path / "build").exists()


FULL = "out of memory while computing level 4"


@pytest.mark.parametrize(
    ("error", "told", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), PlatformError, FULL),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you"), PlatformError, FULL),
        (MemoryError(), PlatformError, FULL),
        (RuntimeError("shapes do not match"), RuntimeError, "shapes do not match"),
    ],
)
def test_out_of_memory(
    source: ModelSource,
    error: Exception,
    told: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Full memory, in torch's several ways of saying so, is told as such, and a bug is not."""

    def fail(self: Model, u: Tensor, level: int) -> Tensor:
        raise error

    job = FigureRenderer({"tiny": source}, CPU).render_job(figure(count=1))
    monkeypatch.setattr(Model, "forward", fail)
    with pytest.raises(told, match=words):
        list(job.clips[""].frames)
