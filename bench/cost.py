"""Measure the cost of sitegen: the time of help and builds, and the memory of a build.

    python -m bench.cost [--site FOLDER]

Builds a copy of a site, by default this repository's, cold, warm, with another caption, and
with another seed of its first `trajectories`. Memory is the sum over sitegen and its child
processes, sampled every 10 ms. Linux only.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.judging.report import table
from sitegen.cli import exits

ROOT = Path(__file__).resolve().parent.parent
INTERVAL_S = 0.01
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Run:
    """Wall-clock and CPU seconds of a command, and the peak memory of it and its children."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="bench.cost", description="Measure what sitegen costs.")
    parser.add_argument("--site", type=Path, default=ROOT, help="folder of site.toml and pages/")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        runs = measure(options.site, Path(temporary, "site"))
    print(markdown(runs))


def measure(site: Path, folder: Path) -> dict[str, Run]:
    """Run help and builds of a copy of the site in `folder`; return the runs by name."""
    copy_site(site, folder)
    changes: dict[str, Callable[[], None]] = {
        "another caption": lambda: replace_first(folder, r'\bcaption="', 'caption="Again: '),
        "another figure": lambda: replace_first(
            folder, r'\{\{ ?trajectories\("([\w-]+)"', r'{{ trajectories("\1", seed=4711'
        ),
    }
    sitegen(folder, "--help")  # compiles bytecode
    runs = {"help": middle([sitegen(folder, "--help") for _ in range(9)])}
    runs["cold"] = sitegen(folder, "build")
    runs["warm"] = middle([sitegen(folder, "build") for _ in range(5)])
    for name, change in changes.items():
        change()
        runs[name] = sitegen(folder, "build")
        print(f"{name}: {runs[name].seconds:.1f} s", file=sys.stderr, flush=True)
    return runs


def middle(runs: Sequence[Run]) -> Run:
    """Return the run of median duration, of an odd number."""
    return sorted(runs, key=lambda run: run.seconds)[len(runs) // 2]


def copy_site(site: Path, folder: Path) -> None:
    """Copy what an author wrote, and the models of this repository that the site lacks."""
    folder.mkdir()
    shutil.copy(site / "site.toml", folder)
    for name in ("pages", "pictures", "models", "checkpoints"):
        if (site / name).is_dir():
            shutil.copytree(site / name, folder / name)
    for model in (ROOT / "models").iterdir():
        if model.is_dir() and not (folder / "models" / model.name).exists():
            shutil.copytree(model, folder / "models" / model.name)


def replace_first(folder: Path, pattern: str, replacement: str) -> None:
    """Replace the first match in the pages; raises SystemExit if there is none."""
    for page in sorted((folder / "pages").rglob("*.md")):
        text, count = re.subn(pattern, replacement, page.read_text(encoding="utf-8"), count=1)
        if count:
            page.write_text(text, encoding="utf-8")
            return
    raise SystemExit(f"{folder}: no page has {pattern}")


def sitegen(folder: Path, *arguments: str) -> Run:
    """Run sitegen in `folder`; raises SystemExit with its output if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as for users
    command = [sys.executable, "-m", "sitegen", *arguments]
    return run(command, folder, environment)


def run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> Run:
    """Run a command, and watch the memory of its process and all child processes."""
    peak, before, start = 0, os.times(), time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                peak = max(peak, resident_bytes(process.pid))
                time.sleep(INTERVAL_S)
        finally:
            process.terminate()
        seconds, after = time.perf_counter() - start, os.times()
        if process.returncode != 0:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)}: exit {process.returncode}\n{output.read()}")
    cpu = after.children_user + after.children_system
    return Run(seconds, cpu - before.children_user - before.children_system, peak)


def resident_bytes(process: int) -> int:
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
    return pages * PAGE_BYTES + sum(map(resident_bytes, children))


def markdown(runs: dict[str, Run]) -> str:
    """Return the measurements as a table."""
    rows = [
        (name, f"{run.seconds:.2f}", f"{run.cpu_seconds:.2f}", f"{run.peak_bytes / 1e6:.0f}")
        for name, run in runs.items()
    ]
    return table((f"on {os.cpu_count()} cores", "seconds", "of processors", "MB"), rows)


if __name__ == "__main__":
    exits.run(main)
