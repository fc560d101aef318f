"""Debian's Chromium for tests, and what tests ask of a page in it; and of its HTML."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from playwright.sync_api import (
    Browser,
    FloatRect,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.support.paths import TESTS
from tests.support.programs import leave_out, program

MODULES = TESTS / "npm/node_modules"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"
]  # fmt: skip

PATIENCE_S = 150.0
"""How long to wait for what comes in moments: a machine that others use, too, stands still at
times, and a test that passes does not wait."""

expect.set_options(timeout=1000 * PATIENCE_S)


LIVE = """
[...document.querySelectorAll('.sampler')].every((sampler) => {
  const [box] = sampler.getClientRects();
  const near = box && box.top < 3 * innerHeight && box.bottom > -2 * innerHeight;
  return !near || sampler.matches('.live') || sampler.querySelector('.told');
})
"""
"""Whether the samplers that a visitor is near have their script, or say why not."""


LAID_OUT = """async () => {
  if (matchMedia('(scripting: none)').matches) return; // no script, no frame for it
  await document.fonts.ready;
  // Observers of sizes are told of them in a frame, after its callbacks.
  for (let count = 0; count < 2; count++) await new Promise(requestAnimationFrame);
}"""
"""Wait until the page has its fonts, and its observers of sizes have set what depends on them."""


def chromium(*, whole: bool = False) -> Iterator[Browser]:
    """Debian's Chromium with a profile of its own.

    Unless it is to be `whole`, its headless shell where that is installed: the same engine without
    windows, which needs 0.4 of the time of processors.
    """
    names = ("chromium",) if whole else ("chromium-headless-shell", "chromium")
    path = program(*names, package="chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        with _patience():
            yield browser
        browser.close()


@contextmanager
def _patience() -> Iterator[None]:
    """Pages that wait as long for a press and for an address as for what is expected."""

    def patient(make: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            page = make(*arguments, **options)
            page.set_default_timeout(1000 * PATIENCE_S)
            return page

        return call

    with (
        patch.object(Browser, "new_page", patient(Browser.new_page)),
        patch.object(Browser, "new_context", patient(Browser.new_context)),
    ):
        yield


@contextmanager
def opened(browser: Browser, address: str, before: str = "", **options: Any) -> Iterator[Page]:
    """A page at an address, in a context of its own, once it is laid out; `before` runs first.

    At the end there must have been no message on its console, no failed request, and none to a
    place outside the site.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    page = context.new_page()
    troubles, asked = watch(page)
    page.add_init_script(before)
    page.goto(address)
    page.wait_for_load_state("load")
    until(page, LIVE)
    page.evaluate(LAID_OUT)
    yield page
    root = address.partition("/sub/")[0]
    assert not troubles, troubles
    assert [url for url in asked if not url.startswith(root)] == []
    context.close()


def box_of(place: Locator) -> FloatRect:
    """Where an element is on the page, which it must be, once the page is laid out."""
    place.evaluate(LAID_OUT)
    box = place.bounding_box()
    assert box is not None
    return box


def until(page: Page, expression: str, argument: object = None) -> None:
    """Wait until a JavaScript expression is true; the pages' policy forbids Playwright's way."""
    end = time.monotonic() + PATIENCE_S
    while not page.evaluate(expression, argument):
        assert time.monotonic() < end, f"not after {PATIENCE_S:.0f} s: {expression}"
        page.wait_for_timeout(30)


def frames(page: Page, count: int = 12) -> None:
    """Wait until the browser has drawn so many frames and is idle, to see that nothing happens."""
    page.evaluate(
        """async count => {
          for (let number = 0; number < count; number++) await new Promise(requestAnimationFrame);
          await new Promise(resolve => requestIdleCallback(resolve, { timeout: 1000 }));
        }""",
        count,
    )


def watch(page: Page) -> tuple[list[str], list[str]]:
    """Collect whatever goes wrong on a page, and the addresses that it asks for."""
    troubles: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("requestfailed", lambda request: troubles.extend(_failure(request)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda answer: troubles.extend([answer.url] * (answer.status >= 400)))
    return troubles, asked


def _failure(request: Request) -> list[str]:
    """What failed; what is no longer wanted, as of a page that is left, is no failure."""
    broken_off = request.failure == "net::ERR_ABORTED"
    return [] if broken_off else [f"{request.url}: {request.failure}"]


def html_faults(*files: Path) -> str:
    """Return what html-validate has against pages, by its recommended rules."""
    script = _module("html-validate/bin/html-validate.mjs")
    node = program("node", package="nodejs")
    rules = json.dumps({"root": True, "extends": ["html-validate:recommended"]})
    with tempfile.NamedTemporaryFile("w", suffix=".json") as config:
        config.write(rules)
        config.flush()
        command = [node, script, "--config", config.name, "--formatter", "text"]
        done = subprocess.run(
            [*map(str, command), *map(str, files)], capture_output=True, text=True
        )
    return done.stdout + done.stderr or ("" if done.returncode == 0 else "it failed")


@cache
def _axe() -> str:
    return _module("axe-core/axe.min.js").read_text(encoding="utf-8")


def _module(name: str) -> Path:
    """Return the path of a file of the npm packages; without it the test is left out."""
    path = MODULES / name
    if not path.is_file():
        leave_out(f"{name} is missing; `sh scripts/browser-needs.sh` installs it with npm")
    return path


def violations(page: Page, *rules: str) -> list[str]:
    """Return axe-core's violations of the page, each with its first element.

    rules: names of the rules to run; the default rules if none
    """
    page.evaluate(_axe())
    run = "rules => axe.run(rules.length ? { runOnly: rules } : {}).then(found => found.violations)"
    found: list[Any] = page.evaluate(run, rules)
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]
