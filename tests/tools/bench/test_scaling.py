"""The benchmark of how cost grows: what it builds, and how it tells a line from a curve."""

from pathlib import Path

import pytest

from bench.cost import Run
from bench.scaling import SERIES, Size, exponent, markdown, write
from sitegen.builder.plan import BuildOptions, prepare
from sitegen.config.schema import load_site
from tests.support.builders import CPU


def runs(power: float, name: str) -> list[tuple[Size, Run]]:
    """What the sizes of a series cost if time grew with that power of the work."""
    return [(size, Run(1.0, 2 + size.work**power / 50, 300_000_000)) for size in SERIES[name]]


@pytest.mark.parametrize("name", SERIES)
def test_sizes(name: str, tmp_path: Path) -> None:
    """The site of a size asks for as many evaluations as its work says."""
    size = SERIES[name][1]
    write(tmp_path / "site", size)
    context = prepare(load_site(tmp_path / "site" / "site.toml"), BuildOptions(CPU))
    card = context.models["tiny"].card
    evaluations = sum(sum(planned.evaluations) for planned in context.figures)
    assert evaluations * card.image_size**2 / 1e3 == size.work


@pytest.mark.parametrize("name", SERIES)
def test_lines_and_curves(name: str) -> None:
    """Linear growth is told from quadratic growth, and every size has its row."""
    assert exponent(runs(1, name)) == pytest.approx(1, abs=0.05)
    assert exponent(runs(2, name)) > 1.7
    table = markdown(name, runs(1, name)).splitlines()
    assert len([line for line in table if line.startswith("| ")]) == 2 + len(SERIES[name])
