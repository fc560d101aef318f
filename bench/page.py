"""Measure a built page as a visitor on a phone experiences it.

    python -m bench.page [--site build] [--runs 3] [--json FILE]

Serves the site under a sub-path as GitHub Pages would, and runs Lighthouse from npm on its front
page (mobile profile, simulated slow line; the median of several runs). Debian's Chromium then
measures the size of the page with all its images, and the time until the slider shows another
frame. Needs Chromium, node and npm; Lighthouse is installed into `bench/npm` on the first run.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.serving import serving
from sitegen.cli import exits

NPM = Path(__file__).resolve().parent / "npm"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
SEEKS = 24
WEIGH = """
async () => {
  const images = [...document.querySelectorAll('img:not(.paper)')];  // those are for printing
  for (const image of images) image.loading = 'eager';
  await Promise.all(images.map(image => image.decode().catch(() => null)));
}
"""
SEEK = """
async ([number, frame]) => {
  const figure = document.querySelectorAll('.clip-figure')[number];
  const [video, slider] = [figure.querySelector('video'), figure.querySelector('.slider')];
  const shown = new Promise(resolve => video.requestVideoFrameCallback(() => resolve()));
  const start = performance.now();
  slider.value = frame;
  slider.dispatchEvent(new Event('input'));
  await shown;
  return performance.now() - start;
}
"""


@dataclass(frozen=True)
class Score:
    """Results of Lighthouse; categories from 0 to 100, times in milliseconds."""

    performance: int
    accessibility: int
    best_practices: int
    seo: int
    largest_contentful_paint: float
    cumulative_layout_shift: float
    total_blocking_time: float
    bytes: int


@dataclass(frozen=True)
class Measures:
    """All measurements; seeks in milliseconds, over all clips of the page."""

    score: Score
    bytes_with_all_pictures: int
    seek_median: float
    seek_largest: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write JSON on request."""
    parser = argparse.ArgumentParser(prog="bench.page", description="Measure a built page.")
    parser.add_argument("--site", type=Path, default=Path("build"), help="built folder (build)")
    parser.add_argument("--runs", type=int, default=3, help="runs of Lighthouse (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers there")
    options = parser.parse_args(arguments)
    measures = measure_page(options.site, options.runs)
    print(markdown(measures))
    if options.json:
        text = json.dumps(asdict(measures), indent=2)
        options.json.write_text(f"{text}\n", encoding="utf-8")


def measure_page(site: Path, runs: int) -> Measures:
    """Measure the front page of the site built in `site`."""
    front = site / "index.html"
    if not front.is_file():
        sys.exit(f"{front}: is missing; run `make site` first")
    chromium = _program("chromium")
    install()
    with serving(site, _published(front)) as address:
        scores = [lighthouse(address, chromium) for _ in range(runs)]
        scores.sort(key=lambda score: (score.performance, -score.largest_contentful_paint))
        weight, seeks = _look(address, chromium)
    middle = scores[len(scores) // 2]
    return Measures(middle, weight, statistics.median(seeks), max(seeks))


def install() -> None:
    """Install Lighthouse at the version of the lockfile, once."""
    lock, stamp = NPM / "package-lock.json", NPM / "node_modules" / ".installed"
    if stamp.is_file() and filecmp.cmp(lock, stamp, shallow=False):
        return
    print("Installing Lighthouse for the measurement, once.", file=sys.stderr)
    command = [_program("npm"), "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=NPM, check=True)
    shutil.copyfile(lock, stamp)


def lighthouse(address: str, chromium: str) -> Score:
    """Run Lighthouse once, in its mobile profile."""
    program = NPM / "node_modules" / "lighthouse" / "cli" / "index.js"
    command = [_program("node"), str(program), address, "--quiet", "--output=json"]
    command += [f"--only-categories={','.join(CATEGORIES)}"]
    command += [f"--chrome-flags={' '.join([*FLAGS, *QUIET])}"]
    environment = {**os.environ, "CHROME_PATH": chromium}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return score(json.loads(done.stdout))


def score(report: dict[str, Any]) -> Score:
    """Extract the numbers of a Lighthouse report, and print imperfect audits to stderr."""
    for audit in report["audits"].values():
        if audit.get("score") is not None and audit["score"] < 0.9:
            print(f"  {audit['id']}: {audit.get('displayValue', audit['title'])}", file=sys.stderr)
    points = {name: round(100 * report["categories"][name]["score"]) for name in CATEGORIES}
    number = {name: float(audit.get("numericValue", 0)) for name, audit in report["audits"].items()}
    return Score(
        performance=points["performance"],
        accessibility=points["accessibility"],
        best_practices=points["best-practices"],
        seo=points["seo"],
        largest_contentful_paint=number["largest-contentful-paint"],
        cumulative_layout_shift=number["cumulative-layout-shift"],
        total_blocking_time=number["total-blocking-time"],
        bytes=int(number["total-byte-weight"]),
    )


def _look(address: str, chromium: str) -> tuple[int, list[float]]:
    """Return the size of the page with all its images, in bytes, and the times of seeks."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS[1:], *QUIET])
        page = browser.new_page(viewport={"width": 412, "height": 823}, reduced_motion="reduce")
        session, sizes = page.context.new_cdp_session(page), []
        session.on(
            "Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"])
        )
        session.send("Network.enable")
        page.goto(address)
        page.evaluate(WEIGH)
        page.wait_for_load_state("networkidle")
        weight = int(sum(sizes))
        seeks = []
        for number in range(page.locator(".clip-figure").count()):
            if (
                not page.locator(".clip-figure").nth(number).is_visible()
            ):  # in a tab that is not open
                continue
            last = int(page.locator(".clip-figure .slider").nth(number).get_attribute("max") or 0)
            page.locator(".clip-figure").nth(number).scroll_into_view_if_needed()
            frames = [(7 * each + 3) % (last + 1) for each in range(SEEKS)]
            times = [float(page.evaluate(SEEK, [number, frame])) for frame in frames]
            seeks += times[1:]  # the first one loads the clip
        browser.close()
    return weight, seeks or [0.0]


def _published(front: Path) -> str | None:
    """Return the address that the site was built for."""
    found = re.search(r'rel="canonical" href="([^"]+)"', front.read_text(encoding="utf-8"))
    return found[1] if found else None


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        sys.exit(f"{name} is missing; on Debian: apt-get install chromium nodejs npm")
    return path


def markdown(measures: Measures) -> str:
    """Return the numbers as a table."""
    score = measures.score
    rows = {
        "Lighthouse: performance": f"{score.performance}",
        "Lighthouse: accessibility": f"{score.accessibility}",
        "Lighthouse: best practices": f"{score.best_practices}",
        "Lighthouse: SEO": f"{score.seo}",
        "largest contentful paint": f"{score.largest_contentful_paint / 1000:.2f} s",
        "cumulative layout shift": f"{score.cumulative_layout_shift:.3g}",
        "total blocking time": f"{score.total_blocking_time:.0f} ms",
        "transferred before an interaction": f"{score.bytes / 1000:.0f} kB",
        "the same with all pictures": f"{measures.bytes_with_all_pictures / 1000:.0f} kB",
        "scrubber, median": f"{measures.seek_median:.0f} ms",
        "scrubber, largest": f"{measures.seek_largest:.0f} ms",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| measure | value |", "| --- | --- |", *lines])


if __name__ == "__main__":
    exits.run(main)
