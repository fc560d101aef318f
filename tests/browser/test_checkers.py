"""The built pages before judges that we did not write: axe-core for access, html-validate for HTML.

They see figures of every shape, with everything unfolded and with the dialog open.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from bench.serving import serving
from tests.conftest import SampleSite
from tests.support.browsing import opened
from tests.support.paths import ROOT

NPM = ROOT / "tests" / "npm"
MODULES = NPM / "node_modules"
PAGES = ("index.html", "second/index.html", "404.html")


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core."""
    path = MODULES / "axe-core" / "axe.min.js"
    if not path.is_file():
        pytest.fail("axe-core is missing; run: sh scripts/browser-needs.sh", pytrace=False)
    return path.read_text(encoding="utf-8")


def violations(page: Page, axe: str) -> list[str]:
    """What axe-core has against a page as it is now, each with the first element concerned."""
    page.evaluate(axe)
    found: list[Any] = page.evaluate("axe.run().then(result => result.violations)")
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(
    browser: Browser, sample_site: SampleSite, axe: str, scheme: Any, width: int
) -> None:
    """No violation, not of contrast either, on white by day and on dark paper by night, narrow and
    wide, the viewer included.
    """
    options: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce"}
    options["viewport"] = {"width": width, "height": 900}
    for uri in PAGES:
        with opened(browser, sample_site.address + uri, **options) as page:
            page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
            assert violations(page, axe) == [], uri
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
            for button in page.locator(".lens, .node").all()[:1]:
                button.press("Enter")
                assert page.locator("#viewer").is_visible()
                assert violations(page, axe) == [], "the viewer"


RECIPE = re.search(
    r"printf '(.*)\\n' > theme/colours\.css",
    (ROOT / "docs" / "pages" / "theme.md").read_text(encoding="utf-8"),
)
COLOURS = [RECIPE[1] if RECIPE else "", ":root { --accent: #ffd400; }"]
"""The colours that the manual proposes, and a glaring one."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("colours", COLOURS)
def test_axe_finds_nothing_in_own_colours(
    browser: Browser, sample_site: SampleSite, axe: str, tmp_path: Path, scheme: Any, colours: str
) -> None:
    """One accent, dark or glaring, can be read by day and by night, and it colours the banner."""
    site = shutil.copytree(sample_site.folder, tmp_path / "site" / "sub")
    calm: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce"}
    banners = []
    for own in ("", colours):
        for sheet in (site / "assets").glob("style-*.css"):
            sheet.write_text(sheet.read_text(encoding="utf-8") + own, encoding="utf-8")
        with serving(site) as address, opened(browser, address, **calm) as page:
            page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
            assert violations(page, axe) == []
            veil = "e => getComputedStyle(e, '::before').backgroundImage"
            banners.append(page.locator(".banner").evaluate(veil))
    assert banners[0] != banners[1]


def test_html_validate_finds_nothing(sample_site: SampleSite) -> None:
    """No error in any page, by the recommended rules."""
    program = MODULES / "html-validate" / "bin" / "html-validate.mjs"
    config = sample_site.folder.parent / "rules.json"
    config.write_text(json.dumps({"root": True, "extends": ["html-validate:recommended"]}))
    files = [str(sample_site.folder / uri) for uri in PAGES]
    command = ["node", str(program), "--config", str(config), "--formatter", "text", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
