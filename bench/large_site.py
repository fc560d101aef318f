"""Measure builds of a site of many pages and figures with few or no changes.

    python -m bench.large_site [--pages 100] [--figures 5]

The clips are fakes, by the stand-ins of the tests, since a build that renders nothing does not read
their content. Linux only.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.cost import sitegen
from sitegen.cli import exits
from tests.support.builders import Builder, write_page, write_site

PROSE = "and quite a few more words of prose " * 20


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="bench.large_site", description="Measure a large site.")
    parser.add_argument("--pages", type=int, default=100, help="pages (100)")
    parser.add_argument("--figures", type=int, default=5, help="figures on each page (5)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        site = written(Path(temporary, "site"), options.pages, options.figures)
        site()
        sitegen(site.root, "build")  # also compiles bytecode
        warm = [sitegen(site.root, "build").seconds for _ in range(5)]
        captions = [_edited(site, options, number) for number in range(5)]
    figures = options.pages * options.figures
    print(f"| a site of {figures} figures and {options.pages} pages | measured | limit |")
    print("| --- | --- | --- |")
    print(f"| `sitegen build`, warm, median of 5 | {statistics.median(warm):.2f} s | ≤ 2 s |")
    print(f"| another caption, median of 5 | {statistics.median(captions):.2f} s | ≤ 3 s |")


def written(folder: Path, pages: int, figures: int) -> Builder:
    """Write the site, without building it."""
    front = text(0, pages, figures, "")
    lines = ['title = "A"', 'base_url = "https://example.org/a/"', "[models.tiny]"]
    config = write_site(folder, front, "\n".join([*lines, 'path = "models/tiny"', ""]))
    for page in range(1, pages):
        write_page(config, text(page, pages, figures, ""), f"p{page}")
    return Builder(config)


def text(page: int, pages: int, figures: int, more: str) -> str:
    """Return a page with prose, a formula and a link before each of its figures."""
    parts = [f"# Page {page}"]
    for number in range(figures):
        seed = page * figures + number
        link = f"p{page + 1}/" if page + 1 < pages else "index.html"
        words = f"Words about $\\sigma_B = {number}$ and *more*, a [link]({link}) {PROSE}"
        call = f'trajectories("tiny", count=4, seed={seed}, caption="Of seed {seed}{more}.")'
        parts += [f"## Section {number}", words, f"{{{{ {call} }}}}"]
    return "\n\n".join(parts) + "\n"


def _edited(site: Builder, options: argparse.Namespace, number: int) -> float:
    """Edit the captions of one page, and return the seconds of the next build."""
    page = min(1, options.pages - 1)
    told = text(page, options.pages, options.figures, f", {number}")
    write_page(site.config, told, f"p{page}" if page else "index")
    return sitegen(site.root, "build").seconds


if __name__ == "__main__":
    exits.run(main)
