"""Keys: whatever changes a pixel changes them, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sitegen.build import plan
from sitegen.build.plan import environment, plan_figure
from sitegen.core.compute import ComputeTarget
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import PlatformError, RefusedError
from sitegen.core.files import digest
from sitegen.figures.base import Figure
from sitegen.figures.trajectories.spec import Trajectories
from sitegen.ihdm.card.card import FileRef, ModelCard
from sitegen.models.registry import ModelSource
from tests.support.builders import CARD, CPU
from tests.support.builders import environment as variables


@pytest.fixture
def source(tmp_path: Path) -> ModelSource:
    """A model of made-up bytes."""
    for name in ("weights", "prior"):
        (tmp_path / name).write_bytes(name.encode())
    card = ModelCard.from_toml(CARD)
    return ModelSource("tiny", card, tmp_path / "weights", tmp_path / "prior")


def figure(**spec: Any) -> Figure:
    """A figure of that model."""
    words = {"id": "an-id", "caption": "words", "alt": None, "place": SourceLocation("a.md", 1)}
    words |= {name: spec.pop(name) for name in list(spec) if name in words}
    return Figure("trajectories", spec=Trajectories("tiny", **spec), **words)  # type: ignore[arg-type]


def request_digest(request_json: Figure, source: ModelSource) -> str:
    """The first half of the key."""
    return plan_figure(request_json, "index.html", {"tiny": source}, "env").request_digest


def test_words_are_not_pixels(source: ModelSource) -> None:
    """Caption, alt, id, place and page leave the key alone; so do file names and notes."""
    key = request_digest(figure(), source)
    assert (
        request_digest(
            figure(caption="other", alt="x", id="y", place=SourceLocation("b.md", 9)), source
        )
        == key
    )
    noted = replace(source.card, training={"by": "me"}, known_faults=("none",))
    assert request_digest(figure(), replace(source, card=noted, card_path=Path("elsewhere"))) == key
    planned = plan_figure(figure(), "other/index.html", {"tiny": source}, "env")
    assert (planned.request_digest, planned.page, planned.levels) == (key, "other/index.html", 4)


def test_blur_scales(source: ModelSource) -> None:
    """A job knows σ_B of every level, and of none where its model does not blur."""
    planned = plan_figure(figure(), "index.html", {"tiny": source}, "env")
    assert planned.sigmas == (0.0, 0.5, 1.2599, 3.1748, 8.0)
    unblurred: Any = SimpleNamespace(blur=None)
    assert plan._sigmas(unblurred) == ()


@pytest.mark.parametrize(
    "spec",
    [
        {"count": 4},
        {"columns": 3},
        {"seed": 1},
        {"show": "mean"},
        {"fps": 12.0},
        {"sampling_noise_std": 0.01},
    ],
    ids=str,
)
def test_spec_is_pixels(source: ModelSource, spec: Mapping[str, Any]) -> None:
    """Every field of the spec counts."""
    assert request_digest(figure(**spec), source) != request_digest(figure(), source)


@pytest.mark.parametrize(
    "change",
    [{"levels": 5}, {"sampling_noise_std": 0.02}, {"training_noise_std": 0.02}, {"channels": 3}],
    ids=str,
)
def test_card_is_pixels(source: ModelSource, change: Mapping[str, Any]) -> None:
    """So do the numbers of the card."""
    changed = replace(source, card=replace(source.card, **change))
    assert request_digest(figure(), changed) != request_digest(figure(), source)


def test_recipe_is_pixels(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raising the recipe of a kind by hand renders its figures again."""
    key = request_digest(figure(), source)
    monkeypatch.setattr(Trajectories, "recipe", 2)
    assert request_digest(figure(), source) != key


def test_files_that_are_elsewhere(source: ModelSource) -> None:
    """A digest that the card pins stands for a file that is not there."""
    refs = {"weights": source.weights, "prior": source.prior}
    pins = {name: FileRef(name, digest(path)) for name, path in refs.items() if path}
    card = replace(source.card, **pins)  # type: ignore[arg-type]
    key = request_digest(figure(), replace(source, card=card))
    for path in refs.values():
        assert path is not None
        path.unlink()
    assert request_digest(figure(), replace(source, card=card)) == key
    with pytest.raises(RefusedError, match="no such checkpoint"):
        request_digest(figure(), source)


def test_weights_are_hashed_once(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many figures a model is in."""
    hashed: list[Path] = []

    def counted(path: Path) -> str:
        hashed.append(path)
        return "0" * 64

    monkeypatch.setattr("sitegen.models.registry.sha256", counted)
    for seed in range(3):
        request_digest(figure(seed=seed), source)
    assert hashed == [source.weights, source.prior]


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Device class, precision and each version count; the number of the GPU does not."""
    known = environment(CPU)
    assert known is not None
    assert environment(CPU) == known
    cuda = environment(ComputeTarget("cuda", "float32"))
    assert cuda == environment(ComputeTarget("cuda:1", "float32"))
    others = {known, cuda, environment(ComputeTarget("cpu", "bfloat16"))}
    version = metadata.version
    for name in ("torch", "numpy", "pillow"):
        monkeypatch.setattr(
            metadata,
            "version",
            lambda request_json, name=name: "9" if request_json == name else version(request_json),
        )
        others.add(environment(CPU))
    assert len(others) == 6


@pytest.mark.parametrize("name", ["torch", "numpy"])
def test_environment_of_a_machine_that_renders(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is unknown, and asking for it says what is missing."""
    version = metadata.version

    def without(request_json: str) -> str:
        if request_json == name:
            raise metadata.PackageNotFoundError(request_json)
        return version(request_json)

    monkeypatch.setattr(metadata, "version", without)
    assert environment(CPU) is None
    with pytest.raises(PlatformError, match=f"{name} is not installed here"):
        plan.require_environment()


def test_environment_without_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ffmpeg: unknown, too, in ffmpeg's words."""
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/nowhere/ffmpeg")
    assert environment(CPU) is None
    with pytest.raises(PlatformError, match="/nowhere/ffmpeg"):
        plan.require_environment()


def test_planning_imports_nothing_heavy() -> None:
    """Neither torch nor the encoder nor Pillow: versions are read, not imported."""
    code = (
        "import sys; from sitegen.build.plan import *\n"
        "assert environment(Equipment(resolve_device('auto'), 'float32'))\n"
        "print({'torch', 'imageio_ffmpeg', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
