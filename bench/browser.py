"""Draw samples in Debian's Chromium, as a visitor of a built page does, and judge them.

    python -m bench.browser --output x.npz [--site build] [--count 200] [--seed 0]
    python -m bench.browser --output x.npz --data .data/mnist

Follows a link to each sample of a seed to the site's first sampler, and reads the pixels of its
canvas (8 bits). The site is served under a sub-path, without ranges and compression. With `--data`
the samples are then passed to bench.quality.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

from bench import quality
from bench.page import FLAGS
from bench.serving import serving
from sitegen.cli import exits

PIXELS = """canvas => {
  const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
  pen.drawImage(canvas, 0, 0);
  return [...pen.getImageData(0, 0, canvas.width, canvas.height).data];
}"""
DRAWN = """([figure, words]) => {
  const status = document.querySelector(`#${figure} .sampler-told`);
  return status.textContent === 'The picture is done.'
    && document.querySelector(`#${figure} .sampler-about`).textContent.startsWith(words);
}"""
PATIENCE = 120_000  # milliseconds for a picture on a busy machine


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw, write, and judge on request."""
    parser = argparse.ArgumentParser(prog="bench.browser", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--site", type=Path, default=Path("build"), help="the built folder (build)")
    add("--output", type=Path, required=True, metavar="FILE", help="the samples as .npz")
    add("--count", type=int, default=200, help="samples to draw (200)")
    add("--seed", type=int, default=0, help="their seed (0)")
    add("--pages", type=int, default=2, help="pages that draw side by side (2)")
    add("--data", type=Path, metavar="DIR", help="judge them by bench.quality beside these data")
    options = parser.parse_args(arguments)
    arrays = draw(options.site, options.count, options.seed, options.pages)
    np.savez(options.output, **arrays)
    if options.data:
        quality.main(["--samples", str(options.output), "--data", str(options.data)])


def draw(site: Path, count: int, seed: int, pages: int = 2) -> dict[str, Any]:
    """Return samples 0, 1, … of a seed as `sitegen sample` does: "final" and "initial"."""
    found = json.loads((site / "media.json").read_text(encoding="utf-8"))["figures"]
    figure = next((each for each in found if each["kind"] == "sampler"), None)
    if figure is None:
        raise SystemExit(f"{site}: no page has a sampler")
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("Chromium is missing; install it: apt-get install chromium")
    with serving(site, plain=True) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        start = f"{address}{figure['page'].removesuffix('index.html')}"
        drawn = _drawn(browser, start, figure["id"], count, seed, pages)
        browser.close()
    final, initial = (np.stack(each) for each in zip(*drawn, strict=True))
    std = figure["parameters"]["sampling_noise_std"]
    return {"final": final, "initial": initial, "seed": seed, "sampling_noise_std": std}


def _drawn(
    browser: Browser, address: str, figure: str, count: int, seed: int, pages: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return the last and the first state of each sample, (C, H, W) each."""
    opened = [browser.new_context(bypass_csp=True).new_page() for _ in range(min(pages, count))]
    for page in opened:
        page.goto(address)
    drawn = []
    for first in range(0, count, len(opened)):
        at_work = list(zip(opened, range(first, count), strict=False))
        for page, number in at_work:
            page.evaluate(f"location.hash = '#figure={figure}&picture={seed}.{number}'")
        for page, number in at_work:
            words = f"Sample {number} of seed {seed}. It took "
            page.wait_for_function(DRAWN, arg=[figure, words], timeout=PATIENCE)
            drawn.append((_seen(page, figure, last=True), _seen(page, figure, last=False)))
    return drawn


def _seen(page: Page, figure: str, *, last: bool) -> NDArray[np.float32]:
    """Return the canvas at the last state or the first, (C, H, W) in [0, 1]."""
    slider = page.locator(f"#{figure} .sampler-slider").first
    slider.fill(slider.get_attribute("max") or "" if last else "0")
    canvas = page.locator(f"#{figure} .sampler-stage canvas").first
    values = np.asarray(canvas.evaluate(PIXELS), np.float32) / np.float32(255)
    side = round((len(values) / 4) ** 0.5)
    colours = values.reshape(side, side, 4)[..., :3].transpose(2, 0, 1)
    grey = bool((colours == colours[:1]).all())
    return np.ascontiguousarray(colours[:1] if grey else colours, np.float32)


if __name__ == "__main__":
    exits.run(main)
