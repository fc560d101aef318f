"""The benchmark of how cost grows: what it builds, how it tells a line from a curve, its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.scaling import SERIES, WORDS, Cost, Size, chart, curvature, markdown, measure, write
from sitegen.builder.context import BuildOptions, prepare
from sitegen.config.loader import load_site
from tests.support.builders import CPU


def costs(power: float, name: str = "samples") -> list[Cost]:
    """What the sizes of a series cost if time grew with that power of the work."""
    return [Cost(size, 2 + size.work**power / 50, 300_000_000) for size in SERIES[name]]


@pytest.mark.parametrize("name", SERIES)
def test_sizes(name: str, tmp_path: Path) -> None:
    """Each series changes one thing, over the whole range that is asked about; the site is that."""
    sizes = SERIES[name]
    asked = {"samples": (1, 1000), "levels": (25, 400), "side": (16, 128), "figures": (1, 100)}
    assert (getattr(sizes[0], name), getattr(sizes[-1], name)) == asked[name]
    write(tmp_path / "site", sizes[1])
    context = prepare(load_site(tmp_path / "site" / "site.toml"), BuildOptions(CPU))
    card = context.models["tiny"].card
    evaluations = sum(sum(planned.evaluations) for planned in context.figures)
    assert evaluations * card.image_size**2 / 1e3 == sizes[1].work
    assert len(context.figures) == sizes[1].figures


@pytest.mark.parametrize("name", SERIES)
def test_lines_and_curves(name: str) -> None:
    """Linear growth is told from quadratic growth, whatever a build takes that does nothing."""
    assert curvature(costs(1, name)) == pytest.approx(1, abs=0.05)
    assert curvature(costs(2, name)) > 1.7


@pytest.mark.parametrize("name", SERIES)
def test_what_is_told(name: str) -> None:
    """Every size has its line in the table and its dot in both halves of the drawing."""
    found = costs(1, name)
    table = markdown(name, found).splitlines()
    assert table[0].startswith(f"| {WORDS[name]} |")
    assert len([line for line in table if line.startswith("| ")]) == 2 + len(found)
    text = chart(name, found).text()
    assert text.count("<circle") == 2 * len(found)
    assert "2.0 s, 300 MB" in text or "300 MB" in text


def test_measuring(tmp_path: Path) -> None:
    """A site is built; its seconds and its memory are told."""
    cost = measure(Size(samples=1, levels=2, side=8))
    assert cost.seconds > 0.5
    assert cost.peak_bytes > 100_000_000
