"""Measure how the cost of sampling and of builds grows: samples, levels, pixels, workers, figures.

    python -m bench.scaling [samples levels pixels workers figures]

Each table is one run of commands in turn, start-up included, so compare its ratios. `pixels` gives
the network of `faces-ddpm` noise of other sizes: its pictures mean nothing, its arithmetic is that
of a model of the size. `workers` needs dask's extra.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.cost import ROOT, Run, replace_first, sitegen
from bench.judging.report import table
from sitegen.cli import exits

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
"""Runs of a command that samples, of which the fastest counts."""

SITE = """title = "Scaling"
lead = "A page of many figures."
[models.mnist]
path = "models/mnist"
[models.mnist-ddpm]
path = "models/mnist-ddpm"
[models.faces]
path = "models/faces"
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table of each kind."""
    tables: dict[str, Callable[[Path], Iterator[tuple[str, Run]]]] = {
        "samples": samples,
        "levels": levels,
        "pixels": pixels,
        "workers": workers,
        "figures": figures,
    }
    parser = argparse.ArgumentParser(prog="bench.scaling", description=__doc__.splitlines()[0])
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


if __name__ == "__main__":
    exits.run(main)
