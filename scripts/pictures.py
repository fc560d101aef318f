"""Take the pictures of the manual that show a page in a browser: `python -m scripts.pictures`.

A small site of shipped models is built, and Debian's Chromium looks at it. With a folder as the
argument the site stays there, so that its clips are not rendered again the next time.
"""

from __future__ import annotations

import html
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import click
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.serving import serving

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures"
DESK, PHONE = {"width": 1000, "height": 900}, {"width": 390, "height": 780}
_PATIENCE_MS = 180_000

_SITE = """\
title = "Generative Faces"
venue = "A Conference (2026)"
[[authors]]
name = "Ann Author"
url = "https://example.org/ann/"
affiliations = ["A University", "An Institute"]
equal = true
[[authors]]
name = "Bob Writer"
affiliation = "An Institute"
equal = true
[[affiliations]]
name = "A University"
logo = "logo.svg"
[citation]
key = "author2026faces"
year = 2026
type = "article"
journal = "A Journal"
fields = { doi = "10.0000/faces", pages = "1–9" }
[models.faces]
path = "models/faces"
[models.mnist]
path = "models/mnist"
[models.mnist-ddpm]
path = "models/mnist-ddpm"
"""
_BUTTONS = ("Paper", "arXiv", "Code", "Data", "Model", "Demo", "Poster", "Slides", "Video", "Page")
_LOGO = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40" width="120" height="40">
<rect width="120" height="40" rx="6" fill="#2b4a8b"/>
<text x="28" y="27" font-family="sans-serif" font-size="20" fill="#fff">LOGO</text>
</svg>
"""
_ROW = """\
{{ beside(
  trajectories("mnist", count=4, seed=3, id="heat", caption="Heat dissipation"),
  trajectories("mnist-ddpm", count=4, seed=3, id="noise", caption="DDPM"),
  caption="Two methods, with the same seed and the same noise.") }}
"""
_MORE = """\
{{ trajectories("faces", count=12, id="faces", caption="Twelve faces.") }}

{{ spectra("faces", count=2, label="Ours", id="even") }}
"""
_TERMINAL = """\
<!doctype html><meta charset="utf-8"><title>A terminal</title>
<body style="margin: 0; background: #14171f">
<pre style="margin: 0; padding: 20px 24px; width: fit-content; color: #e6e9f2; font: 17px/1.6 \
monospace">"""


def main() -> None:
    """Build the site, take all pictures, and say how large they are."""
    if len(sys.argv) > 1:
        take(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        take(Path(folder))


def take(folder: Path) -> None:
    """Take all pictures of a site in `folder`, which is written there."""
    (folder / "pages").mkdir(parents=True, exist_ok=True)
    links = [
        f'[[links]]\nlabel = "{name}"\nurl = "https://example.org"\nicon = "{name.lower()}"\n'
        for name in _BUTTONS
    ]
    (folder / "site.toml").write_text("".join([_SITE, *links]), encoding="utf-8")
    (folder / "logo.svg").write_text(_LOGO, encoding="utf-8")
    page = folder / "pages" / "index.md"
    page.write_text(_ROW + "\n" + _MORE, encoding="utf-8")
    _sitegen(folder, "build")
    with serving(folder / "build") as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        for name, look in PICTURES.items():
            _keep(name, look(browser, address))
        page.write_text(_MORE, encoding="utf-8")  # what the row needed is of no use now
        _keep(CLEAN, _clean(browser, folder))
        browser.close()


def _sitegen(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "sitegen", *words, "--config", str(folder / "site.toml")]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _keep(name: str, picture: Image.Image) -> None:
    path = FOLDER / f"{name}.webp"
    picture.save(path, quality=80, method=6)
    size = f"{picture.width} × {picture.height}, {path.stat().st_size / 1000:.0f} kB"
    click.echo(f"{path.name}: {size}")


def _page(browser: Browser, address: str, size: Mapping[str, int]) -> Page:
    page = browser.new_page(viewport=dict(size), reduced_motion="reduce")  # type: ignore[arg-type]
    page.set_default_timeout(_PATIENCE_MS)
    page.goto(address)
    page.wait_for_load_state("networkidle")
    return page


def _seen(page: Page, selector: str = "", padding: int = 0) -> Image.Image:
    """What is in the window, or an element of it with some of what is around."""
    box = page.locator(selector).first.bounding_box() if selector else None
    clip = box and {
        "x": max(0.0, box["x"] - padding),
        "y": max(0.0, box["y"] - padding),
        "width": box["width"] + 2 * padding,
        "height": box["height"] + 2 * padding,
    }
    data = page.screenshot(clip=clip) if clip else page.screenshot()
    return Image.open(io.BytesIO(data)).convert("RGB")


def _side_by_side(*pictures: Image.Image, gap: int = 24) -> Image.Image:
    height = max(each.height for each in pictures)
    width = sum(each.width for each in pictures) + gap * (len(pictures) - 1)
    whole, left = Image.new("RGB", (width, height), (226, 229, 238)), 0
    for each in pictures:
        whole.paste(each, (left, (height - each.height) // 2))
        left += each.width + gap
    return whole


def _slide(page: Page, slider: str, share: float, videos: str) -> None:
    """Move a slider to a share of its way, and wait until the clips are there."""
    page.locator(slider).first.evaluate(
        "(slider, share) => { slider.value = Math.round(share * slider.max);"
        " slider.dispatchEvent(new Event('input')) }",
        share,
    )
    page.wait_for_function(
        "videos => [...document.querySelectorAll(videos)].every("
        "v => v.currentTime > 0 && !v.seeking && v.readyState >= 2)",
        arg=videos,
    )


def _beside(browser: Browser, address: str) -> Image.Image:
    """A row on a desk, and on a phone."""
    pictures = []
    for size in (DESK, PHONE):
        page = _page(browser, address, size)
        _slide(page, ".row-scrubber .slider", 0.75, ".row video")
        page.locator(".row").scroll_into_view_if_needed()
        page.evaluate("document.querySelector('.row').scrollIntoView()")
        pictures.append(_seen(page, ".row", 12) if size is DESK else _seen(page))
        page.close()
    return _side_by_side(*pictures)


def _head(browser: Browser, address: str) -> Image.Image:
    """The head of a page, and its citation."""
    page = _page(browser, address, {"width": 700, "height": 900})
    head = _seen(page, ".banner")
    page.locator("#citation").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#citation').scrollIntoView()")
    citation = _seen(page, ".bibtex", 12)
    page.close()
    return _side_by_side(head, citation)


def _link(browser: Browser, address: str) -> Image.Image:
    """A sample that an address opens large, and the link of its figure."""
    pictures = []
    for query, shown in (("?level=30", "#faces"), ("?sample=6&level=30", "dialog.viewer")):
        page = _page(browser, f"{address}{query}#faces", PHONE)
        page.wait_for_function("document.querySelector('#faces video').currentTime > 0")
        if shown == "#faces":
            page.locator("#faces a.link").click()
            page.evaluate("document.querySelector('#faces').scrollIntoView()")
        page.wait_for_function("!document.querySelector('#faces video').seeking")
        pictures.append(_seen(page))
        page.close()
    return _side_by_side(*pictures)


def _clean(browser: Browser, folder: Path) -> Image.Image:
    """What is said by `sitegen clean --unused`."""
    told = _sitegen(folder, "clean", "--unused")
    page = browser.new_page(viewport=dict(DESK))  # type: ignore[arg-type]
    page.set_content(f"{_TERMINAL}$ sitegen clean --unused\n{html.escape(told)}</pre>")
    return _seen(page, "pre")


PICTURES: Mapping[str, Callable[[Browser, str], Image.Image]] = {
    "beside": _beside,
    "head": _head,
    "link": _link,
}
"""What takes them, by their names."""
CLEAN = "clean"
"""The picture that is taken last, when what others show is removed."""

if __name__ == "__main__":
    main()
