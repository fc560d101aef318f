"""Measure a built page as a visitor on a phone experiences it.

    python -m bench.page [--site build] [--runs 3]

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
from pathlib import Path
from typing import Any

from bench.judging.report import table
from sitegen.cli import exits
from tests.support.serving import serving

NPM = Path(__file__).resolve().parent / "npm"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
AUDITS = (
    "largest-contentful-paint",
    "cumulative-layout-shift",
    "total-blocking-time",
    "total-byte-weight",
)
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="bench.page", description="Measure a built page.")
    parser.add_argument("--site", type=Path, default=Path("build"), help="built folder (build)")
    parser.add_argument("--runs", type=int, default=3, help="runs of Lighthouse (3)")
    options = parser.parse_args(arguments)
    numbers = measure_page(options.site, options.runs)
    print(table(("measure", "value"), [(name, f"{value:.4g}") for name, value in numbers.items()]))


def measure_page(site: Path, runs: int) -> dict[str, float]:
    """Measure the front page of the site built in `site`; return the numbers by name."""
    front = site / "index.html"
    if not front.is_file():
        sys.exit(f"{front}: is missing; run `make site` first")
    chromium, node = _program("chromium"), _program("node")
    lock, stamp = NPM / "package-lock.json", NPM / "node_modules" / ".installed"
    if not stamp.is_file() or not filecmp.cmp(lock, stamp, shallow=False):
        print("Installing Lighthouse for the measurement, once.", file=sys.stderr)
        install = [_program("npm"), "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(install, cwd=NPM, check=True)
        shutil.copyfile(lock, stamp)
    canonical = re.search(r'rel="canonical" href="([^"]+)"', front.read_text(encoding="utf-8"))
    with serving(site, canonical[1] if canonical else None) as address:
        scores = [lighthouse(address, chromium, node) for _ in range(runs)]
        scores.sort(key=lambda score: (score["performance"], -score["largest-contentful-paint"]))
        weight, seeks = _look(address, chromium)
    return {
        **scores[len(scores) // 2],
        "bytes with all pictures": weight,
        "scrubber, median, ms": statistics.median(seeks),
        "scrubber, largest, ms": max(seeks),
    }


def lighthouse(address: str, chromium: str, node: str) -> dict[str, float]:
    """Run Lighthouse once, in its mobile profile."""
    program = NPM / "node_modules" / "lighthouse" / "cli" / "index.js"
    command = [node, str(program), address, "--quiet", "--output=json"]
    command += [f"--only-categories={','.join(CATEGORIES)}"]
    command += [f"--chrome-flags={' '.join([*FLAGS, *QUIET])}"]
    environment = {**os.environ, "CHROME_PATH": chromium}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return score(json.loads(done.stdout))


def score(report: dict[str, Any]) -> dict[str, float]:
    """Extract the numbers of a Lighthouse report, and print imperfect audits to stderr.

    Categories are from 0 to 100, times in milliseconds.
    """
    for audit in report["audits"].values():
        if audit.get("score") is not None and audit["score"] < 0.9:
            print(f"  {audit['id']}: {audit.get('displayValue', audit['title'])}", file=sys.stderr)
    points = {name: round(100 * report["categories"][name]["score"]) for name in CATEGORIES}
    return points | {name: float(report["audits"][name].get("numericValue", 0)) for name in AUDITS}


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
            figure = page.locator(".clip-figure").nth(number)
            if not figure.is_visible():  # in a tab that is not open
                continue
            last = int(figure.locator(".slider").first.get_attribute("max") or 0)
            figure.scroll_into_view_if_needed()
            frames = [(7 * step + 3) % (last + 1) for step in range(SEEKS)]
            times = [float(page.evaluate(SEEK, [number, frame])) for frame in frames]
            seeks += times[1:]  # the first one loads the clip
        browser.close()
    return weight, seeks or [0.0]


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        sys.exit(f"{name} is missing; on Debian: apt-get install chromium nodejs npm")
    return path


if __name__ == "__main__":
    exits.run(main)
