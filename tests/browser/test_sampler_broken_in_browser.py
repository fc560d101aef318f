"""A model that draws in the page, where parts of it are missing, damaged or not allowed."""

import contextlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.browsing import opened, until, watch
from tests.support.builders import decode
from tests.support.drawing import level, wait
from tests.support.serving import PagesHandler, serving
from tests.support.tinymodel import on_one_thread

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)


@pytest.fixture(scope="module")
def address(drawing_site: Path) -> Iterator[str]:
    """Where it is served."""
    with serving(drawing_site) as served:
        yield served


@pytest.mark.parametrize("place", ["file", "script", "wasm"])
def test_where_nothing_can_be_drawn(
    browser: Browser, drawing_site: Path, address: str, place: str
) -> None:
    """From a disk, without JavaScript or without WebAssembly a sentence stands for the button."""
    without = "delete globalThis.WebAssembly" if place == "wasm" else ""
    options: dict[str, Any] = {"java_script_enabled": place != "script"}
    start = address if place != "file" else f"{drawing_site.as_uri()}/index.html"
    page = browser.new_page(**options)
    page.add_init_script(without)
    page.goto(start)
    with contextlib.closing(page):
        words = {"file": "opened from a disk", "script": "With JavaScript", "wasm": "WebAssembly"}
        expect(page.locator(".sampler-why")).to_contain_text(words[place])
        expect(page.locator(".sampler-why")).to_be_visible()
        assert not page.locator(".sampler-new").is_visible()
        assert page.locator(".sampler img").is_visible()


def tampered(**values: Any) -> Callable[[bytes], bytes]:
    """Return what changes values of a model's description."""
    return lambda data: json.dumps(json.loads(data) | values).encode()


PARTS: dict[str, tuple[str, Callable[[bytes], bytes] | None]] = {
    "weights that end early": ("media/*.bin", lambda data: data[: len(data) // 2]),
    "a side of a billion": ("media/*.json", tampered(image_size=10**9)),
    "a damaged engine": ("assets/**/kernels.wasm", lambda data: data[:9000] + bytes(9000)),
    "a worker without a part": ("assets/**/networks.js", None),
}


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_a_model_that_are_missing_or_damaged(
    browser: Browser, drawing_site: Path, tmp_path: Path, part: str
) -> None:
    """Weights, engine or worker that do not come whole: told, as often; whole, the press draws."""
    site = shutil.copytree(drawing_site, tmp_path / "sub")
    pattern, damage = PARTS[part]
    (file,) = site.glob(pattern)
    whole = file.read_bytes()
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(whole))
    uncaught: list[str] = []
    with serving(site) as served, contextlib.closing(browser.new_page()) as page:
        page.on("pageerror", lambda error: uncaught.append(str(error)))
        page.goto(served)
        for _ in range(2):
            page.locator(".sampler-new").click()
            expect(page.locator(".sampler-trouble")).to_be_visible()
            expect(page.locator(".sampler-new")).to_have_text("New sample")
            assert page.locator(".sampler img").is_visible()
        file.write_bytes(whole)
        page.locator(".sampler-new").click()
        wait(page)
        expect(page.locator(".sampler-trouble")).to_be_hidden()
        assert uncaught == []


def test_host_that_forbids_wasm(browser: Browser, address: str) -> None:
    """Where the host's policy forbids WebAssembly, that is said, and nothing is fetched for it."""
    with contextlib.closing(browser.new_page()) as page:
        asked = watch(page)[1]

        def forbid(route: Route) -> None:
            answer = route.fetch()
            policy = {"Content-Security-Policy": "script-src 'self'"}
            route.fulfill(response=answer, headers={**answer.headers, **policy})

        page.route("**/sub/", forbid)
        page.goto(address)
        expect(page.locator(".sampler-why")).to_have_text(re.compile("forbids WebAssembly"))
        expect(page.locator(".sampler-new")).not_to_be_visible()
        assert not [url for url in asked if url.endswith((".bin", ".wasm"))]


HASTE = (
    "const real = setTimeout; setTimeout = (task, wait) => real(task, wait > 9999 ? 3000 : wait);"
)


def test_weights_that_nobody_sends(
    browser: Browser, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that takes the request and says nothing: it is told, and the next press draws."""
    send, silent, waiting = PagesHandler.copyfile, threading.Event(), threading.Event()

    def wait_first(self: PagesHandler, source: Any, outputfile: Any) -> None:
        if self.path.endswith(".bin") and not waiting.is_set():
            waiting.set()
            silent.wait(60)
        with contextlib.suppress(OSError):  # nobody reads any more
            send(self, source, outputfile)

    monkeypatch.setattr(PagesHandler, "copyfile", wait_first)
    with contextlib.closing(browser.new_page()) as page:
        page.add_init_script(HASTE)
        page.goto(address)
        button, told = page.locator(".sampler-new"), page.locator(".sampler-told")
        for words in ("The model is being fetched.", "Stopped.", "The model is being fetched."):
            button.click()
            expect(told).to_have_text(words)
        expect(page.locator(".sampler-trouble")).to_be_visible()
        assert waiting.is_set()
        button.click()
        wait(page)
        expect(page.locator(".sampler-trouble")).to_be_hidden()
        silent.set()


def test_script_that_does_not_come(browser: Browser, address: str) -> None:
    """Where the script that draws does not come, a sentence stands for the button."""
    with contextlib.closing(browser.new_page()) as page:
        page.route("**/sampler-*.js", lambda route: route.abort())
        page.goto(address)
        expect(page.locator(".sampler-why")).to_have_text(re.compile("did not come"))
        expect(page.locator(".sampler-new")).not_to_be_visible()


def test_states_that_are_none(browser: Browser, drawing_site: Path, tmp_path: Path) -> None:
    """A picture whose numbers leave what pictures hold is broken off, in words, with its level."""
    site = shutil.copytree(drawing_site, tmp_path / "sub")
    (description,), (weights,) = site.glob("media/*.json"), site.glob("media/*.bin")
    place = json.loads(description.read_text())["tensors"]["statistics.mean"]["offset"]
    data = bytearray(weights.read_bytes())
    data[place : place + 4] = np.float32(np.nan).tobytes()
    weights.write_bytes(data)
    with serving(site) as served, opened(browser, served) as page:
        page.locator(".sampler-new").click()
        words = (
            "document.querySelector('.sampler-told').textContent.startsWith('The picture broke')"
        )
        until(page, words)
        assert "on the way to level 99:" in page.locator(".sampler-told").inner_text()
        assert level(page) == 100
        assert page.locator(".sampler-new").inner_text() == "New sample"


def test_film_without_h264(browser: Browser, address: str, tmp_path: Path) -> None:
    """Without an encoder of H.264 the film is whole in another format, which is said."""
    with opened(browser, address, "delete window.VideoEncoder") as page:
        page.locator(".sampler-new").click()
        wait(page)
        levels = page.evaluate("Number(document.querySelector('.sampler-slider').max)") + 1
        with page.expect_download() as download:
            page.get_by_role("button", name="Save film").click()
        expect(page.locator(".sampler-told")).to_have_text("The film is saved as WebM.")
        download.value.save_as(tmp_path / "film.webm")
        assert len(decode(tmp_path / "film.webm")) >= 70 / 75 * (levels + 24)
