"""Measure builds of a site, compared with an old commit: time, evaluations, arithmetic, bytes.

    python -m bench.build [--site FOLDER] [--against COMMIT] [--jobs N] [--json FILE]

FOLDER has a `site.toml` and `pages/`; the default is this repository's, and for COMMIT that
commit's. It is copied together with the shipped models, and built

- cold, with an empty store, after `--dry-run` has estimated the time,
- warm, without changes (the median of five),
- with another caption,
- with another seed of the first figure that has samples,
- with another noise of the model `--model`, so that all its figures are rendered again,

by the sitegen of this folder and by that of COMMIT, with its own code and models. The two take
turns. Wall-clock seconds are the time of a user on an idle machine. CPU seconds, of all cores and
with the encoder, are more reliable on a busy one. The rest is the share of the wall clock in which
no sample took a step. Linux only.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sitegen.cli import exits

ROOT = Path(__file__).resolve().parent.parent
WARM = 5
"""Number of warm builds; the median counts."""
CASES = ("cold", "warm", "another caption", "another figure", "another model")
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Run:
    """Cost of a build; `bytes` is the size of the built folder."""

    seconds: float
    cpu_seconds: float
    sampling_seconds: float
    evaluations: int
    gflop: float
    bytes: int = 0

    @property
    def rest(self) -> float:
        """Share of the time in which no sample took a step."""
        return max(0.0, 1 - self.sampling_seconds / self.seconds)


@dataclass(frozen=True)
class Builds:
    """All measurements of one sitegen; `estimate` is that of `--dry-run`, in seconds."""

    name: str
    estimate: float | None
    runs: dict[str, Run]

    @property
    def trust(self) -> float | None:
        """Ratio of the estimate and the time of the cold build."""
        return None if self.estimate is None else self.estimate / self.runs["cold"].seconds


class Bench:
    """A version of sitegen, its copy of the site, and the measurements so far."""

    def __init__(self, name: str, tree: Path, site: Path, folder: Path, jobs: int) -> None:
        self.name, self.tree, self.folder, self.jobs = name, tree, folder, jobs
        copy_site(site, tree / "models", folder)
        self.estimate: float | None = None
        self.runs: dict[str, Run] = {}

    def rehearse(self) -> None:
        """Estimate the time of a cold build with `--dry-run`."""
        _, told = self._sitegen("build", "--dry-run")
        self.estimate = estimated(told)

    def build(self, case: str) -> None:
        """Build, and record the cost."""
        runs = [self._sitegen("build", "--jobs", str(self.jobs))[0] for _ in range(_times(case))]
        middle = statistics.median(run.seconds for run in runs)
        weight = sum(path.stat().st_size for path in self.folder.glob("build/**/*.*"))
        run = next(run for run in runs if run.seconds == middle)
        print(f"{self.name}: {case}: {run.seconds:.1f} s", file=sys.stderr, flush=True)
        self.runs[case] = replace(run, bytes=weight)

    def measured(self) -> Builds:
        """Return the measurements."""
        return Builds(self.name, self.estimate, self.runs)

    def _sitegen(self, *words: str) -> tuple[Run, str]:
        """Run a command of this version; raises SystemExit with its output if it fails."""
        file = self.folder / "counted.json"
        command = [sys.executable, str(ROOT / "bench" / "counting.py"), str(file), *words]
        environment = {**os.environ, "PYTHONPATH": str(self.tree)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as for users
        told = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        if told.returncode:
            raise SystemExit(f"{self.name}: sitegen {' '.join(words)}\n{told.stdout}{told.stderr}")
        values = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
        values.pop("status")
        return Run(**values), told.stdout + told.stderr


def _times(case: str) -> int:
    return WARM if case == "warm" else 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write JSON on request."""
    parser = argparse.ArgumentParser(prog="bench.build", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--site", type=Path, metavar="FOLDER", help="of a site.toml and pages/")
    parser.add_argument("--against", metavar="COMMIT", help="whose sitegen is measured as well")
    parser.add_argument("--model", default="mnist", metavar="NAME", help="to be changed (mnist)")
    parser.add_argument("--jobs", type=int, default=1, help="figures at a time (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        trees = {"this": ROOT}
        if options.against:
            trees[options.against] = checked_out(options.against, Path(temporary, "commit"))
        site = options.site or [*trees.values()][-1]
        benches = [
            Bench(name, tree, site, Path(temporary, f"site-{at}"), options.jobs)
            for at, (name, tree) in enumerate(trees.items())
        ]
        measure(benches, options.model)
    found = [bench.measured() for bench in benches]
    print(markdown(found))
    if options.json:
        text = json.dumps([asdict(each) for each in found], indent=2)
        options.json.write_text(f"{text}\n", encoding="utf-8")


def measure(benches: Sequence[Bench], model: str) -> None:
    """Run all cases, with the versions in turn."""
    changes: dict[str, Callable[[Path], None]] = {
        "another caption": change_caption,
        "another figure": change_seed,
        "another model": lambda folder: change_noise(folder, model),
    }
    for bench in benches:
        bench.rehearse()
    for case in CASES:
        for bench in benches:
            if case in changes:
                changes[case](bench.folder)
            bench.build(case)


def checked_out(commit: str, folder: Path) -> Path:
    """Export the files of a commit into a new folder."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        raise SystemExit(f"--against {commit}: {archive.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def copy_site(site: Path, models: Path, folder: Path) -> None:
    """Copy the author's files, and the models that the site does not have.

    The site of a checkout has no models of its own: those in it belong to that sitegen.
    """
    folder.mkdir()
    shutil.copy(site / "site.toml", folder)
    checkout = (site / "sitegen").is_dir()
    for name in ("pages", "pictures", "models", "checkpoints"):
        if (site / name).is_dir() and not (name == "models" and checkout):
            shutil.copytree(site / name, folder / name)
    for model in models.iterdir():
        if model.is_dir() and not (folder / "models" / model.name).exists():
            shutil.copytree(model, folder / "models" / model.name)


def change_caption(folder: Path) -> None:
    """Change the first caption in the pages."""
    _replace(folder, r'\bcaption="', 'caption="Once more: ')


def change_seed(folder: Path) -> None:
    """Change the seed of the first figure that shows samples."""
    _replace(folder, r'\{\{ ?trajectories\("([\w-]+)"', r'{{ trajectories("\1", seed=4711')


def change_noise(folder: Path, model: str) -> None:
    """Increase δ in the card of a model by half a thousandth."""
    card = folder / "models" / model / "model.toml"
    text = card.read_text(encoding="utf-8")

    def larger(found: re.Match[str]) -> str:
        return f"sampling_noise_std = {float(found[1]) * 1.0005:.8g}"

    changed, count = re.subn(r"(?m)^sampling_noise_std = (\S+)$", larger, text, count=1)
    if not count:
        raise SystemExit(f"--model {model}: its card names no sampling_noise_std to change")
    card.write_text(changed, encoding="utf-8")


def _replace(folder: Path, pattern: str, by: str) -> None:
    """Replace the first match in the pages; raises SystemExit if there is none."""
    for page in sorted((folder / "pages").rglob("*.md")):
        changed, count = re.subn(pattern, by, page.read_text(encoding="utf-8"), count=1)
        if count:
            page.write_text(changed, encoding="utf-8")
            return
    raise SystemExit(f"{folder}: no page has {pattern}")


def estimated(told: str) -> float | None:
    """Return the total seconds in the output of `--dry-run`; None if it has no estimate."""
    found = re.findall(r"(all of it: )?about ((?:\d+ (?:s|min|h) ?)+\d*)", told)
    if not found:
        return None
    whole = [words for all_, words in found if all_] or [words for _, words in found]
    return seconds_of(whole[-1])


def seconds_of(words: str) -> float:
    """Parse a duration as sitegen prints it: "72 s", "6 min" or "3 h 05"."""
    parts = re.findall(r"(\d+)(?: (s|min|h))?", words)
    return sum(float(number) * UNITS[unit or "min"] for number, unit in parts)


def markdown(builds: Sequence[Builds]) -> str:
    """Return the numbers as a table, with the accuracy of the estimates."""
    lines = [
        "| build | sitegen | seconds | of the processor | rest | evaluations | GFLOP | MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in CASES:
        lines += [_row(case, each.name, each.runs[case]) for each in builds if case in each.runs]
    lines += ["", *(f"{each.name}: {_trusted(each)}" for each in builds)]
    if len(builds) > 1:
        now, then = (each.runs["cold"] for each in builds)
        lines.append(f"cold, times as fast: {then.seconds / now.seconds:.1f}")
    return "\n".join(lines)


def _row(case: str, name: str, run: Run) -> str:
    numbers: list[Any] = [f"{run.seconds:.2f}", f"{run.cpu_seconds:.2f}", f"{run.rest:.0%}"]
    numbers += [f"{run.evaluations:,}", f"{run.gflop:,.0f}", f"{run.bytes / 1e6:.1f}"]
    return f"| {case} | {name} | {' | '.join(numbers)} |"


def _trusted(builds: Builds) -> str:
    if builds.estimate is None or builds.trust is None:
        return "--dry-run estimates nothing"
    took = builds.runs["cold"].seconds
    return f"--dry-run said {builds.estimate:.0f} s, and it took {took:.0f} s ({builds.trust:.2f})"


if __name__ == "__main__":
    exits.run(main)
