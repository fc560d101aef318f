"""The front page of several papers, and the way to one and back."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from bench.serving import serving
from tests.support.browsing import box_of, html_faults, opened, violations
from tests.support.builders import Builder, write_site

PAPER = """
title = "The Paper of {0}, Which Has a Title That Is Long"
description = "What {0} are."
[[authors]]
name = "Ann Author"
[models.tiny]
path = "models/tiny"
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three papers under a roof; their clips are made up."""
    root = tmp_path_factory.mktemp("papers")
    (root / "pages").mkdir()
    (root / "pages/index.md").write_text("What we do.\n")
    (root / "site.toml").write_text('title = "Our papers"\noutput = "sub"\n')
    for name in ("birds", "digits", "faces"):
        write_site(root / "sites" / name, site=PAPER.format(name.title()))
    Builder(root / "site.toml")()
    return root / "sub"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_there_and_back(
    browser: Browser,
    built: Path,
    scheme: Any,
    width: int,
) -> None:
    """It fits, axe finds nothing; a press on a card leads to its paper, a link from there back."""
    calm: dict[str, Any] = {"reduced_motion": "reduce", "color_scheme": scheme}
    size: dict[str, Any] = {"viewport": {"width": width, "height": 800}}
    with serving(built) as address, opened(browser, address, **size, **calm) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []
        card = page.locator(".papers li", has_text="Digits").locator("img")
        card.scroll_into_view_if_needed()
        box = box_of(card)
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_url("**/digits/index.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []
        back, colours = box_of(page.locator(".collection")), box_of(page.locator(".scheme"))
        assert back["x"] + back["width"] <= colours["x"]
        page.get_by_role("link", name="All papers").press("Enter")
        page.wait_for_url("**/sub/index.html")


def test_html_validate_finds_nothing(built: Path) -> None:
    """No error in the front page and in a paper's, by the recommended rules."""
    assert html_faults(built / "index.html", built / "digits/index.html") == ""
