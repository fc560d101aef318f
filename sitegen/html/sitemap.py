"""`sitemap.xml` and `robots.txt`: what the site says to search engines."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from sitegen.config.schema import Site
from sitegen.html.heads import address


def webmap(site: Site, uris: Iterable[str]) -> dict[str, str]:
    """The files for search engines, by path; the pages are `uris`, paths from the site's root.

    A sitemap holds whole addresses only, so there is none where `base_url` is not known.
    """
    robots = "User-agent: *\nAllow: /\n"
    if site.base_url is None:
        return {"robots.txt": robots}
    places = "".join(f"<url><loc>{escape(address(site, uri) or '')}</loc></url>\n" for uri in uris)
    sitemap = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{places}</urlset>\n'
    )
    robots += f"\nSitemap: {address(site, 'sitemap.xml')}\n"
    return {"robots.txt": robots, "sitemap.xml": sitemap}
