"""Measure what a picture costs in Debian's Chromium, as a visitor of a built page draws it.

    python -m bench.browser [--site build] [--figure ID] [--count 20] [--seed 0]

Follows a link to each sample of a seed to a sampler of the site, by default its first. The first
picture includes the download of the model. Time is CPU time of all processes of the browser, so
that other programs matter little. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import sync_playwright

from bench.page import FLAGS
from sitegen.cli import exits
from tests.support.serving import serving

DRAWN = """([figure, beginning]) => {
  const status = document.querySelector(`#${figure} .sampler-told`);
  return status.textContent === 'The picture is done.'
    && document.querySelector(`#${figure} .sampler-about`).textContent.startsWith(beginning);
}"""
LIMIT_MS = 120_000
"""Milliseconds for a picture on a busy machine."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw, and print the seconds of each picture."""
    parser = argparse.ArgumentParser(prog="bench.browser", description="Measure drawing pictures.")
    parser.add_argument("--site", type=Path, default=Path("build"), help="built folder (build)")
    parser.add_argument("--figure", metavar="ID", help="id of a sampler (the first)")
    parser.add_argument("--count", type=int, default=20, help="pictures to draw (20)")
    parser.add_argument("--seed", type=int, default=0, help="their seed (0)")
    options = parser.parse_args(arguments)
    pictures = measure(options.site, options.figure, options.count, options.seed)
    print(f"first picture: {pictures[0][0]:.2f} s of processors, {pictures[0][1]:.2f} s")
    cpu, wall = zip(*pictures[1:], strict=True)
    print(f"others, median: {statistics.median(cpu):.2f} s of processors, ", end="")
    print(f"{statistics.median(wall):.2f} s; from {min(cpu):.2f} to {max(cpu):.2f}")


def measure(site: Path, id: str | None, count: int, seed: int) -> list[tuple[float, float]]:
    """Return CPU and wall-clock seconds of the samples 0, 1, … of a seed."""
    figures = json.loads((site / "media.json").read_text(encoding="utf-8"))["figures"]
    samplers = [figure for figure in figures if figure["kind"] == "sampler"]
    figure = next((figure for figure in samplers if id in (None, figure["id"])), None)
    if figure is None:
        raise SystemExit(f"{site}: no page has the sampler {id or ''}")
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("Chromium is missing; install it: apt-get install chromium")
    pictures = []
    with serving(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_context(bypass_csp=True).new_page()
        page.goto(f"{address}{figure['page'].removesuffix('index.html')}")
        for number in range(count):
            cpu, wall = cpu_seconds(os.getpid()), time.perf_counter()
            page.evaluate(f"location.hash = '#figure={figure['id']}&picture={seed}.{number}'")
            beginning = f"Sample {number} of seed {seed}. It took "
            page.wait_for_function(DRAWN, arg=[figure["id"], beginning], timeout=LIMIT_MS)
            pictures.append((cpu_seconds(os.getpid()) - cpu, time.perf_counter() - wall))
        browser.close()
    return pictures


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds of the descendants of a process that are alive."""
    total = 0.0
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        for child in task.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            total += ticks / os.sysconf("SC_CLK_TCK") + cpu_seconds(int(child))
    return total


if __name__ == "__main__":
    exits.run(main)
