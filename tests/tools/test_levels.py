"""The levels that a model visits: errors of jumps, and the cheapest path of a given cost."""

from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recipes import levels
from recipes.levels import best_levels, jump_errors, level_costs
from sitegen.generative.card.sampling import SamplingConfig
from sitegen.generative.card.tables import DiffusionConfig
from sitegen.generative.checkpoints.loading import load_model
from sitegen.generative.maths.noise import independent
from sitegen.generative.process.protocol import process_of, reverse_process
from sitegen.models.browser import export_for_browser
from sitegen.models.registry import model_source
from sitegen.sampling.models import Sampler
from tests.support.lessons import cascade, images
from tests.support.making import process_with, small_card
from tests.support.paths import ROOT
from tests.support.tinymodel import write_cascade


@pytest.mark.parametrize("budget", [2.0, 3.5, 6.0, 11.0])
def test_path_is_the_best_of_all(budget: float) -> None:
    """Of all paths within the budget none has a smaller sum of errors."""
    generator = np.random.default_rng(1)
    errors, costs = generator.random((9, 9)), generator.random(9) * 2
    costs[0] = 0
    sums = {}
    for count in range(8):
        for between in combinations(range(7, 0, -1), count):
            path = 8, *between
            if costs[list(path)].sum() <= budget:
                sums[path] = sum(errors[pair] for pair in pairwise((*path, 0)))
    assert best_levels(errors, costs, budget) == min(sums, key=lambda path: sums[path])


def test_errors_of_jumps() -> None:
    """A jump costs the distances of its prediction from those at the levels that it skips."""
    model = cascade()
    sampling = replace(model.card.sampling or SamplingConfig(), levels=(8, 6, 5, 3, 2))
    model.card = replace(model.card, sampling=sampling)
    starts = images(32).float() / 255
    process = process_of(model)
    prior = SimpleNamespace(initial_states=lambda _, samples, _labels: starts[list(samples)])
    errors = jump_errors(Sampler(process, prior=prior), 3, 32)

    predicted, state = {}, starts
    for step, level in zip(
        reverse_process(model, starts, independent(3, range(32), (1, 8, 8))),
        process.levels,
        strict=False,
    ):
        predicted[level], state = model(state, level, 0).clamp(0, 1), step.state
    for level, below in combinations(process.levels[:-1], 2):
        skipped = [other for other in predicted if below < other < level]
        distances = ((predicted[other] - predicted[level]).square().sum() for other in skipped)
        assert errors[level, below] == pytest.approx(float(sum(distances)) / 32, rel=1e-4)
    assert errors[2, 0] == 0
    assert np.isinf(errors[[8, 7, 4, 3], [7, 0, 3, 0]]).all()


def test_errors_of_a_diffusion_model() -> None:
    """Steps of a DDPM have errors, too, which grow with the levels that they skip."""
    card = small_card(kind="ddpm", diffusion=DiffusionConfig("cosine"))
    errors = jump_errors(Sampler(process_with(card)), 3, 4)
    assert errors[8, 7] == 0
    assert (np.diff(errors[8, 7:0:-1]) > 0).all()


@pytest.mark.parametrize("name", ["mnist", "faces"])
def test_costs_of_a_shipped_model(name: str) -> None:
    """A level costs what its network takes by the description for browsers, and the cosines.

    The cosines are products of matrices, of which newer versions of torch count more.
    """
    source = model_source(name, ROOT / "models" / name)
    process = process_of(load_model(source.weights, source.card))
    networks = export_for_browser(source.card, source.weights, source.prior).gflop
    costs = level_costs(process)
    assert 0.99 * networks < costs.sum() < 1.1 * networks
    assert costs[0] == 0


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes a model for each budget: the same weights, with levels that take no more."""
    model, new = write_cascade(tmp_path / "model"), tmp_path / "new"
    options = f"--budgets 0.01 0.02 --last 3 --starts 2 --output {new}".split()
    monkeypatch.setattr("sys.argv", ["levels", str(model), *options])
    levels.main()
    for budget in (0.01, 0.02):
        source = model_source("new", new / str(budget))
        visited = source.card.visited_levels
        assert (visited[0], visited[-1]) == (8, 0)
        assert visited[-2] == 3
        process = process_of(load_model(source.weights, source.card))
        assert 0 < level_costs(process).sum() <= budget
