"""The benchmark of sampling: what it compares, that it takes turns, and what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench import sampling
from bench.sampling import (
    Comparison,
    Report,
    least_seconds,
    main,
    markdown,
    matrix_products,
    measure,
    model_called,
    operations,
    processor,
    unet_levels,
)
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.process.model import Model
from tests.support.tinymodel import on_one_thread, write_ddpm, write_model

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)

CPUINFO = """processor\t: 0
model name\t: Some processor @ 2 GHz
flags\t\t: fpu sse2 avx2 avx512f amx_tile

processor\t: 1
model name\t: Another
flags\t\t: fpu
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two models of the smallest size; small matrices."""
    write_model(tmp_path / "models" / "heat")
    write_ddpm(tmp_path / "models" / "noise")
    monkeypatch.setattr(sampling, "ROOT", tmp_path)
    monkeypatch.setattr(sampling, "MATRIX", 32)
    return tmp_path


def test_measures_models_and_writes_json(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each model and number of images is a row, and the file holds the same numbers."""
    file = tiny / "out.json"
    main(["heat", "noise", "--images", "1", "3", "--repetitions", "2", "--json", str(file)])
    table, numbers = capsys.readouterr().out, json.loads(file.read_text())
    told = [(each["name"], each["images"]) for each in numbers["comparisons"]]
    assert told == [("heat", 1), ("heat", 3), ("noise", 1), ("noise", 3)]
    assert all(each["plain_ms"] > 0 < each["ours_ms"] for each in numbers["comparisons"])
    assert {"torch", "numpy", "onnxruntime"} == numbers["gflops"].keys()
    assert "| heat, level 1 | 3 |" in table


def test_ours_is_what_samples_figures(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines are chosen for ours, in the precision asked for, and none for the plain loop."""
    chosen: list[Model] = []
    monkeypatch.setattr(sampling, "choose_engines", chosen.append)
    plain: list[Model] = []

    def counted(model: Model, states: torch.Tensor, level: int) -> int:
        plain.append(model)
        return 5

    monkeypatch.setattr(sampling, "operations", counted)
    measure(["heat"], [2], "bfloat16", 1)
    assert (chosen[0].precision, plain[0].precision) == ("bfloat16", "float32")
    assert chosen[0] is not plain[0]
    assert chosen[0].engines is not plain[0].engines
    assert chosen[0].networks[0] is plain[0].networks[0]


def test_operations_are_those_of_the_convolutions(tiny: Path) -> None:
    """At least the network's own count: a 3×3 convolution of 32 channels on 8×8 and more."""
    model = load_model(tiny / "models" / "heat")
    assert isinstance(model, Model)
    counted = operations(model, torch.rand(1, 1, 8, 8), 1)
    assert counted > 10 * 2 * 9 * 32 * 32 * 64
    assert operations(model, torch.rand(3, 1, 8, 8), 1) > 2.9 * counted


def test_runs_take_turns() -> None:
    """What was first does not count, the least time does, and long ones take two turns of three."""
    now, told = [0.0], []
    times = {"a": [9.0, 3, 5, 7, 1, 2, 2], "b": [0.0, 30, 20, 20, 40, 40, 40]}

    def run(name: str) -> Callable[[], None]:
        def one() -> None:
            told.append(name)
            now[0] += times[name].pop(0)

        return one

    found = least_seconds({name: run(name) for name in times}, 9, clock=lambda: now[0])
    assert found == {"a": 1.0, "b": 20.0}
    assert told == ["a", "b", *["a"] * 3, *["b"] * 3, *["a"] * 3, *["b"] * 3]


def test_matrix_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """All libraries multiply the same matrices."""
    monkeypatch.setattr(sampling, "MATRIX", 8)
    wanted, *others = (torch.as_tensor(_only(each())) for each in matrix_products().values())
    assert wanted.shape == (8, 8)
    assert len(others) == 2
    assert all(torch.allclose(wanted, other) for other in others)


def _only(product: object) -> object:
    return product[0] if isinstance(product, list) else product


def test_names(tiny: Path) -> None:
    """A preset has its architecture, and a name that is none is refused with those that are."""
    assert model_called("preset mnist-small").card.levels == 50
    assert unet_levels(model_called("heat")) == [1]
    with pytest.raises(SystemExit, match=r"nonsense: presets are .*mnist-small"):
        model_called("preset nonsense")


def test_processor() -> None:
    """The first one's name and units; nothing is made up where the system tells none."""
    assert processor(CPUINFO) == ("Some processor @ 2 GHz", ["avx2", "avx512f", "amx_tile"])
    assert processor("") == ("unknown", [])


def test_table() -> None:
    """The floor is arithmetic over the highest rate, and shares are of it."""
    comparison = Comparison("mnist", 1, 40, gflop=2.0, plain_ms=40.0, ours_ms=25.0)
    rates = {"torch": 50.0, "numpy": 100.0}
    report = Report("Some processor", ["avx2"], 2, "float32", rates, [comparison])
    assert report.floor_ms(comparison) == 20.0
    text = markdown(report)
    assert "Some processor (avx2), 2 cores; ours in float32" in text
    assert "| mnist, level 1 | 40 | 2.00 | 40.0 | 25.0 | 20.0 | 0.50 | 0.80 | 1.6 |" in text
