"""`sitemap.xml` and `robots.txt` hold whole addresses, or none."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from sitegen.html.sitemap import webmap
from tests.support.fabricated import make_site


def test_sitemap(tmp_path: Path) -> None:
    """Every page is in the sitemap, which is valid XML whatever the address holds."""
    site = make_site(tmp_path, 'title = "T"\nbase_url = "https://example.org/a&b/"')
    files = webmap(site, ["index.html", "more/index.html"])
    tree = ElementTree.fromstring(files["sitemap.xml"])
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    assert tree.tag == f"{space}urlset"
    assert [each.text for each in tree.iter(f"{space}loc")] == [
        "https://example.org/a&b/",
        "https://example.org/a&b/more/",
    ]
    assert files["robots.txt"] == (
        "User-agent: *\nAllow: /\n\nSitemap: https://example.org/a&b/sitemap.xml\n"
    )


def test_without_an_address(tmp_path: Path) -> None:
    """There is no sitemap, and robots.txt does not name one."""
    files = webmap(make_site(tmp_path, 'title = "T"'), ["index.html"])
    assert files == {"robots.txt": "User-agent: *\nAllow: /\n"}
