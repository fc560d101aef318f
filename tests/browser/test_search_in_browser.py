"""The search of a site with many pages, in Chromium."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from bench.serving import serving
from sitegen.builder.assembly import assemble
from sitegen.builder.cache import Store
from sitegen.builder.output import put_tree
from sitegen.config.loader import load_site
from sitegen.content.pages import read_pages
from sitegen.media.manifest import Manifest
from tests.support.browsing import html_faults, opened, violations
from tests.support.fabricated import write_site

FRUIT = ["apple", "banana", "cherry", "date", "elder", "fig", "grape", "hazel"]


def site_of_many(folder: Path) -> Path:
    """Build a site of nine pages without figures into a folder; return that folder."""
    path = write_site(folder / "source", 'title = "Fruit"\n', "Words.\n", ())
    for name in FRUIT:
        text = (
            f"# About {name}\n\nFirst.\n\n## Taste of {name}\n\nIt is `sweet` & $x^2$ {name}ish.\n"
        )
        (path.parent / "pages" / f"{name}.md").write_text(text)
    site = load_site(path)
    pages = read_pages(site)
    put_tree(assemble(site, pages, Manifest(()), Store(site.cache_dir)), folder / "site" / "sub")
    return folder / "site" / "sub"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built folder of that site."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "site").mkdir()
    return site_of_many(folder)


@contextmanager
def reading(browser: Browser, built: Path, uri: str) -> Iterator[tuple[Page, list[str]]]:
    """A page of the site, served under a sub-path, and the addresses that it asks for."""
    with serving(built.parent / "sub") as address, opened(browser, f"{address}{uri}") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        yield page, asked


def test_search_by_keyboard(browser: Browser, built: Path) -> None:
    """The index is fetched once, on first use; Enter opens the best section, Escape clears."""
    with reading(browser, built, "fig/index.html") as (page, asked):
        box = page.get_by_role("searchbox", name="Search all pages")
        box.focus()
        box.press_sequentially("taste cher")
        results = page.get_by_role("search").get_by_role("link")
        expect(results).to_have_count(1)
        expect(results).to_contain_text("About cherry: Taste of cherry")
        expect(page.get_by_role("search").get_by_role("status")).to_have_text("1 section")
        assert len([url for url in asked if "sections-" in url]) == 1
        box.press("Escape")
        expect(results).to_have_count(0)
        expect(page.get_by_role("link", name="About grape")).to_be_visible()
        box.fill("SWEET & banana")
        expect(results.first).to_contain_text("It is sweet & x2 bananaish.")
        box.press("Enter")
        page.wait_for_url("**/banana/index.html#h-taste-of-banana")
        page.get_by_role("searchbox").fill("nothing")
        expect(page.get_by_role("status")).to_have_text("No section has all of these words.")


def test_search_from_file(browser: Browser, built: Path) -> None:
    """A page that is opened from the file system searches as well, on a phone inside the menu."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto((built / "fig" / "index.html").as_uri())
    page.get_by_role("button", name="Pages").click()
    page.get_by_role("searchbox").fill("hazel taste")
    page.get_by_role("search").get_by_role("link").click()
    page.wait_for_url("**/hazel/index.html#h-taste-of-hazel")
    page.close()


def test_index_that_is_lost(browser: Browser, built: Path) -> None:
    """An index that cannot be fetched is reported, and fetched again on the next use."""
    context = browser.new_context()
    page = context.new_page()
    page.route("**/sections-*.js", lambda route: route.abort())
    with serving(built) as address:
        page.goto(f"{address}fig/index.html")
        page.get_by_role("searchbox").fill("apple")
        expect(page.get_by_role("status")).to_have_text("The search could not be loaded.")
        page.unroute("**/sections-*.js")
        page.get_by_role("searchbox").fill("apple taste")
        expect(page.get_by_role("search").get_by_role("link")).to_have_count(1)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    browser: Browser,
    built: Path,
    scheme: Any,
) -> None:
    """No violation while results are shown, next to the page and over it."""
    for width in (390, 1280):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
        )
        page = context.new_page()
        page.goto((built / "fig" / "index.html").as_uri())
        if width < 1000:
            page.get_by_role("button", name="Pages").click()
        page.get_by_role("searchbox").fill("taste")
        expect(page.get_by_role("search").get_by_role("link")).to_have_count(len(FRUIT))
        assert violations(page) == []
        context.close()


def test_html_of_the_search(built: Path) -> None:
    """The HTML validator has nothing against a page with a search."""
    assert html_faults(built / "fig/index.html") == ""
