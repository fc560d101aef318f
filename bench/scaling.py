"""Measure how the cost of a build grows: time and peak memory against the size of the request.

    python -m bench.scaling [--only samples levels …] [--picture FOLDER] [--json FILE]

A site with a minimal model of random weights is built cold, once for each size of one of four
things: samples of a figure, levels of the model, pixels per side of its images, and figures of the
page. Time is CPU time, of all cores and with the encoder, so that other programs matter little.
Memory is the peak of sitegen and its child processes, sampled every 10 ms. Work is counted in
pixels that the network sees, so a straight line through the times means linear. A network for twice
the side has one more halving, as published ones do, so that the input of attention, whose cost is
quadratic in its pixels, keeps its size. `--picture` writes a drawing of each into that folder.
Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log, log2
from pathlib import Path

from safetensors.torch import load_file, save

from bench.cost import run
from sitegen.cli import exits
from sitegen.figures.svg import Axis, Drawing, Panel, element, even_ticks, group, path
from tests.support.tinymodel import write_model

COLOURS = "#334279", "#b0472d"
ATTENDED = 16
"""Side of the input of the network's attention, unless the images are smaller."""


@dataclass(frozen=True)
class Size:
    """Request: figures, with samples of a model, with these levels and side."""

    figures: int = 1
    samples: int = 4
    levels: int = 25
    side: int = 16

    @property
    def work(self) -> float:
        """Thousands of pixels that the network sees."""
        return self.figures * self.samples * self.levels * self.side**2 / 1e3


SERIES: Mapping[str, tuple[Size, ...]] = {
    "samples": tuple(Size(samples=each) for each in (1, 10, 100, 300, 1000)),
    "levels": tuple(Size(samples=40, levels=each) for each in (25, 50, 100, 200, 400)),
    "side": tuple(Size(samples=8, side=each) for each in (16, 32, 64, 128)),
    "figures": tuple(Size(figures=each) for each in (1, 3, 10, 30, 100)),
}
WORDS = {
    "samples": "samples of a figure",
    "levels": "levels of the model",
    "side": "pixels a side",
    "figures": "figures of the page",
}


@dataclass(frozen=True)
class Cost:
    """CPU seconds of a cold build, and its peak memory in bytes."""

    size: Size
    seconds: float
    peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, and write the files requested."""
    parser = argparse.ArgumentParser(prog="bench.scaling", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=[*SERIES], default=[*SERIES], metavar="WHAT")
    parser.add_argument("--picture", type=Path, metavar="FOLDER", help="draw them there as SVG")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    options = parser.parse_args(arguments)
    found: dict[str, list[Cost]] = {}
    for name in options.only:
        found[name] = [measure(size) for size in SERIES[name]]
        print(markdown(name, found[name]), flush=True)
        if options.picture:
            text = chart(name, found[name]).text()
            (options.picture / f"scaling-{name}.svg").write_text(f"{text}\n", encoding="utf-8")
    if options.json:
        told = {name: [asdict(cost) for cost in costs] for name, costs in found.items()}
        options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def measure(size: Size) -> Cost:
    """Build a site of that size in a temporary folder."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "site")
        write(folder, size)
        before = _children_seconds()
        built = run([sys.executable, "-m", "sitegen", "build"], folder)
        return Cost(size, _children_seconds() - before, built.peak_bytes)


def write(folder: Path, size: Size) -> None:
    """Write the site and its model."""
    (folder / "pages").mkdir(parents=True)
    text = 'title = "A"\n[models.tiny]\npath = "models/tiny"\n'
    (folder / "site.toml").write_text(text, encoding="utf-8")
    calls = (
        f'{{{{ trajectories("tiny", count={size.samples}, seed={seed}) }}}}'
        for seed in range(size.figures)
    )
    (folder / "pages" / "index.md").write_text("\n\n".join(calls) + "\n", encoding="utf-8")
    model = write_model(
        folder / "models" / "tiny",
        pinned=False,
        levels=size.levels,
        image_size=size.side,
        channel_mult=(1,) * (1 + round(log2(max(size.side / ATTENDED, 1)))),
    )
    quieten(model / "weights.safetensors")


def quieten(weights: Path) -> None:
    """Scale a network's output to almost 0, so that states stay in [0, 1] for all levels."""
    tensors = load_file(weights)
    for name in ("out.2.weight", "out.2.bias"):
        tensors[name] = tensors[name] * 1e-4
    weights.write_bytes(save(tensors))


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def curvature(costs: Sequence[Cost]) -> float:
    """Return the exponent of the growth of time with work, above the fixed cost; 1 is linear.

    The fixed cost is the time of the first build; the last two builds give the exponent.
    """
    base = min(cost.seconds for cost in costs[:2])
    middle, last = costs[-2], costs[-1]
    grown = max(last.seconds - base, 1e-9), max(middle.seconds - base, 1e-9)
    work = last.size.work - costs[0].size.work, middle.size.work - costs[0].size.work
    return log(grown[0] / grown[1]) / log(work[0] / work[1])


def markdown(name: str, costs: Sequence[Cost]) -> str:
    """Return the numbers of one series as a table."""
    lines = [
        f"| {WORDS[name]} | work | seconds of the processor | peak memory, MB |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for cost in costs:
        what = getattr(cost.size, name)
        lines.append(
            f"| {what:,} | {cost.size.work / costs[0].size.work:,.0f} | {cost.seconds:.1f} "
            f"| {cost.peak_bytes / 1e6:.0f} |"
        )
    return "\n".join([*lines, "", f"time grows with the work to the power {curvature(costs):.2f}"])


def chart(name: str, costs: Sequence[Cost]) -> Drawing:
    """Draw time and memory over the work, one above the other, each from zero."""
    series = (
        ("CPU seconds", [cost.seconds for cost in costs]),
        ("Peak memory, MB", [cost.peak_bytes / 1e6 for cost in costs]),
    )
    parts = [
        part for at, (title, ys) in enumerate(series) for part in _plot(name, costs, at, title, ys)
    ]
    told = ", ".join(
        f"{getattr(cost.size, name):,}: {cost.seconds:.1f} s, {cost.peak_bytes / 1e6:.0f} MB"
        for cost in costs
    )
    title = f"Cost of a build by {WORDS[name]}; the horizontal axis is linear in the work. {told}."
    return Drawing(480, 500, 640, title, group(*parts))


def _plot(
    name: str, costs: Sequence[Cost], at: int, title: str, ys: Sequence[float]
) -> list[object]:
    """Draw one of two panels: the measurements as dots, joined by lines."""
    work = [cost.size.work / costs[-1].size.work for cost in costs]
    ticks = [(x, f"{getattr(cost.size, name):,}") for x, cost in zip(work, costs, strict=True)]
    apart = [ticks[0], *(tick for tick in ticks[1:] if tick[0] > 0.08)]
    most = max(ys) * 1.15
    across = Axis(WORDS[name].capitalize(), 0, 1.05, tuple(apart))
    panel = Panel(74, 16 + 250 * at, 380, 170, across, Axis(title, 0, most, even_ticks(0, most)))
    places = [panel.at(x, y) for x, y in zip(work, ys, strict=True)]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = [
        element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=4, fill=COLOURS[at]) for x, y in places
    ]
    return [panel.axes(), path(line, fill="none", stroke=COLOURS[at], stroke_width=2), *dots]


if __name__ == "__main__":
    exits.run(main)
