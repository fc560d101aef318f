"""Estimates come from measurements of the same model, device and precision, or are not made."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sitegen.builder.timings import FILE_NAME, Eta, Speeds
from sitegen.core.compute import ComputeTarget
from tests.support.builders import CPU, INDEX, Builder, write_page, write_site


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


def test_countdown() -> None:
    """It tells which figure of how many begins, and the time for all that are not finished."""
    left = Eta(["a", "b", "c"], {"a": 60.0, "b": 240.0, "c": None}, 2)
    assert left.title("b", "clip") == "figure 2 of 3 (2 min left in all): clip"
    left.done("b")
    left.done("c")
    assert left.title("c", "clip") == "figure 3 of 3 (30 s left in all): clip"
    left.done("a")
    assert left.title("c", "clip") == "figure 3 of 3: clip"
    assert Eta(["a"], {}, 1).title("a", "clip") == "rendering clip"


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
