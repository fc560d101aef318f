"""The benchmark of sampling compares models, takes turns, and counts operations."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench import sampling
from bench.sampling import Comparison, least_seconds, main, markdown, operations
from sitegen.generative.checkpoints.loading import load_model
from tests.support.tinymodel import on_one_thread, write_ddpm, write_model

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two models of the smallest size; small matrices."""
    write_model(tmp_path / "heat")
    write_ddpm(tmp_path / "noise")
    monkeypatch.setattr(sampling, "MODELS", tmp_path)
    monkeypatch.setattr(sampling, "MATRIX_SIDE", 32)
    return tmp_path


@pytest.mark.usefixtures("models")
def test_measures_models(capsys: pytest.CaptureFixture[str]) -> None:
    """Each model and number of images is a row."""
    main(["heat", "noise", "--images", "1", "3", "--repetitions", "2"])
    rows = re.findall(r"^\| (\w+), level 1 \| (\d) \|", capsys.readouterr().out, re.M)
    assert rows == [("heat", "1"), ("heat", "3"), ("noise", "1"), ("noise", "3")]


def test_operations_are_those_of_the_convolutions(models: Path) -> None:
    """At least the network's own count: a 3×3 convolution of 32 channels on 8×8 and more."""
    model = load_model(models / "heat")
    counted = operations(model, torch.rand(1, 1, 8, 8), 1)
    assert counted > 10 * 2 * 9 * 32 * 32 * 64
    assert operations(model, torch.rand(3, 1, 8, 8), 1) > 2.9 * counted


def test_runs_take_turns() -> None:
    """The first turn does not count, the least time does, and long ones take two turns of three."""
    now, called = [0.0], []
    times = {"a": [9.0, 3, 5, 7, 1, 2, 2], "b": [0.0, 30, 20, 20, 40, 40, 40]}

    def run(name: str) -> Callable[[], None]:
        def one() -> None:
            called.append(name)
            now[0] += times[name].pop(0)

        return one

    seconds = least_seconds({name: run(name) for name in times}, 9, clock=lambda: now[0])
    assert seconds == {"a": 1.0, "b": 20.0}
    assert called == ["a", "b", *["a"] * 3, *["b"] * 3, *["a"] * 3, *["b"] * 3]


def test_table() -> None:
    """Shares are of the floor."""
    comparison = Comparison("mnist", 1, 40, 2.0, plain_ms=40.0, ours_ms=25.0, floor_ms=20.0)
    row = "| mnist, level 1 | 40 | 2.00 | 40.0 | 25.0 | 20.0 | 0.80 of the floor | 1.6× |"
    assert row in markdown([comparison])
