"""The page in Chromium: from the file system and under a sub-path, narrow and wide, light and dark.

The media are made up, and the clips are not played: what is proved is the page around them.
"""

from __future__ import annotations

import functools
import io
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from sitegen.config import load_site
from sitegen.pages import read_pages
from sitegen.render import assets, render_site
from tests.fabricated import draw_poster, manifest_for, write_site

ROOT = Path(__file__).resolve().parent.parent
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MORE = """
## Everything else

A formula $u_K$, `code`, a [link](https://example.org/) and a note.[^1]

$$u_K = u_0 + u_1 + u_2 + u_3 + u_4 + u_5 + u_6 + u_7 + u_8 + u_9 + u_{10} + u_{11} + u_{12}$$

| Model | A long heading | Another long heading | One more long heading |
|:------|---------------:|:--------------------:|-----------------------|
| a     | 1              | b                    | aaaaaaaaaaaaaaaaaaaaa |

```
a line of code that is much too long for a small screen and for the column of a large one as well
```

> Averyveryveryveryveryveryveryveryveryveryveryveryveryveryveryveryverylongwordthatcannotbebroken

[^1]: A note.
"""
SECOND = "# A further page\n\nIts words.\n\n{{ trajectories('mnist', count=4) }}\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium with a profile of its own."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is missing; install it: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


def build(folder: Path, colour: str = "white") -> Path:
    """Render the paper's own site and more, with made-up media, into `folder/site/sub`."""
    config = (ROOT / "site.toml").read_text(encoding="utf-8")
    index = (ROOT / "pages" / "index.md").read_text(encoding="utf-8")
    path = write_site(folder / "source", config, index + MORE)
    (folder / "source" / "pages" / "second.md").write_text(SECOND, encoding="utf-8")
    site = load_site(path)
    pages = read_pages(site)
    manifest = manifest_for(pages)
    output = folder / "site" / "sub"
    for uri, html in render_site(site, pages, manifest).items():
        (output / uri).parent.mkdir(parents=True, exist_ok=True)
        (output / uri).write_text(html, encoding="utf-8")
    (output / "assets").mkdir()
    for uri, source in assets(site).items():
        shutil.copy(source, output / uri)
    for media in manifest.figures:
        draw_poster(output / media.record.files["poster"].path, colour=colour)
    return output


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site that most tests look at."""
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def served(built: Path) -> Iterator[str]:
    """The address of the site, under a sub-path of a local server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(built.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/sub/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("uri", ["index.html", "second/index.html"])
@pytest.mark.parametrize("place", ["file", "http"])
def test_nothing_goes_wrong(
    browser: Browser, built: Path, served: str, place: str, uri: str
) -> None:
    """No message on the console, no request that fails, and none to elsewhere."""
    start = served if place == "http" else f"{built.as_uri()}/"
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    troubles, asked = watch(page)
    page.goto(start + uri)
    page.wait_for_load_state("networkidle")
    assert troubles == []
    assert all(url.startswith(start) for url in asked)
    assert not [url for url in asked if url.endswith((".mp4", ".gif"))]  # until it is played
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("getComputedStyle(document.querySelector('.skip')).position") == "absolute"
    context.close()


def watch(page: Page) -> tuple[list[str], list[str]]:
    """Collect whatever goes wrong on a page, and the addresses that it asks for."""
    troubles: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("requestfailed", lambda request: troubles.append(request.url))
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: troubles.extend([answer.url] * (answer.status >= 400)))
    return troubles, asked


def test_links_arrive(browser: Browser, built: Path) -> None:
    """Every link inside the site leads to something that is there, except to media made up."""
    page = browser.new_page()
    for uri in ("index.html", "second/index.html"):
        page.goto(f"{built.as_uri()}/{uri}")
        links = page.evaluate("[...document.links].map(link => link.href)")
        inside = [link for link in links if link.startswith("file:")]
        for link in inside:
            path = Path(link.removeprefix("file://").partition("#")[0])
            assert path.is_file() or path.parent.name == "media" or path.name == "media.json", link
    page.close()


@pytest.mark.parametrize("width", [320, 390, 1280, 2560])
def test_fits_the_screen(browser: Browser, built: Path, width: int) -> None:
    """Nothing is wider than the screen, and a line of text is not too long to read."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    for uri in ("index.html", "second/index.html"):
        page.goto(f"{built.as_uri()}/{uri}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(
            "[...document.querySelectorAll('main > *, .clip')]"
            ".every(e => e.getBoundingClientRect().right <= innerWidth)"
        )
        column = page.evaluate("document.querySelector('main > p').getBoundingClientRect().width")
        assert column <= 700
    page.close()


def test_banner_height(browser: Browser, built: Path) -> None:
    """At 1280 pixels the banner is as high as the paper's."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{built.as_uri()}/index.html")
    height = page.evaluate("document.querySelector('.banner').getBoundingClientRect().height")
    assert 455 <= height <= 480
    page.close()


def test_no_layout_shift(browser: Browser, built: Path) -> None:
    """The clip has its place before its poster is there, at its own shape."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.route("**/*.webp", lambda route: route.abort())
    page.goto(f"{built.as_uri()}/index.html")
    box = page.locator(".clip").first.bounding_box()
    assert box is not None
    assert box["width"] == pytest.approx(box["height"], abs=0.1)
    assert box["width"] == pytest.approx(350, abs=1)
    page.close()


def test_skip_link(browser: Browser, built: Path) -> None:
    """The first stop of the keyboard is the way past the banner, and it can then be seen."""
    page = browser.new_page()
    page.goto(f"{built.as_uri()}/index.html")
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to the content"
    box = skip.bounding_box()
    assert box is not None
    assert box["y"] >= 0
    page.close()


CONTRASTS = """
() => {
  const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const channels = colour => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return channels('white');
  };
  const found = {};
  for (const e of document.querySelectorAll('main *, footer *, nav *')) {
    if (![...e.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    const pair = [light(channels(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    found[`${e.localName}.${e.className}`] = ratio;
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_of_the_text(browser: Browser, built: Path, scheme: Any) -> None:
    """Every text can be read against what lies behind it, by day and by night."""
    page = browser.new_page(color_scheme=scheme)
    page.goto(f"{built.as_uri()}/second/index.html")
    found = page.evaluate(CONTRASTS)
    page.goto(f"{built.as_uri()}/index.html")
    found |= page.evaluate(CONTRASTS)
    assert len(found) > 10
    assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
    page.close()


def luminance(shot: Image.Image) -> float:
    """The greatest relative luminance in a picture, as WCAG defines it."""
    values = np.asarray(shot.convert("RGB")) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float((linear @ [0.2126, 0.7152, 0.0722]).max())


@pytest.mark.parametrize("width", [320, 1280])
def test_contrast_of_the_banner(browser: Browser, tmp_path: Path, width: int) -> None:
    """White words stand on enough darkness even where the samples are all white."""
    output = build(tmp_path)
    poster = output / "media" / "index-mnist-trajectories.webp"
    Image.new("RGB", (504, 504), "white").save(poster, "WEBP")
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(f"{output.as_uri()}/index.html")
    page.locator(".banner-text > *").evaluate_all(
        "all => all.forEach(element => { element.style.visibility = 'hidden' })"
    )
    shot = Image.open(io.BytesIO(page.locator(".banner-text").screenshot()))
    brightest = luminance(shot.crop((3, 3, shot.width - 3, shot.height - 3)))
    assert 1.05 / (brightest + 0.05) >= 4.5
    page.close()
