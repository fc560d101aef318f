"""Measure how the cost of a build grows: time and peak memory against the size of the request.

    python -m bench.scaling [--only samples levels …] [--json FILE]

A site with a minimal model of random weights is built cold, once for each size of one of four
things: samples of a figure, levels of the model, pixels per side of its images, and figures of the
page. Time is CPU time, of all cores and with the encoder, so that other programs matter little.
Memory is the peak of sitegen and its child processes. Work is counted in pixels that the network
sees. A network for twice the side has one more halving, as published ones do, so that the input of
attention, whose cost is quadratic in its pixels, keeps its size. Linux only.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log, log2
from pathlib import Path

from safetensors.torch import load_file, save

from bench.cost import Run, sitegen
from sitegen.cli import exits
from tests.support.tinymodel import write_model

ATTENTION_SIDE = 16
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
    "samples": tuple(Size(samples=count) for count in (1, 10, 100, 300, 1000)),
    "levels": tuple(Size(samples=40, levels=levels) for levels in (25, 50, 100, 200, 400)),
    "side": tuple(Size(samples=8, side=side) for side in (16, 32, 64, 128)),
    "figures": tuple(Size(figures=count) for count in (1, 3, 10, 30, 100)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, and write JSON on request."""
    parser = argparse.ArgumentParser(prog="bench.scaling", description="Measure how cost grows.")
    parser.add_argument("--only", nargs="+", choices=[*SERIES], default=[*SERIES], metavar="WHAT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    options = parser.parse_args(arguments)
    series = {}
    for name in options.only:
        series[name] = [(size, measure(size)) for size in SERIES[name]]
        print(markdown(name, series[name]), flush=True)
    if options.json:
        rows = {
            name: [asdict(size) | asdict(run) for size, run in runs]
            for name, runs in series.items()
        }
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def measure(size: Size) -> Run:
    """Build a site of this size, cold."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "site")
        write(folder, size)
        return sitegen(folder, "build", "--device", "cpu")


def write(folder: Path, size: Size) -> None:
    """Write a site of this size, without media."""
    (folder / "pages").mkdir(parents=True)
    (folder / "site.toml").write_text('title = "A"\n[models.tiny]\npath = "models/tiny"\n')
    calls = (
        f'{{{{ trajectories("tiny", count={size.samples}, seed={seed}) }}}}'
        for seed in range(size.figures)
    )
    (folder / "pages" / "index.md").write_text("\n\n".join(calls) + "\n")
    halvings = round(log2(max(size.side / ATTENTION_SIDE, 1)))
    model = write_model(
        folder / "models" / "tiny",
        pinned=False,
        levels=size.levels,
        image_size=size.side,
        channel_mult=(1,) * (1 + halvings),
    )
    # The output of a random network is scaled to almost 0, so that no state diverges.
    weights = model / "weights.safetensors"
    tensors = load_file(weights)
    for name in ("out.2.weight", "out.2.bias"):
        tensors[name] = tensors[name] * 1e-4
    weights.write_bytes(save(tensors))


def exponent(runs: Sequence[tuple[Size, Run]]) -> float:
    """Return the exponent of the growth of time with work, above the time of the first build."""
    (first, _), *_, (middle, middle_run), (last, last_run) = runs
    base = min(run.cpu_seconds for _, run in runs[:2])
    growth = max(last_run.cpu_seconds - base, 1e-9) / max(middle_run.cpu_seconds - base, 1e-9)
    return log(growth) / log((last.work - first.work) / (middle.work - first.work))


def markdown(name: str, runs: Sequence[tuple[Size, Run]]) -> str:
    """Return a table of a series."""
    lines = [f"| {name} | work | seconds of processors | peak memory, MB |", "| ---: " * 4 + "|"]
    least = runs[0][0].work
    lines += [
        f"| {getattr(size, name):,} | {size.work / least:.0f} | {run.cpu_seconds:.1f} "
        f"| {run.peak_bytes / 1e6:.0f} |"
        for size, run in runs
    ]
    return "\n".join(
        [*lines, "", f"Time grows with the work to the power {exponent(runs):.2f}.", ""]
    )


if __name__ == "__main__":
    exits.run(main)
