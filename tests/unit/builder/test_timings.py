"""Estimates come from measurements of the same model, device and precision, or are not made."""

import json
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sitegen.builder import pipeline
from sitegen.builder.timings import FILE_NAME, Eta, Speeds
from sitegen.core.compute import ComputeTarget
from sitegen.figures.base import Figure
from sitegen.media.jobs import RenderJob
from sitegen.models.registry import ModelSource
from tests.support.builders import CPU, INDEX, Builder, FakeRenderer, write_page, write_site


def test_estimates(tmp_path: Path) -> None:
    """An estimate is the median of the last eight measurements of such work on such a device."""
    speeds = Speeds(tmp_path, CPU)
    assert speeds.estimate("work", 100) is None
    assert not (tmp_path / FILE_NAME).exists()
    for seconds in (10.0, 40.0, 20.0):
        speeds.note("work", 100, seconds)
    assert speeds.estimate("work", 10) == 2
    assert speeds.estimate("other", 10) is None
    for _ in range(20):
        speeds.note("work", 100, 70.0)
    assert Speeds(tmp_path, CPU).estimate("work", 100) == 70
    assert (tmp_path / FILE_NAME).read_text().count("seconds") == 8
    for target in (ComputeTarget("cuda", "float32"), ComputeTarget("cpu", "bfloat16")):
        assert Speeds(tmp_path, target).estimate("work", 1) is None
        Speeds(tmp_path, target).note("work", 1, 2.0)
    assert Speeds(tmp_path, ComputeTarget("cuda:1", "float32")).estimate("work", 1) == 2
    speeds.note("still", 0, 1.0)
    assert speeds.estimate("still", 0) is None


def test_a_dry_run_tells_estimates_and_their_sum(tmp_path: Path) -> None:
    """A build keeps what its figures took, and a dry run multiplies it."""
    site = Builder(write_site(tmp_path / "site", INDEX))
    site()
    path = site.root / ".sitegen" / FILE_NAME
    kept = json.loads(path.read_text())
    ((key, (measured,)),) = [item for item in kept.items() if item[0].startswith("traj")]
    assert measured["evaluations"] == 16
    assert 0 < measured["seconds"] < 60
    path.write_text(json.dumps({key: [{"evaluations": 16, "seconds": 45}]}))
    write_page(site.config, INDEX.replace("count=4", "count=8"))
    site(dry_run=True)
    assert site.report.lines[0].endswith("32 evaluations of a network, about 90 s")
    assert site.report.lines[1] == "all of it: about 93 s"


def test_first_estimates(tmp_path: Path) -> None:
    """The trial of a model is made once and kept, and what is drawn and encoded counts, too."""
    site = Builder(write_site(tmp_path / "site", '{{ hierarchy("tiny", leaves=2) }}\n'))
    asked: list[str] = []

    def pace(model: str) -> float:
        asked.append(model)
        return 0.01

    site.renderer.pace = pace  # type: ignore[method-assign]
    for _ in range(2):
        site(dry_run=True)
        assert asked == ["tiny"]
    (told,) = re.findall(r"about (\d+) s", site.report.lines[0])
    assert int(told) > 6  # its network alone takes 0.07 s


class Paced(FakeRenderer):
    """A renderer with a pace for each precision; keeps what was tried and rendered in which."""

    def __init__(self, **paces: float) -> None:
        super().__init__()
        self.paces = paces
        self.tried: list[tuple[str, str]] = []
        self.used: list[str] = []

    def __call__(
        self, sources: Mapping[str, ModelSource], compute_target: ComputeTarget
    ) -> FakeRenderer:
        """A renderer that notes the precision of all that it does."""
        made, precision = FakeRenderer(), compute_target.precision
        job = made.render_job

        def pace(model: str) -> float:
            self.tried.append((model, precision))
            return self.paces[precision]

        def render_job(figure: Figure) -> RenderJob:
            self.used.append(precision)
            return job(figure)

        made.pace, made.render_job = pace, render_job  # type: ignore[method-assign]
        return made(sources, compute_target)


@pytest.mark.parametrize(
    ("paces", "units", "chosen"),
    [
        ({"float32": 0.02, "bfloat16": 0.01}, True, "bfloat16"),
        ({"float32": 0.01, "bfloat16": 0.02}, True, "float32"),
        ({"float32": 0.0105, "bfloat16": 0.01}, True, "float32"),
        ({"float32": 0.02, "bfloat16": 0.01}, False, "float32"),
    ],
)
def test_precision_is_measured(
    paces: dict[str, float],
    units: bool,
    chosen: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A build takes bfloat16 where this machine is faster with it, and measures that once.

    A processor without instructions for it is not asked, nor is one where the author decided, or
    where little is to be done.
    """
    monkeypatch.setattr(pipeline, "has_bfloat16", lambda device: units)
    monkeypatch.setattr(pipeline, "MANY", 16)
    config = write_site(tmp_path / "site", '{{ trajectories("tiny", count=4) }}\n')
    renderer = Paced(**paces)
    site = Builder(config, renderer)
    site(measure=True)
    assert renderer.tried == ([("tiny", "bfloat16"), ("tiny", "float32")] if units else [])
    assert renderer.used == [chosen]
    for measure, many, wanted in (
        (True, 16, chosen),
        (True, 17, "float32"),
        (False, 16, "float32"),
    ):
        renderer.tried.clear()
        renderer.used.clear()
        monkeypatch.setattr(pipeline, "MANY", many)
        site(measure=measure, rerender=())
        assert (renderer.tried, renderer.used) == ([], [wanted])


def test_the_largest_figure_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the models of two figures, only that of the larger one is tried in bfloat16."""
    monkeypatch.setattr(pipeline, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(pipeline, "MANY", 16)
    calls = '{{ trajectories("small", count=2) }}\n\n{{ trajectories("tiny", count=4) }}\n'
    config = write_site(tmp_path / "site", calls)
    shutil.copytree(config.parent / "models" / "tiny", config.parent / "models" / "small")
    (config.parent / "models" / "small" / "weights.safetensors").write_bytes(b"others")
    config.write_text(config.read_text() + '[models.small]\npath = "models/small"\n')
    renderer = Paced(float32=0.01, bfloat16=0.01)
    Builder(config, renderer)(measure=True)
    assert renderer.tried == [("tiny", "bfloat16"), ("tiny", "float32"), ("small", "float32")]


def test_countdown() -> None:
    """It tells which figure of how many begins, and the time for all that are not finished.

    A figure that takes longer than was estimated counts with what is left of it.
    """
    left = Eta(["a", "b", "c"], {"a": 60.0, "b": 240.0, "c": None}, 2)
    assert left.title("b", "clip") == "figure 2 of 3: clip"
    assert left.in_all("b", None) == ", 4 min left in all"
    assert left.in_all("a", 540.0) == ", 9 min left in all"
    assert left.in_all("b", 20.0) == ", 9 min left in all"
    assert left.in_all("a", 60.0) == ", 60 s left in all"
    left.done("b")
    left.done("c")
    assert left.in_all("c", None) == ", 60 s left in all"
    left.done("a")
    assert left.in_all("c", None) == ""
    alone = Eta(["a"], {}, 1)
    assert alone.title("a", "clip") + alone.in_all("a", 9.0) == "rendering clip"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"a": 1}', '{"a": [{"evaluations": 0, "seconds": 1}]}',
     '{"a": [{"evaluations": 1, "seconds": NaN}]}', '{"a": [{"seconds": 1}]}', "[" * 100_000],
)  # fmt: skip
def test_damaged_file(tmp_path: Path, text: str) -> None:
    """As if nothing was measured; the next measurements replace it, several at a time as well."""
    (tmp_path / FILE_NAME).write_text(text)
    speeds = Speeds(tmp_path, CPU)
    assert speeds.estimate("a", 1) is None
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(speeds.note, "abcd", [1] * 4, [1.0, 2.0, 3.0, 4.0]))
    assert [speeds.estimate(work, 1) for work in "abcd"] == [1, 2, 3, 4]
    Speeds(tmp_path / FILE_NAME, CPU).note("a", 1, 1.0)  # which cannot be kept
