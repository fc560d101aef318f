"""Estimates come from measurements of the same model, device and precision, or are not made."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sitegen.builder.context import BuildOptions, prepare
from sitegen.builder.plan import PlannedFigure
from sitegen.builder.timings import FILE_NAME, Eta, Speeds
from sitegen.core.compute import ComputeTarget
from tests.support.builders import CPU, INDEX, Builder, write_page, write_site

PAGE = "\n\n".join(f'{{{{ trajectories("tiny", count={n}) }}}}' for n in (1, 4, 8, 64))


@pytest.fixture
def figures(tmp_path: Path) -> tuple[PlannedFigure, ...]:
    """Figures of 1, 4, 8 and 64 samples over 4 levels."""
    return prepare(write_site(tmp_path / "site", PAGE), BuildOptions(CPU)).figures


def test_estimates(tmp_path: Path, figures: tuple[PlannedFigure, ...]) -> None:
    """Estimates go by the nearest figure noted last; a dry run tells them and their sum."""
    assert Speeds(tmp_path, CPU).estimate(figures[0]) is None
    assert not (tmp_path / FILE_NAME).exists()
    Speeds(tmp_path, CPU).note(figures[1], 10.0)
    assert [Speeds(tmp_path, CPU).estimate(planned) for planned in figures] == [2.5, 10, 20, 160]
    speeds = Speeds(tmp_path / "more", CPU)
    speeds.note(figures[0], 8.0)  # a sample alone is dear
    speeds.note(figures[3], 64.0)
    assert [speeds.estimate(planned) for planned in figures] == [8, 32, 64 / 64 * 8, 64]
    speeds.note(figures[3], 32.0)
    assert speeds.estimate(figures[3]) == 32
    for _ in range(20):
        speeds.note(figures[1], 7.0)
    assert (tmp_path / "more" / FILE_NAME).read_text().count("seconds") == 8
    site = Builder(write_site(tmp_path / "site", INDEX.replace("count=4", "count=100")))
    site(dry_run=True)
    assert site.report.lines[0].endswith("400 evaluations of a network, about 4 s")
    assert site.report.lines[1] == "all of it: about 7 s"
    write_page(site.config, INDEX)
    site()
    path = site.root / ".sitegen" / FILE_NAME
    kept = json.loads(path.read_text())
    ((key, (measured,)),) = [item for item in kept.items() if item[0].startswith("traj")]
    assert measured["evaluations"] == 16
    assert 0 < measured["seconds"] < 60
    path.write_text(json.dumps({key: [{"evaluations": 10**400, "seconds": 45}]}))
    write_page(site.config, INDEX.replace("count=4", "count=8"))
    assert site(dry_run=True).missing
    path.write_text(json.dumps({key: [{"evaluations": 16, "seconds": 45}]}))
    write_page(site.config, INDEX.replace("count=4", "count=8"))
    site(dry_run=True)
    assert site.report.lines[0].endswith("32 evaluations of a network, about 90 s")
    write_page(site.config, PAGE.replace("count=4", "count=5"))
    site(dry_run=True)
    assert len(site.report.lines) == 5
    assert site.report.lines[-1] == "all of it: about 15 min"


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


def test_countdown(figures: tuple[PlannedFigure, ...]) -> None:
    """It tells which figure of how many begins, and the time for all, mended by those done."""
    estimates = {each.request_digest: 60.0 for each in figures}
    left = Eta(figures, estimates, 1)
    assert left.title(figures[1]) == "figure 2 of 4 (4 min left in all): tiny-trajectories-2"
    left.done(figures[0], 140.0)
    assert left.title(figures[1]) == "figure 2 of 4 (5 min left in all): tiny-trajectories-2"
    small = {each.request_digest: 0.1 if each == figures[0] else 60.0 for each in figures}
    left = Eta(figures, small, 1)
    left.done(figures[0], 5.0)  # what it begins with, not what others take
    assert left.title(figures[1]) == "figure 2 of 4 (3 min left in all): tiny-trajectories-2"
    left = Eta(figures, {}, 1)
    left.done(figures[0], 1.0)
    assert left.title(figures[1]) == "figure 2 of 4: tiny-trajectories-2"
    assert Eta(figures[:1], {}, 1).title(figures[0]) == "rendering tiny-trajectories"


def test_what_is_apart(tmp_path: Path) -> None:
    """Another device, precision, kind or model says nothing; GPUs of a machine are alike."""
    page = '{{ trajectories("tiny", count=4) }}\n\n{{ interpolation("tiny", samples=[0, 1]) }}\n'
    one, other = prepare(write_site(tmp_path / "site", page), BuildOptions(CPU)).figures
    speeds = Speeds(tmp_path, CPU)
    speeds.note(one, 8.0)
    for target in (ComputeTarget("cuda", "float32"), ComputeTarget("cpu", "bfloat16")):
        assert Speeds(tmp_path, target).estimate(one) is None
        Speeds(tmp_path, target).note(one, 2.0)
        second = replace(target, device=target.device.replace("cuda", "cuda:1"))
        assert Speeds(tmp_path, second).estimate(one) == 2.0
    assert speeds.estimate(other) is None
    speeds.note(other, 100.0)
    assert (speeds.estimate(one), speeds.estimate(other)) == (8.0, 100.0)
    changed = replace(one, models=(replace(one.models[0], sha256="f" * 64),))
    assert speeds.estimate(changed) is None
    speeds.note(replace(one, models=()), 1.0)
    assert speeds.estimate(replace(one, models=())) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"a": 1}', '{"a": [{"evaluations": 0, "seconds": 1}]}',
     '{"a": [{"evaluations": 1, "seconds": NaN}]}', '{"a": [{"seconds": 1}]}', "[" * 100_000],
)  # fmt: skip
def test_damaged_file(tmp_path: Path, figures: tuple[PlannedFigure, ...], text: str) -> None:
    """As if nothing was measured; the next measurements replace it, several at a time as well."""
    (tmp_path / FILE_NAME).write_text(text)
    speeds = Speeds(tmp_path, CPU)
    assert speeds.estimate(figures[0]) is None
    speeds.note(figures[0], 1.0)
    assert speeds.estimate(figures[0]) == 1.0
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(speeds.note, figures, [1.0, 2.0, 3.0, 4.0]))
    assert [speeds.estimate(planned) for planned in figures] == [1, 2, 3, 4]
    Speeds(tmp_path / FILE_NAME, CPU).note(figures[0], 1.0)  # which cannot be kept
