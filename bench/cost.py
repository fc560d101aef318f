"""Measure the cost of sitegen: the time of help and builds, and the memory of a build.

    python -m bench.cost [--count 360] [--json FILE]

Builds a copy of this repository's own site in a temporary folder, with an empty store. Memory is
the sum over sitegen and its child processes, sampled every 10 ms. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sitegen.cli import exits

ROOT = Path(__file__).resolve().parent.parent
EVERY = 0.01
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Run:
    """Duration of a command in seconds, and the peak memory of it and its children."""

    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Costs:
    """All measurements; `count` is the number of samples of the larger build."""

    count: int
    help_seconds: float
    cold_seconds: float
    warm_seconds: float
    peak_bytes: int
    larger_seconds: float
    larger_peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write JSON on request."""
    parser = argparse.ArgumentParser(prog="bench.cost", description="Measure what sitegen costs.")
    parser.add_argument("--count", type=int, default=360, help="samples of the larger build (360)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    options = parser.parse_args(arguments)
    costs = measure_costs(options.count)
    print(markdown(costs))
    if options.json:
        options.json.write_text(json.dumps(asdict(costs), indent=2) + "\n", encoding="utf-8")


def measure_costs(count: int) -> Costs:
    """Run help, the site's own build cold and warm, and a build with `count` samples."""
    with tempfile.TemporaryDirectory() as temporary:
        site, larger = Path(temporary, "site"), Path(temporary, "larger")
        copy_site(site, None)
        copy_site(larger, count)
        # The first start also compiles bytecode, so it does not count.
        helps = [sitegen(site, "--help").seconds for _ in range(11)][1:]
        cold = sitegen(site, "build")
        warm = [sitegen(site, "build").seconds for _ in range(5)]
        large = sitegen(larger, "build")
    return Costs(
        count=count,
        help_seconds=statistics.median(helps),
        cold_seconds=cold.seconds,
        warm_seconds=statistics.median(warm),
        peak_bytes=cold.peak_bytes,
        larger_seconds=large.seconds,
        larger_peak_bytes=large.peak_bytes,
    )


def markdown(costs: Costs) -> str:
    """Return the measurements as a table, with their limits."""
    mega, larger = 1_000_000, f"a build with {costs.count} samples"
    rows = [
        ("`sitegen --help`, median of 10", f"{costs.help_seconds:.2f} s", "≤ 0.25 s"),
        ("`sitegen build`, cold", f"{costs.cold_seconds:.1f} s", "≤ 60 s"),
        ("`sitegen build`, warm, median of 5", f"{costs.warm_seconds:.2f} s", "≤ 1 s"),
        ("peak memory of the cold build", f"{costs.peak_bytes / mega:.0f} MB", "≤ 1500 MB"),
        (larger, f"{costs.larger_seconds:.1f} s", ""),
        (f"peak memory of {larger}", f"{costs.larger_peak_bytes / mega:.0f} MB", "about the same"),
    ]
    head = (f"on {os.cpu_count()} cores", "measured", "limit")
    lines = [head, ("---", "---", "---"), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def copy_site(folder: Path, count: int | None) -> None:
    """Copy the repository's own site; every clip gets `count` samples if that is given."""
    folder.mkdir()
    shutil.copy(ROOT / "site.toml", folder)
    shutil.copytree(ROOT / "pages", folder / "pages")
    if count is not None:
        for page in (folder / "pages").rglob("*.md"):
            page.write_text(re.sub(r"\bcount=\d+", f"count={count}", page.read_text("utf-8")))


def sitegen(folder: Path, *arguments: str) -> Run:
    """Run sitegen in `folder`; raises SystemExit with its output if it fails."""
    return run([sys.executable, "-m", "sitegen", *arguments], folder)


def run(command: Sequence[str], folder: Path) -> Run:
    """Run a command, and watch the memory of its process and all child processes."""
    start, peak = time.perf_counter(), 0
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                peak = max(peak, resident(process.pid))
                time.sleep(EVERY)
        finally:
            process.terminate()
        seconds = time.perf_counter() - start
        if process.returncode != 0:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)}: exit {process.returncode}\n{output.read()}")
    return Run(seconds, peak)


def resident(process: int) -> int:
    """Return the bytes of memory of a process and its descendants; 0 after it has ended."""
    folder = Path("/proc", str(process))
    try:
        pages = int((folder / "statm").read_text().split()[1])
        children = [
            int(child)
            for task in (folder / "task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * _PAGE + sum(resident(child) for child in children)


if __name__ == "__main__":
    exits.run(main)
