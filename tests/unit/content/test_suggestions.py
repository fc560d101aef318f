"""Calls to paste are of every kind whose needs the model meets."""

import re
from pathlib import Path

from sitegen.content.suggestions import figure_calls, trained_lines
from sitegen.figures.registry import figure_kinds
from tests.support.making import small_card
from tests.support.tinymodel import write_model


def test_calls(tmp_path: Path) -> None:
    """Each call is of a kind that the model can show, with its name and label."""
    card = small_card()
    calls = figure_calls("birds", card, label='"A"')
    kinds = [re.match(r"\{\{ (\w+)\(", call)[1] for call in calls]  # type: ignore[index]
    assert {"trajectories", "interpolation"} <= set(kinds) <= set(figure_kinds())
    assert all(call.endswith(r', label="\"A\"") }}') for call in calls)
    assert all(card.abilities.issuperset(figure_kinds()[kind].needs) for kind in kinds)
    write_model(tmp_path / "runs/birds")
    lines = trained_lines("birds", tmp_path / "runs/birds", tmp_path)
    assert '    path = "runs/birds"' in lines
    assert any(line.startswith('{{ trajectories("birds"') for line in lines)
