"""Measure the cost of sitegen, and how it grows: samples, levels, pixels, workers, figures.

    python -m bench.cost [page samples levels pixels workers figures]

Each table is one run of commands in turn, start-up included, so compare its ratios. `page` starts
help and builds this repository's page. `pixels` gives the network of `faces-ddpm` noise of other
sizes: its pictures mean nothing, its arithmetic is that of a model of the size. `workers` needs
dask's extra. Memory is the sum over sitegen and its child processes, sampled every 10 ms.
Linux only.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.judging.report import table
from sitegen.cli import exits

ROOT = Path(__file__).resolve().parent.parent
INTERVAL_S = 0.01
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

COUNTS = (1, 6, 24, 96)
STEPS = (5, 10, 20, 30)
SIDES = (16, 32, 64, 128)
WORKERS = {
    "1 figure at once": ("--jobs", "1"),
    "2 figures at once": ("--jobs", "2"),
    "4 figures at once": ("--jobs", "4"),
    "2 dask workers": ("--jobs", "2", "--distributed", "local"),
}
FIGURES = 200
OTHERS = 10
"""Figures of another model on the page of `FIGURES`, which the last build changes."""
REPETITIONS = 3
"""Runs of a command that changes nothing, of which the fastest counts."""

SITE = """title = "Scaling"
lead = "A page of many figures."
[models.mnist]
path = "models/mnist"
[models.mnist-ddpm]
path = "models/mnist-ddpm"
[models.faces]
path = "models/faces"
"""


@dataclass(frozen=True)
class Run:
    """Wall-clock and CPU seconds of a command, and the peak memory of it and its children."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table of each kind."""
    tables: dict[str, Callable[[Path], Iterator[tuple[str, Run]]]] = {
        "page": page,
        "samples": samples,
        "levels": levels,
        "pixels": pixels,
        "workers": workers,
        "figures": figures,
    }
    parser = argparse.ArgumentParser(prog="bench.cost", description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", default=list(tables), help="; ".join(tables))
    for name in parser.parse_args(arguments).tables:
        with tempfile.TemporaryDirectory() as temporary:
            runs = dict(tables[name](Path(temporary)))
        first = next(iter(runs.values()))
        rows = [
            (label, f"{run.seconds:.2f}", f"{run.seconds / first.seconds:.2f}",
             f"{run.cpu_seconds:.2f}", f"{run.peak_bytes / 1e6:.0f}")
            for label, run in runs.items()
        ]  # fmt: skip
        print(table((name, "seconds", "ratio", "of processors", "MB"), rows), "\n", flush=True)


def page(folder: Path) -> Iterator[tuple[str, Run]]:
    """Start help, and build this repository's page from nothing, and again after a change."""
    shutil.copy(ROOT / "site.toml", folder)
    for name in ("pages", "models"):
        shutil.copytree(ROOT / name, folder / name)
    sitegen(folder, "--help")  # compiles bytecode
    yield "help", fastest(folder, "--help")
    yield "from nothing", sitegen(folder, "build")
    yield "nothing changed", fastest(folder, "build")
    replace_first(folder, r'\bcaption="', 'caption="Again: ')
    yield "another caption", sitegen(folder, "build")
    replace_first(folder, r'trajectories\("faces"', 'trajectories("faces", seed=4711')
    yield "another seed", sitegen(folder, "build")


def samples(folder: Path) -> Iterator[tuple[str, Run]]:
    """Sample faces, more each time."""
    for count in COUNTS:
        yield f"{count} faces", drawn(folder, "faces", count)


def levels(folder: Path) -> Iterator[tuple[str, Run]]:
    """Sample faces of a DDPM by DDIM, in more steps each time."""
    for steps in STEPS:
        how = ("--sampler-name", "ddim", "--steps", f"{steps}")
        yield f"{steps} steps of 96 faces", drawn(folder, "faces-ddpm", 96, *how)


def pixels(folder: Path) -> Iterator[tuple[str, Run]]:
    """Sample with one network at several sizes, without its guidance, which has one size."""
    from safetensors.numpy import load_file, save_file

    source = ROOT / "models" / "faces-ddpm"
    weights = load_file(source / "weights.safetensors")
    network = {name: value for name, value in weights.items() if "statistics." not in name}
    card = (source / "model.toml").read_text("utf-8")
    card = re.sub(r"(?m)^(sha256|guidance) = .*$", "", card)
    for side in SIDES:
        model = folder / f"noise-{side}"
        model.mkdir()
        save_file(network, model / "weights.safetensors")
        resized = re.sub(r"(?m)^image_size = .*$", f"image_size = {side}", card, count=1)
        (model / "model.toml").write_text(resized, "utf-8")
        how = ("--sampler-name", "ddim", "--steps", "20")
        yield f"32 images of {side} × {side}", drawn(folder, str(model), 32, *how)


def drawn(folder: Path, model: str, count: int, *options: str) -> Run:
    """Sample a model; return the fastest of several runs."""
    command = ("sample", model, "--count", f"{count}", "--output", "samples.npz", *options)
    return fastest(folder, *command)


def fastest(folder: Path, *command: str) -> Run:
    """Run a command several times; return the fastest run."""
    return min((sitegen(folder, *command) for _ in range(REPETITIONS)), key=lambda r: r.seconds)


def workers(folder: Path) -> Iterator[tuple[str, Run]]:
    """Build a page of eight figures with several workers, each time from nothing."""
    calls = [("faces", f"count=12, seed={seed}") for seed in range(8)]
    write_page(folder, calls)
    for label, options in WORKERS.items():
        yield label, sitegen(folder, "build", "--rerender", *options)


def figures(folder: Path) -> Iterator[tuple[str, Run]]:
    """Build a page of many figures, and again after a change."""
    calls = [("mnist", f"count=4, seed={seed}") for seed in range(FIGURES - OTHERS)]
    calls += [("mnist-ddpm", f"count=4, seed={seed}") for seed in range(OTHERS)]
    write_page(folder, calls)
    yield f"{FIGURES} figures, from nothing", sitegen(folder, "build", "--jobs", "2")
    yield "nothing changed", sitegen(folder, "build")
    replace_first(folder, r'caption="', 'caption="Again: ')
    yield "one caption", sitegen(folder, "build")
    replace_first(folder, r"seed=7\b", "seed=4711")
    yield "one seed", sitegen(folder, "build")
    card = folder / "models" / "mnist-ddpm" / "model.toml"
    text = card.read_text("utf-8")
    card.write_text(text.replace("clip_sample = true", "clip_sample = false"), "utf-8")
    if text == card.read_text("utf-8"):
        raise SystemExit(f"{card}: has no clip_sample = true to change")
    yield f"one model, of {OTHERS} figures", sitegen(folder, "build")


def write_page(folder: Path, calls: Sequence[tuple[str, str]]) -> None:
    """Write a site whose page has a clip for each model and arguments."""
    (folder / "pages").mkdir()
    (folder / "site.toml").write_text(SITE, "utf-8")
    for name in ("mnist", "mnist-ddpm", "faces"):
        shutil.copytree(ROOT / "models" / name, folder / "models" / name)
    lines = [
        f'{{{{ trajectories("{model}", {how}, id="figure-{number}", caption="Clip {number}.") }}}}'
        for number, (model, how) in enumerate(calls)
    ]
    (folder / "pages" / "index.md").write_text("# Scaling\n\n" + "\n\n".join(lines) + "\n", "utf-8")


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


if __name__ == "__main__":
    exits.run(main)
