"""The benchmark of builds: what it changes, counts and reads, and the table that it makes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench import build
from bench.build import Builds, Run, change_caption, change_noise, change_seed, estimated, markdown
from bench.counting import constant_between, operations
from sitegen.core.progress import duration
from sitegen.generative.checkpoints.loading import load_model
from tests.support.builders import environment
from tests.support.paths import ROOT
from tests.support.tinymodel import LEVELS, write_cascade, write_model

PAGE = 'Words.\n\n{{ trajectories("tiny", count=2, fps=2.0, caption="Two.") }}\n'
SITE = 'title = "A"\n[models.tiny]\npath = "models/tiny"\n'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with a model that can be sampled."""
    folder = tmp_path / "site"
    (folder / "pages").mkdir(parents=True)
    (folder / "site.toml").write_text(SITE)
    (folder / "pages" / "index.md").write_text(PAGE)
    write_model(folder / "models" / "tiny", sampling_noise_std=0.01)
    return folder


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (change_caption, 'caption="Once more: Two."'),
        (change_seed, '{{ trajectories("tiny", seed=4711, count=2'),
    ],
)
def test_changes_of_a_page(site: Path, change: Callable[[Path], None], line: str) -> None:
    """One caption or seed becomes another, once; a page without any is told."""
    change(site)
    assert line in (site / "pages" / "index.md").read_text()
    (site / "pages" / "index.md").write_text("Words.\n")
    with pytest.raises(SystemExit, match="no page has"):
        change(site)


def test_change_of_a_model(site: Path) -> None:
    """The card has another δ, which hardly changes a picture; a model that says none is told."""
    card = site / "models" / "tiny" / "model.toml"
    change_noise(site, "tiny")
    assert "sampling_noise_std = 0.010005\n" in card.read_text()
    card.write_text("")
    with pytest.raises(SystemExit, match="names no sampling_noise_std"):
        change_noise(site, "tiny")


@pytest.mark.parametrize("seconds", [0, 7, 98, 100, 540, 3661, 12_000])
def test_estimates_are_read(seconds: float) -> None:
    """What `--dry-run` says of all figures is read as it writes it, or of the only one."""
    line = f"would render a (index.md:3), 42 steps, about {duration(1234)}\n"
    told = f"{line}{line}all of it: about {duration(seconds)}\nfigures: 0 rendered"
    assert estimated(told) == pytest.approx(seconds, abs=31)
    assert estimated(line) == pytest.approx(1234, abs=31)
    assert estimated("figures: 0 rendered") is None


@pytest.mark.parametrize("ends", [(1,), (50, 100), (1, 2, 100), (37, 57, 100)])
def test_costs_of_bands(ends: tuple[int, ...]) -> None:
    """Every level has the cost of its band, and few levels are asked for."""
    truth = {level: sum(level > end for end in ends) for level in range(1, ends[-1] + 1)}
    asked: list[int] = []

    def cost(level: int) -> int:
        asked.append(level)
        return truth[level]

    assert constant_between(cost, ends[-1]) == truth
    assert len(asked) <= 2 + 7 * len(ends)


def test_operations_are_those_of_the_band(tmp_path: Path) -> None:
    """They are counted with torch's operators, though an engine may compute, which stays there."""
    model = load_model(write_cascade(tmp_path))
    model.engines[0] = lambda x, levels: x
    costs = [operations(model, level) for level in range(1, model.card.levels + 1)]
    assert len({*costs}) == len(model.card.networks)
    assert 0 in model.engines
    states = torch.zeros(1, *model.card.shape)
    del model.engines[0]
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter, torch.no_grad():
        model(states, 1)
    assert costs[0] == counter.get_total_flops()


@pytest.mark.parametrize(("checkout", "card"), [(True, "ours"), (False, "theirs")])
def test_whose_models(checkout: bool, card: str, tmp_path: Path) -> None:
    """The page of a checkout is built with each sitegen's own models; an author's site has its."""
    folders = {"ours": tmp_path / "ours/models/one", "theirs": tmp_path / "site/models/one"}
    for words, folder in folders.items():
        folder.mkdir(parents=True)
        (folder / "model.toml").write_text(words)
    (tmp_path / "site/site.toml").write_text("")
    if checkout:
        (tmp_path / "site/sitegen").mkdir()
    build.copy_site(tmp_path / "site", tmp_path / "ours/models", tmp_path / "copy")
    assert (tmp_path / "copy/models/one/model.toml").read_text() == card


def test_counting(site: Path, tmp_path: Path) -> None:
    """A build tells how many images its networks saw, a warm one none; a failure its status."""
    file = tmp_path / "counted.json"

    def run(*words: str) -> dict[str, float]:
        command = [sys.executable, ROOT / "bench" / "counting.py", file, *words]
        told = environment(PYTHONPATH=str(ROOT))
        subprocess.run([*map(str, command)], cwd=site, env=told, capture_output=True, check=False)
        values: dict[str, float] = json.loads(file.read_text())
        return values

    cold, warm = run("build"), run("build")
    assert (cold["status"], warm["status"]) == (0, 0)
    assert (cold["evaluations"], warm["evaluations"]) == (2 * LEVELS, 0)
    assert cold["gflop"] > 0 == warm["gflop"]
    assert 0 < warm["cpu_seconds"] < cold["cpu_seconds"]
    assert warm["sampling_seconds"] == 0 < cold["sampling_seconds"] < cold["seconds"]
    assert run("build", "--config", "nowhere.toml")["status"] == 2


def test_table() -> None:
    """Every case of every sitegen has its line; estimates stand beside the truth."""
    runs = {case: Run(2.0, 3.0, 1.5, 1000, 12.5, 4_000_000) for case in build.CASES}
    slow = {case: Run(9.0, 9.0, 8.1, 2000, 99.0, 5_000_000) for case in build.CASES}
    told = markdown([Builds("this", 2.2, runs), Builds("old", None, slow)]).splitlines()
    assert told[2] == "| cold | this | 2.00 | 3.00 | 25% | 1,000 | 12 | 4.0 |"
    assert sum(line.startswith("| ") for line in told) == 2 + 2 * len(build.CASES)
    assert "this: --dry-run said 2 s, and it took 2 s (1.10)" in told
    assert told[-2:] == ["old: --dry-run estimates nothing", "cold, times as fast: 4.5"]
