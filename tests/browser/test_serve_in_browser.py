"""`sitegen serve` in Chromium: pages are edited, broken and mended, and the browser follows."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browsing import (
    box_of,
    frames,
    until,
)
from tests.support.builders import INDEX, FakeRenderer, write_page
from tests.support.previewing import Running, port_to_return_to, running
from tests.support.serving import serving

BROKEN = INDEX.replace("count=4", "cuont=4")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which nothing may go wrong, but for what a server means to tell, or one away."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    yield page
    page.close()
    # One that goes away while it is asked cuts the line, and then refuses others.
    meant = (
        "status of 503",
        "ERR_CONNECTION_REFUSED",
        "ERR_CONNECTION_RESET",
        "ERR_EMPTY_RESPONSE",
    )
    assert [trouble for trouble in troubles if not any(each in trouble for each in meant)] == []


def test_new_words_reload_the_page(server: Running, config: Path, page: Page) -> None:
    """An edit is in the browser at once, at the place that the reader had scrolled to."""
    long = INDEX + "\n" + "\n\n".join(f"Paragraph {number}." for number in range(200))
    write_page(config, long)
    page.goto(server.address)
    expect(page.get_by_text("Paragraph 199.")).to_be_attached()
    page.wait_for_load_state("load")
    page.evaluate("scrollTo(0, 2000)")
    for words in ("New words.", "Other words."):  # how soon is in `e2e/server/test_preview.py`
        write_page(config, long.replace("Words.", words))
        expect(page.get_by_text(words)).to_be_attached()
        until(page, "Math.abs(scrollY - 2000) < 50")


def test_mistake_and_its_mending(server: Running, config: Path, page: Page) -> None:
    """File, line and hint stand over the last page until mended, or put away by key or button.

    The page has room below for them, so that its end can be read above them.
    """
    page.set_viewport_size({"width": 390, "height": 500})
    page.goto(server.address)
    overlay = page.get_by_role("alertdialog")
    write_page(config, BROKEN)
    expect(overlay).to_contain_text('did you mean "count"?')
    expect(overlay.locator("code")).to_have_text(f"{config.parent}/pages/index.md:3")
    expect(page.get_by_text("Words.", exact=True)).to_be_attached()
    expect(overlay.get_by_role("button")).to_be_focused()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    end = box_of(page.locator("footer"))
    assert end["y"] + end["height"] <= box_of(overlay)["y"]
    page.keyboard.press("Escape")
    expect(overlay).to_have_count(0)
    assert page.evaluate("document.body.style.paddingBottom") == ""
    write_page(config, BROKEN.replace("cuont", "coumt"))
    expect(overlay).to_contain_text("coumt")
    overlay.get_by_role("button").click()
    expect(overlay).to_have_count(0)
    write_page(config, BROKEN)
    expect(overlay).to_contain_text("cuont")
    write_page(config, INDEX)
    expect(overlay).to_have_count(0)
    assert server.preview.state.error is None


def test_error_goes_to_its_figure(server: Running, config: Path, page: Page) -> None:
    """The figure of an error is marked and scrolled to, above the message."""
    long = "\n\n".join(f"Paragraph {number}." for number in range(100))
    write_page(config, f"{long}\n\n{INDEX}\n{long}\n")
    page.goto(server.address)
    expect(page.locator("#tiny-trajectories video")).to_have_count(1)
    write_page(config, f"{long}\n\n{BROKEN}\n{long}\n")
    panel = page.get_by_role("alertdialog")
    expect(panel).to_contain_text("cuont")
    figure = page.locator(".sitegen-failed")
    expect(figure).to_have_id("tiny-trajectories")
    expect(figure).to_be_in_viewport()
    assert box_of(figure)["y"] < box_of(panel)["y"]
    write_page(config, f"{long}\n\n{INDEX}\n{long}\n")
    expect(panel).to_have_count(0)
    expect(figure).to_have_count(0)


PILL = """() => {
  const box = (element) => element.getBoundingClientRect();
  const pill = document.querySelector(".sitegen-progress");
  const own = box(pill);
  if (getComputedStyle(pill).visibility === "hidden") return "hidden";
  const covered = [...document.querySelectorAll("a, button, input, select")].filter((each) => {
    const { left, right, top, bottom, width } = box(each);
    return width && left < own.right && right > own.left && top < own.bottom && bottom > own.top;
  });
  return covered.map((each) => each.outerHTML).join();
}"""


@pytest.mark.parametrize("width", [390, 1280])
def test_progress_covers_no_control(config: Path, browser: Browser, width: int) -> None:
    """Wherever the page is scrolled to, the progress leaves its controls free."""
    write_page(config, f"{INDEX}\n" + "\n\n".join(f"[A link {n}](#top)" for n in range(40)))
    page = browser.new_page(viewport={"width": width, "height": 600})
    with running(config, FakeRenderer(pause=2)) as server:
        page.goto(server.address)
        expect(page.locator(".sitegen-progress")).to_be_attached()
        for top in range(0, 1200, 150):
            page.evaluate("top => scrollTo(0, top)", top)
            frames(page, 4)
            assert page.evaluate(PILL) in ("", "hidden")
        page.close()


def test_server_that_comes_back(config: Path, page: Page) -> None:
    """A first mistake is a page, the site comes by itself, and a new server is found."""
    write_page(config, BROKEN)
    port = port_to_return_to()
    with running(config, port=port) as server:
        page.goto(server.address)
        expect(page.get_by_text("cuont: unknown")).to_be_visible()
        write_page(config, BROKEN.replace("cuont", "coumt"))
        expect(page.get_by_text("coumt: unknown")).to_be_visible()
        write_page(config, INDEX)
        expect(page.get_by_text("Words.", exact=True)).to_be_visible()
        # Its last version, else it may reload while the server ends, without its script.
        expect(page.locator("video")).to_be_attached()
        page.wait_for_load_state("load")
    write_page(config, INDEX.replace("Words.", "Other words."))
    with running(config, port=port):
        expect(page.get_by_text("Other words.")).to_be_visible()
        page.goto("about:blank")


def test_another_program_at_the_port(config: Path, browser: Browser) -> None:
    """A page that another program answers meanwhile still finds the next server."""
    page = browser.new_page()
    write_page(config, INDEX)
    port = port_to_return_to()
    with running(config, port=port) as server:
        server.wait_until_settled()
        page.goto(server.address)
        expect(page.get_by_text("Words.", exact=True)).to_be_visible()
        page.wait_for_load_state("load")
    with HTTPServer(("127.0.0.1", port), BaseHTTPRequestHandler) as other:  # answers with 501
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with page.expect_response("**/_sitegen/events"):
            pass
        other.shutdown()
    write_page(config, INDEX.replace("Words.", "Other words."))
    with running(config, port=port):
        expect(page.get_by_text("Other words.")).to_be_visible()
        page.close()


def test_clip_appears_when_it_is_rendered(config: Path, page: Page) -> None:
    """A new figure has its place, then its clip."""
    with running(config, FakeRenderer(pause=0.3), encode=None) as server:
        page.goto(server.address)
        expect(page.get_by_text("This figure has no clip yet")).to_be_visible()
        expect(page.get_by_role("status").last).to_contain_text("rendering tiny-trajectories")
        expect(page.locator("video")).to_have_count(1)
        until(page, "(v => v.currentTime > 0 && !v.paused)(document.querySelector('video'))")
        assert page.evaluate("document.querySelector('video').currentSrc").endswith(".mp4")
        expect(page.get_by_role("status").filter(has_text="rendering")).to_have_count(0)
        page.goto("about:blank")


LOOK = """
async url => {
  const seen = [];
  for (const mode of ["cors", "no-cors"]) {
    try { seen.push(await (await fetch(url, {mode})).text()); } catch {}
  }
  return seen.join("");
}
"""

SHOW = """
url => new Promise(done => {
  const picture = new Image();
  picture.onload = () => done(true);
  picture.onerror = () => done(false);
  picture.src = url;
})
"""


def test_other_pages_cannot_look(server: Running, browser: Browser, tmp_path: Path) -> None:
    """A page of another origin reads nothing and shows nothing: no words, no clips, no poster."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/index.html").write_text("<!DOCTYPE html><title>Another site</title>")
    page = browser.new_page()
    with serving(tmp_path / "other") as address:
        page.goto(address)
        assert "Another" in page.evaluate(LOOK, page.url)
        for path in ("", "media.json", "_sitegen/reload.js"):
            assert page.evaluate(LOOK, server.address + path) == ""
        poster = next((server.preview.config.parent / "build/media").glob("*.webp")).name
        assert page.evaluate(SHOW, f"{server.address}media/{poster}") is False
        page.close()
