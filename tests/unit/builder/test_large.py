"""A site of many pages and figures costs so much more as it is larger, and no more."""

import cProfile
from pathlib import Path
from pstats import Stats

from tests.support.builders import Builder, write_page, write_site

MENU_ENTRY = 600
"""Calls of functions that one entry of a page's menu may take."""


def calls(site: Builder, *, changed: bool) -> int:
    """How many calls of functions a build takes."""
    profile = cProfile.Profile()
    assert profile.runcall(site).changed is changed
    return int(Stats(profile).total_calls)  # type: ignore[attr-defined]


def test_builds_grow_with_the_site_and_no_faster(tmp_path: Path) -> None:
    """Of 10, 15 and 20 pages, the last five take as many calls as those before, but for menus."""
    site = Builder(write_site(tmp_path / "site"))
    same, edited = list[int](), list[int]()
    for pages in (10, 15, 20):
        for page in range(pages):
            call = f'{{{{ trajectories("tiny", seed={page}) }}}}'
            write_page(site.config, f"# Page {page}\n\n{call}\n", f"p{page}")
        site()
        site()
        same.append(calls(site, changed=False))
        write_page(site.config, f"Words beside {pages}.\n")
        edited.append(calls(site, changed=True))
    for ten, fifteen, twenty in (same, edited):  # each page has a menu of all
        assert (twenty - fifteen) - (fifteen - ten) < 2 * 5**2 * MENU_ENTRY, (same, edited)
