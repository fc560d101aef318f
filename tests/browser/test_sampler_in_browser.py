"""A model that draws in the page: the shipped digits, under a sub-path and the page's policy."""

import contextlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, CDPSession, Page, expect

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from sitegen.deploy.check import check_folder
from sitegen.generative.card.card import read_card
from sitegen.media.frames import to_uint8
from sitegen.models.registry import model_source
from sitegen.sampling.export import Request, draw_samples
from sitegen.sampling.models import load_sampler
from tests.support.browsing import (
    box_of,
    frames,
    html_faults,
    opened,
    until,
    violations,
)
from tests.support.builders import CPU, decode, write_site
from tests.support.drawing import PAGE, SITE, level, wait
from tests.support.paths import ROOT
from tests.support.reporters import Silent
from tests.support.serving import PagesHandler, serving
from tests.support.tinymodel import on_one_thread, write_ddpm, write_flow, write_model

SITE_OF_TWO = f"""{SITE}
[models.faces]
path = "models/faces"
"""
TWO = """
{{ sampler("mnist", also="faces", count=1, caption="Draw some.", id="own") }}

{{ sampler("mnist", count=1, caption="Draw more.", id="more") }}
"""
SEED = 7
HUES = ("red", "amber", "lime", "green", "cyan", "blue", "violet", "pink")
DRAWING = ("Four more", "Other details")
REST = 24  # frames for which a film stays at its end
SAVING = ("Save PNG", "Save film", "Copy link")
WHY = "document.querySelector('.sampler-why').checkVisibility()"
PIXELS = """canvas => {
  const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
  pen.drawImage(canvas, 0, 0);
  return [...pen.getImageData(0, 0, canvas.width, canvas.height).data];
}"""

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


@pytest.fixture(scope="module")
def address(drawing_site: Path) -> Iterator[str]:
    """Where it is served."""
    with serving(drawing_site) as served:
        yield served


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    """The first two samples of the seed, as `sitegen sample` draws them, (2, 28, 28)."""
    sampler = load_sampler(model_source("mnist", ROOT / "models" / "mnist"), CPU)
    path = tmp_path_factory.mktemp("samples") / "x.npz"
    with np.load(draw_samples(sampler, Request(2, SEED), path, Silent())) as arrays:
        return to_uint8(arrays["final"])[..., 0]


@contextlib.contextmanager
def drawn(browser: Browser, address: str, fragment: str = "", **options: Any) -> Iterator[Page]:
    """The page when a picture has been drawn: that of a link, or the first of a press."""
    with opened(browser, address + fragment, **options) as page:
        if not fragment:
            page.locator(".sampler-new").click()
        wait(page)
        yield page


def press(page: Page, button: str) -> None:
    """Press a button that draws, and wait until it is told again that a picture is done."""
    page.evaluate("document.querySelector('.sampler-told').textContent = ''")
    page.locator(button).click()
    wait(page)


def seen(page: Page) -> NDArray[np.uint8]:
    """What the canvas shows, (28, 28)."""
    return coloured(page, 28)[..., 0]


def coloured(page: Page, side: int) -> NDArray[np.uint8]:
    """The same in colour, (side, side, 3)."""
    values: list[int] = page.locator(".sampler-stage canvas").evaluate(PIXELS)
    return np.array(values, np.uint8).reshape(side, side, 4)[..., :3]


def scrub(page: Page, value: int) -> None:
    """Put the slider somewhere."""
    page.locator(".sampler-slider").fill(str(value))


def decibels(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The peak signal to noise ratio of two pictures."""
    error = np.square(one.astype(float) - other).mean() / 255**2
    return float(10 * np.log10(1 / max(error, 1e-9)))


def link(page: Page) -> dict[str, str]:
    """What the link to the picture that is seen says."""
    page.locator(".sampler-link").click()
    until(page, "location.hash.length > 1")
    query = parse_qs(urlsplit(page.url).fragment)
    return {name: values[0] for name, values in query.items()}


def test_nothing_is_fetched_before_the_press(browser: Browser, address: str) -> None:
    """Not the model, its engine or a worker; then they are, and the whole way is seen."""
    asked: list[str] = []
    with opened(browser, address) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.locator(".sampler").scroll_into_view_if_needed()
        frames(page)
        names = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
        assert not [name for name in names if name.endswith((".bin", ".wasm", "worker.js"))]
        assert not [name for name in names if name.endswith(".json")]
        assert page.locator(".sampler-cost").inner_text().startswith("Fetches 7.8 MB; then ")
        assert not page.evaluate(WHY)
        asked.clear()
        page.locator(".sampler-new").click()
        assert page.locator(".sampler-new").inner_text() == "Stop"
        wait(page)
        fetched = [url.rpartition(".")[2] for url in asked]
        assert {"bin", "json", "wasm", "js"} == set(fetched)
        assert all(url.startswith(address) for url in asked)
        assert level(page) == 0
        visited = read_card(ROOT / "models/mnist").visited_levels
        for value in (0, 30, len(visited) - 1):
            scrub(page, value)
            assert level(page) == visited[value]
        scrub(page, 0)
        assert np.ptp(seen(page).astype(int)) < 20  # flat
        scrub(page, 50)
        state = seen(page)
        page.get_by_label("predicted final image").check()
        assert np.ptp(seen(page).astype(int)) > 150
        assert not np.array_equal(state, seen(page))


def test_pictures_are_those_of_sitegen(
    browser: Browser, address: str, wanted: NDArray[np.uint8]
) -> None:
    """A link opens the picture that `sitegen sample` draws, at its level, and says so."""
    with drawn(browser, address, f"#figure=own&picture={SEED}.1&level=0") as page:
        assert decibels(seen(page), wanted[1]) >= 35
        assert decibels(seen(page), wanted[0]) < 20
        told = page.locator(".sampler-about").inner_text()
        assert told.startswith(f"Sample 1 of seed {SEED}. It took ")
        assert f"sitegen sample mnist --seed {SEED} --count 2" in told
        scrub(page, 70)
        own = level(page)
        assert own in read_card(Path("models/mnist")).visited_levels
        assert link(page) == {"figure": "own", "picture": f"{SEED}.1", "level": str(own)}
        opens_again(browser, page, own)
        page.get_by_label("predicted final image").check()
        assert link(page)["shown"] == "predicted"
        opens_again(browser, page, own)


def opens_again(browser: Browser, page: Page, own: int) -> None:
    """Who follows the page's link sees the very same, at that level."""
    with opened(browser, page.url) as other:
        wait(other)
        assert level(other) == own
        assert np.array_equal(seen(other), seen(page))


def test_other_details(browser: Browser, address: str) -> None:
    """What was above the level stays, the rest is another, and its link opens the very same."""
    with drawn(browser, address, f"#figure=own&picture={SEED}.0") as page:
        first = seen(page)
        assert page.locator(".sampler-details").get_attribute("aria-disabled") == "false"
        scrub(page, 20)
        shared = seen(page)
        press(page, ".sampler-details")
        assert link(page)["picture"] == f"{SEED}.0-80.1"
        other = seen(page)
        assert decibels(first, other) < 25
        scrub(page, 20)
        assert np.array_equal(seen(page), shared)
        press(page, ".sampler-details")
        assert page.locator(".sampler-shelf input").count() == 3
        assert link(page)["picture"] == f"{SEED}.0-80.2"
        assert not np.array_equal(seen(page), other)
        names = page.locator(".sampler-shelf span").all_text_contents()
        assert names == [
            "Sample 0",
            *(f"Sample 0, other details {n}, from level 80 on" for n in (1, 2)),
        ]
        show_tab(page, "Drawn so far")
        page.locator(".sampler-shelf input").first.check()
        assert np.array_equal(seen(page), first)
        page.locator(".sampler-shelf input").first.press("ArrowRight")
        assert np.array_equal(seen(page), other)
        with drawn(browser, address, f"#figure=own&picture={SEED}.0-80.1") as again:
            assert np.array_equal(seen(again), other)


TABS = "Class", "Drawn so far", "Start", "Mix two"


def show_tab(page: Page, name: str) -> None:
    """Show the controls that one of the TABS names."""
    page.locator(".sampler").first.get_by_role("radio", name=name).check()


def wait_for_kept(page: Page, count: int) -> None:
    """Wait until so many pictures were drawn."""
    until(page, f"document.querySelectorAll('.sampler-shelf input').length === {count}")
    wait(page)


def test_from_one_to_another(browser: Browser, address: str, wanted: NDArray[np.uint8]) -> None:
    """At its ends the way is at the two pictures; a link to a place on it opens that."""
    with drawn(browser, address, f"#figure=own&picture={SEED}.0") as page:
        page.evaluate(f"location.hash = '#figure=own&picture={SEED}.1'")
        wait_for_kept(page, 2)
        for count, (share, end) in enumerate([("0", 0), ("1", 1), ("0.4", None)], 3):
            show_tab(page, "Mix two")
            page.locator(".sampler-share").fill(share)
            wait_for_kept(page, count)
            if end is not None:
                assert decibels(seen(page), wanted[end]) >= 35
        picture = link(page)["picture"]
        assert picture == f"{SEED}.0_{SEED}.1_0.4"
        between = seen(page)
        page.locator(".sampler-share").evaluate(
            "e => { e.value = 0.5; e.dispatchEvent(new Event('input')) }"
        )
        until(page, "document.querySelector('.sampler-new').textContent === 'New sample'")
        assert not np.array_equal(seen(page), between)  # few levels, and not kept
        assert page.locator(".sampler-shelf input").count() == 5
        with drawn(browser, address, f"#figure=own&picture={picture}") as again:
            assert np.array_equal(seen(again), between)


def test_colour(browser: Browser, tmp_path: Path) -> None:
    """A model of colour images that predicts no final image: its samples, and another colour."""
    folder = write_model(tmp_path / "models" / "mnist", channels=3)
    config = write_site(tmp_path, PAGE, SITE)
    build(config, BuildOptions(CPU), FigureRenderer, Silent())
    sampler = load_sampler(model_source("mnist", folder), CPU)
    with np.load(draw_samples(sampler, Request(1, SEED), tmp_path / "x.npz", Silent())) as arrays:
        picture = to_uint8(arrays["final"])[0]
    with serving(tmp_path / "build") as served:
        fragment = f"#figure=own&picture={SEED}.0"
        with drawn(browser, served, fragment) as page:
            assert decibels(coloured(page, 8), picture) >= 35
            assert not page.locator(".sampler-shows").is_visible()
            show_tab(page, "Start")
            assert page.locator(".sampler-colour").inner_text().startswith("Colour of")
            page.locator(".sampler-start").fill("#ff3300")
            wait_for_kept(page, 2)
            assert link(page)["picture"] == f"{SEED}.0~1,0.2,0"
            scrub(page, 0)
            red, green, blue = coloured(page, 8).mean((0, 1))
            assert red > 240
            assert green == pytest.approx(51, abs=12)
            assert blue < 15
            hues = page.locator(".sampler-hues button")
            assert 1 <= hues.count() <= 8
            hues.first.focus()
            page.keyboard.press("Enter")
            wait_for_kept(page, 3)
            named = hues.first.get_attribute("aria-label")
            picture = link(page)["picture"]
            assert named in HUES
            assert picture.startswith(f"{SEED}.0~")
            assert picture != f"{SEED}.0~1,0.2,0"


def test_flow_and_ddim(browser: Browser, tmp_path: Path) -> None:
    """A flow draws the pictures of `sitegen sample`, a DDPM those of DDIM; nothing is of heat.

    What needs a flat start or noise on the way is not offered, and a link cannot ask for it.
    """
    folder = write_flow(tmp_path / "models" / "mnist", channels=3)
    write_ddpm(tmp_path / "models" / "faces", channels=3)
    page_of_both = '{{ sampler("mnist", also="faces", count=1, caption="Draw some.", id="own") }}\n'
    config = write_site(tmp_path, page_of_both, SITE_OF_TWO)
    build(config, BuildOptions(CPU), FigureRenderer, Silent())
    wanted: dict[str, NDArray[np.uint8]] = {}
    for name in ("mnist", "faces"):
        sampler = load_sampler(model_source(name, tmp_path / "models" / name), CPU)
        sampler = sampler.ddim(4) if name == "faces" else sampler
        *_, (_, images) = sampler.begin(SEED, (0,)).seen("mean")
        wanted[name] = to_uint8(images)[0]
    assert folder.is_dir()
    with serving(tmp_path / "build") as served:
        for name, picture in wanted.items():
            box = f"#own .sampler[data-label={name}]"
            link_to = f"#figure=own&model={name}&picture={SEED}.0"
            with opened(browser, served + link_to) as page:
                told(page, f"{box}", "The picture is done.")
                values = page.locator(f"{box} .sampler-stage canvas").evaluate(PIXELS)
                found = np.array(values, np.uint8).reshape(8, 8, 4)[..., :3]
                assert decibels(found, picture) >= 40
                shown = page.locator(box).inner_text()
                assert not [word for word in ("σ", "px", "Start colour") if word in shown]
                button = page.locator(box).get_by_role("button", name="Other details")
                assert not button.is_visible()
                assert ("sitegen sample" in shown) == (name == "mnist")
                page.locator(f"{box} .sampler-several").click()
                told(page, box, "The pictures are done.")
            with opened(browser, served + link_to + "-3.1") as page:
                told(page, box, "The link names no picture that this model can draw.")


def test_saved_picture(browser: Browser, address: str, tmp_path: Path) -> None:
    """A PNG of what is seen, each pixel a square, and a film; their names say which picture.

    The film ends with the picture, which stays for a moment, and is of the one that was seen when
    it was asked for.
    """
    with drawn(browser, address, f"#figure=own&picture={SEED}.0") as page:
        with page.expect_download() as download:
            page.locator(".sampler-save").click()
        assert download.value.suggested_filename == f"mnist-{SEED}.0-level-0.png"
        with Image.open(download.value.path()) as picture:
            found = np.asarray(picture.convert("L"))
        assert found.shape == (504, 504)
        assert np.array_equal(found[9::18, 9::18], seen(page))
        page.evaluate(f"location.hash = '#figure=own&picture={SEED}.1'")
        wait_for_kept(page, 2)
        last = seen(page)
        show_tab(page, "Drawn so far")
        with page.expect_download() as download:
            page.locator(".sampler-film").click()
            page.locator(".sampler-shelf input").first.check()
        assert download.value.suggested_filename == f"mnist-{SEED}.1.mp4"
        download.value.save_as(tmp_path / "film.mp4")
        film = decode(tmp_path / "film.mp4")[:, 9::18, 9::18, 0]
        levels = page.evaluate("Number(document.querySelector('.sampler-slider').max)") + 1
        assert len(film) == levels + REST
        assert decibels(film[-1], last) > 30
        assert decibels(film[-3], film[-1]) > 35
        assert decibels(film[0], last) < 15


STOP = "document.activeElement.closest('fieldset, .sampler-bar, .sampler-scrubber').className"
LABELS = ["sampler-labels"] * 2  # the classes and the guidance


# From within the page, since a digit may be done before a test hears that it has begun.
WHEN_BEGUN = """() => {
  const level = document.querySelector('.sampler-readout b');
  new MutationObserver((_, observer) => {
    if (!Number(level.textContent)) return;
    observer.disconnect();
    %s
  }).observe(level, { childList: true, characterData: true, subtree: true });
}"""
_PRESS = "new KeyboardEvent('keydown', { key: 'Escape', bubbles: true })"
ESCAPE = WHEN_BEGUN % f"document.activeElement.dispatchEvent({_PRESS});"


def test_by_keyboard_alone(browser: Browser, address: str) -> None:
    """Enter draws, Escape stops, and the buttons are one stop of Tab with arrows between them."""
    with opened(browser, address) as page:
        page.locator(".sampler-new").focus()
        page.evaluate(ESCAPE)
        page.keyboard.press("Enter")
        until(page, "document.querySelector('.sampler-told').textContent === 'Stopped.'")
        assert 0 < level(page) < 100
        assert page.evaluate("document.activeElement.textContent") == "New sample"
        names = []
        for _ in range(3):
            page.keyboard.press("ArrowRight")
            names.append(page.evaluate("document.activeElement.textContent"))
        assert names == [*DRAWING, "New sample"]
        page.keyboard.press("Shift+Tab")
        names = []
        for _ in range(3):
            names.append(page.evaluate("document.activeElement.textContent"))
            page.keyboard.press("ArrowRight")
        assert names == [*SAVING]
        stops = []
        for _ in range(6):
            page.keyboard.press("Tab")
            stops.append(page.evaluate(STOP))
        assert stops == ["sampler-bar", "sampler-scrubber", "sampler-shows", "tab-list", *LABELS]
        page.locator(".sampler-new").focus()
        page.keyboard.press("Enter")
        wait(page)


def test_little_motion(browser: Browser, address: str, wanted: NDArray[np.uint8]) -> None:
    """Who asks for it sees the result without the way."""
    watch = """
    window.shown = new Set();
    const put = CanvasRenderingContext2D.prototype.putImageData;
    CanvasRenderingContext2D.prototype.putImageData = function (image, x, y) {
      if (this.canvas.closest('.sampler-stage')) window.shown.add(String(image.data));
      return put.call(this, image, x, y);
    };
    """
    fragment = f"#figure=own&picture={SEED}.0"
    with drawn(browser, address, fragment, before=watch, reduced_motion="reduce") as page:
        assert page.evaluate("window.shown.size") == 1
        assert decibels(seen(page), wanted[0]) >= 35


def test_data_are_saved(browser: Browser, address: str) -> None:
    """Where they are dear, a link waits for the press, which then opens its picture."""
    dear = "Object.defineProperty(navigator, 'connection', { value: { saveData: true } })"
    with opened(browser, f"{address}#figure=own&picture={SEED}.1", before=dear) as page:
        expect(page.locator(".sampler-told")).to_contain_text("Press the button to fetch the model")
        frames(page)
        names = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
        assert not [name for name in names if name.endswith((".bin", ".wasm", "worker.js"))]
        press(page, ".sampler-new")
        assert link(page)["picture"] == f"{SEED}.1"


def test_script_comes_on_approach(browser: Browser, drawing_site: Path, tmp_path: Path) -> None:
    """At the top of a long page it is not fetched; near it, with Tab or by a link it is."""
    site = shutil.copytree(drawing_site, tmp_path / "sub")
    (style,) = site.glob("assets/style-*.css")
    style.write_text(f"{style.read_text()}\n.sampler-figure {{ margin-top: 9000px; }}\n")
    here = "document.querySelectorAll('script[data-worker][src*=\"/sampler-\"]').length"
    with serving(site) as served:
        with opened(browser, served) as page:
            frames(page)
            assert page.evaluate(here) == 0
            page.evaluate("scrollTo(0, 7500)")
            page.locator(".sampler.live").wait_for()
            assert page.evaluate(here) == 1
        with opened(browser, served) as page:
            page.keyboard.press("Tab")
            page.locator(".sampler.live").wait_for()
        with opened(browser, served) as page:
            figure = page.locator(".sampler-figure").get_attribute("id")
            page.evaluate(f"location.hash = 'figure={figure}&picture=7.0'")
            wait(page)


def test_choice(browser: Browser, tmp_path: Path) -> None:
    """One of two models, which a link names; and nothing of the other is fetched.

    Several pictures are drawn by several workers, and two figures fetch a model once.
    """
    write_model(tmp_path / "models" / "mnist", levels=9)
    write_model(tmp_path / "models" / "faces", channels=3, levels=9)
    build(write_site(tmp_path, TWO, SITE_OF_TWO), BuildOptions(CPU), FigureRenderer, Silent())
    cores = "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 2 })"
    with serving(tmp_path / "build") as served, opened(browser, served, before=cores) as page:
        page.locator("#own .sampler-choices.live").wait_for()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
        assert page.locator("#own .sampler:visible").count() == 1
        page.locator("#own .sampler-choices input").first.press("ArrowRight")
        assert page.locator("#own .sampler:visible").get_attribute("data-label") == "faces"
        assert not [name for name in asked if name.endswith((".bin", ".json", ".js", ".wasm"))]
        page.locator("#own .sampler:visible .sampler-new").click()
        told(page, "#own .sampler:visible", "The picture is done.")
        assert {name.partition("-")[0] for name in asked if "-weights-" in name} == {"faces"}
        page.locator("#own .sampler:visible .sampler-link").click()
        until(page, "location.hash.length > 1")
        with opened(browser, page.url) as other:
            told(other, "#own .sampler:visible", "The picture is done.")
            assert other.locator("#own .sampler:visible").get_attribute("data-label") == "faces"
            assert other.locator("#own .sampler-choices input:checked").input_value() == "faces"
        page.locator("#own .sampler-choices input").first.check()
        page.locator("#own .sampler:visible .sampler-new").click()
        told(page, "#own .sampler:visible", "The picture is done.")
        with page.expect_event("worker"):  # a second one, for the second core
            page.locator("#own .sampler:visible .sampler-several").click()
        told(page, "#own .sampler:visible", "The pictures are done.")
        assert page.locator("#own .sampler:visible .sampler-shelf input").count() == 5
        page.locator("#more .sampler-new").click()
        told(page, "#more .sampler", "The picture is done.")
        assert len([name for name in asked if name.startswith("mnist-weights-")]) == 1


def told(page: Page, box: str, words: str) -> None:
    """Wait until a sampler says something."""
    status = page.locator(f"{box} .sampler-told")
    expect(status).to_have_text(words)


@pytest.mark.parametrize("picture", ["", "x.0", f"{2**63}.0", "7.0_7.1_2", "7.0~0.2,0.3,0.4"])
def test_links_that_say_nothing(browser: Browser, address: str, picture: str) -> None:
    """A link that is no picture's draws none, nor does one to a colour of a grey model."""
    with opened(browser, f"{address}#figure=own&picture={picture}") as page:
        frames(page)
        assert page.locator(".sampler-new").inner_text() == "Draw a sample"


@pytest.mark.parametrize("width", [360, 372, 390, 430, 820, 1280])  # below 376 in two rows
def test_nothing_moves_when_the_model_comes(browser: Browser, address: str, width: int) -> None:
    """Controls have their space before the press; what is beneath moves by 40 pixels at most."""
    below = "document.querySelector('main > p:last-of-type').getBoundingClientRect().top + scrollY"
    with opened(browser, address, viewport={"width": width, "height": 800}) as page:
        page.locator(".sampler.live").wait_for()
        before = page.evaluate(below)
        page.locator(".sampler-new").click()
        wait(page)
        for name in TABS:
            show_tab(page, name)
            assert abs(page.evaluate(below) - before) <= 40
        press(page, ".sampler-new")
        press(page, ".sampler-details")
        assert abs(page.evaluate(below) - before) <= 40


def test_progress_on_a_slow_line(
    browser: Browser, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar and a sentence show how much of the model has come; the bar goes when all is there."""
    send, seen = PagesHandler.copyfile, threading.Event()

    def trickle(self: PagesHandler, source: Any, outputfile: Any) -> None:
        if self.path.endswith(".bin"):
            outputfile.write(source.read(len(source.getbuffer()) // 2))
            # At this pace the rest takes minutes: the bar stays until the test has seen it.
            while not seen.wait(0.05):
                outputfile.write(source.read(100))
                outputfile.flush()
        send(self, source, outputfile)

    monkeypatch.setattr(PagesHandler, "copyfile", trickle)
    with opened(browser, address) as page:
        try:
            page.locator(".sampler-new").click()
            bar, told = page.locator(".sampler-fetch"), page.locator(".sampler-told")
            expect(bar).to_be_visible()
            expect(told).to_have_text(re.compile(r"The model is being fetched: \d+ %\."))
            assert 40 <= bar.evaluate("bar => bar.value") < 100
        finally:
            seen.set()
        wait(page)
        expect(bar).to_be_hidden()


def test_policy(drawing_site: Path) -> None:
    """Only the page with the sampler may compile code and start workers; every link arrives."""
    front, more = (
        unescape((drawing_site / name).read_text()) for name in ("index.html", "more/index.html")
    )
    assert "'wasm-unsafe-eval'; worker-src 'self'" in front
    assert "wasm" not in more
    assert "assets/sampler-" not in more
    assert check_folder(drawing_site).errors == ()
    figure = json.loads((drawing_site / "media.json").read_text())["figures"][0]
    assert figure["kind"] == "sampler"
    assert set(figure["files"]) == {"poster", "poster-webp", "model", "weights"}


@pytest.mark.parametrize(
    ("scheme", "widths"), [("light", (320, 390, 1280, 2560)), ("dark", (390,))]
)
def test_axe_and_targets(
    browser: Browser, address: str, scheme: Any, widths: tuple[int, ...]
) -> None:
    """No violation before a press and after it, nothing too wide, and targets of 44 pixels.

    So in windows from a small phone's to a large screen's, with pictures to choose from.
    """
    with opened(browser, address, color_scheme=scheme) as page:
        fits(page, widths)
        page.locator(".sampler-new").click()
        wait(page)
        press(page, ".sampler-new")
        scrub(page, 70)
        press(page, ".sampler-details")
        for name in TABS:
            show_tab(page, name)
            fits(page, widths)


def fits(page: Page, widths: tuple[int, ...]) -> None:
    """Look at the page in these widths; what axe finds depends on a phone or a desk alone."""
    targets = ".sampler button, .sampler .slider, .sampler-thumb"
    for width in widths:
        page.set_viewport_size({"width": width, "height": 800})
        assert width not in (390, 1280) or violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for target in page.locator(f"{targets}, .sampler-shows label, [role=treeitem]").all():
            if target.is_visible():
                box = box_of(target)
                assert box["height"] >= 44
                assert box["width"] >= 44


def test_scrolling_does_not_stutter(browser: Browser, drawing_site: Path) -> None:
    """While a picture is drawn, the page's own thread has little to do, and few long tasks.

    The time of that thread is what it had of a processor, so a busy machine counts for little. The
    host is a plain one, without ranges and compression.
    """
    watching = """
    window.long = 0;
    const count = list => { window.long += list.getEntries().length };
    new PerformanceObserver(count).observe({ type: 'longtask' });
    """
    with (
        serving(drawing_site, plain=True) as served,
        opened(browser, served, before=watching) as page,
    ):
        thread = page.context.new_cdp_session(page)
        thread.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.evaluate("window.long = 0")
        before = spent(thread)
        page.locator(".sampler-new").click()
        wait(page)
        assert spent(thread) - before < 0.7
        assert page.evaluate("window.long") < 12  # of 49 levels


def spent(thread: CDPSession) -> float:
    """Seconds that the page's own thread has worked."""
    found = thread.send("Performance.getMetrics")["metrics"]
    return next(float(each["value"]) for each in found if each["name"] == "TaskDuration")


def test_html_validate_finds_nothing(drawing_site: Path) -> None:
    """No error in the page, by the recommended rules."""
    assert html_faults(drawing_site / "index.html") == ""
