"""Metadata of pages and of the site: head, title and BibTeX."""

import re
import textwrap
from collections.abc import Container, Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from markupsafe import Markup

from sitegen.config.schema import Analytics, Site
from sitegen.content.embeds import Embed, Player, VideoCall, read_photo
from sitegen.content.groups import all_parts
from sitegen.content.pages import Page
from sitegen.core.site_files import SiteFolder
from sitegen.core.urls import INDEX, relative
from sitegen.html.figure_views import photo_view
from sitegen.html.theme import FONTS, ICON, LIVE, SCHEME, SCRIPT, STYLESHEET, Theme
from sitegen.media.manifest import MediaFile

# It is in a <meta>, since GitHub Pages sends no headers; frame-ancestors and sandbox have no effect
# there. Without connect-src Lighthouse cannot read robots.txt.
POLICY = (
    "default-src 'none'; img-src 'self'; media-src 'self' blob:; font-src 'self'; "
    "style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""The policy of a page: only files of its own site; a clip may be fetched whole, as a blob."""

LIVE_POLICY = POLICY.replace(
    "script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'"
)
"""The policy of a page with a live model, which also allows WebAssembly and a worker."""

_COMMANDS = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_AS_WRITTEN = ("doi", "url", "eprint")  # BibTeX styles print these without reading commands
# LaTeX in the HTML of a formula, which is not shown.
_FORMULA_SOURCE = re.compile(r"<annotation\b.*?(</annotation>|\Z)", re.DOTALL)
_LONGEST = 70  # characters of a title that search engines and tabs display
_PREVIEW = 160  # characters of a description that link previews display


def head(
    site: Site, page: Page, theme: Theme, picture: MediaFile | None, shapes: Container[str] = ()
) -> dict[str, Any]:
    """Return the head of a page, with absolute addresses if the site's address is configured.

    picture: the poster for link previews
    shapes: those of the page's figures
    """
    names = {name: relative(asset.uri, page.uri) for name, asset in theme.assets.items()}
    prose = "".join(part for part in page.body if isinstance(part, Markup))
    paragraphs = _FORMULA_SOURCE.sub("", prose).split("<p>")[1:]
    texts = (Markup(paragraph.partition("</p>")[0]).striptags() for paragraph in paragraphs)
    first_words = textwrap.shorten(next(filter(None, texts), ""), _PREVIEW, placeholder=" …")
    title = f"{page.title} – {site.title}"
    alone = page.title == site.title or len(title) > _LONGEST
    preview = None
    if site.base_url is not None and picture is not None:
        whole = f"{base_address(site.base_url)}{picture.path}"
        preview = {
            "address": whole,
            "width": picture.width,
            "height": picture.height,
            "alt": f"{site.title}: samples of the model",
        }
    live = {
        name: {
            "stylesheet": names[f"{name}.css"],
            "script": names.get(f"{name}.js", ""),
            "module": relative(theme.engine[f"{name}/{module}"].uri, page.uri),
        }
        for name, module in LIVE.items()
        if name in shapes
    }
    policy = LIVE_POLICY if live else POLICY
    calls = [part.call for part in all_parts(page.body) if isinstance(part, Embed)]
    players = [call.url for call in calls if isinstance(call, VideoCall)]
    if origins := {player.origin for player in players if isinstance(player, Player)}:
        policy += f"; frame-src {' '.join(sorted(origins))}"
    return {
        "title": page.title if alone else title,
        "policy": _with_analytics(policy, site.analytics) if site.analytics else policy,
        "description": site.description or site.lead or first_words,
        "site": site.title,
        "address": address(site, page.uri),
        "card": preview,
        "citation": list(_citation(site)) if site.citation and page.uri == INDEX else [],
        "fonts": [names[name] for name in FONTS],
        "icon": names[ICON],
        "scheme": names[SCHEME],
        "stylesheet": names[STYLESHEET],
        "script": names[SCRIPT],
        "live": live,
        "analytics": site.analytics,
    }


def _with_analytics(policy: str, analytics: Analytics) -> str:
    """Return a policy that allows the script, and requests to the hosts that it is given."""
    values = (analytics.script, *analytics.attributes.values())
    origins = {
        f"https://{parts.netloc}" for parts in map(urlsplit, values) if parts.scheme == "https"
    }
    script = analytics.script.partition("?")[0]
    policy = policy.replace("script-src 'self'", f"script-src 'self' {script}")
    for directive in ("connect-src 'self'", "img-src 'self'"):
        policy = policy.replace(directive, f"{directive} {' '.join(sorted(origins))}")
    return policy


def address(site: Site, uri: str) -> str | None:
    """Return the absolute address of a file in the site; `index.html` becomes its folder."""
    if site.base_url is None:
        return None
    path = quote(uri.removesuffix(INDEX), safe="/%?#=&+,;:@!$'()*~")
    return f"{base_address(site.base_url)}{path}"


def base_address(base_url: str) -> str:
    """Return the address of the front page, which ends with a slash."""
    return f"{base_url.rstrip('/')}/"


def _citation(site: Site) -> Iterator[tuple[str, str]]:
    """Yield the metadata elements for academic search engines (Highwire Press tags)."""
    assert site.citation is not None
    tags = [("title", site.title)]
    for author in site.authors:
        tags += [("author", author.name), *(("author_institution", name) for name in author.places)]
    tags += [("publication_date", str(site.citation.year or ""))]
    tags += [("conference_title", site.citation.booktitle or "")]
    tags += [("journal_title", site.citation.journal or "")]
    tags += [("public_url", address(site, INDEX) or "")]
    for link in site.links:
        parts = urlsplit(link.url)
        if parts.hostname == "arxiv.org" and parts.path.startswith("/abs/"):
            tags.append(("arxiv_id", parts.path.removeprefix("/abs/")))
        if parts.path.endswith(".pdf") and link.icon in ("paper", None):
            tags.append(("pdf_url", link.url if parts.scheme else address(site, link.url) or ""))
    yield from ((f"citation_{name}", value) for name, value in tags if value)


def paper(site: Site, page: Page) -> dict[str, Any]:
    """Return authors with their marks, affiliations, venue and buttons."""

    def link(url: str | None) -> str | None:
        return url and relative(url, page.uri)

    names = list(dict.fromkeys(name for author in site.authors for name in author.places))
    urls = {one.name: link(one.url) for one in site.affiliations}

    def mark(name: str) -> str:
        return str(names.index(name) + 1) if len(names) > 1 else ""

    authors = []
    for author in site.authors:
        marks = [*map(mark, author.places), "*" if author.equal else ""]
        text = ",".join(filter(None, marks))
        authors.append({"name": author.name, "uri": link(author.url), "mark": text})
    folder, logos = SiteFolder(site.root, (site.output, site.cache_dir)), []
    for one in site.affiliations:
        if one.logo:
            picture = photo_view(read_photo(folder.find(unquote(one.logo))), page.uri)
            logos.append({"name": one.name, "uri": one.url, "picture": picture})
    return {
        "authors": authors,
        "affiliations": [{"name": n, "uri": urls.get(n), "mark": mark(n)} for n in names],
        "venue": site.venue,
        "buttons": [
            {"label": button.label, "uri": link(button.url), "icon": button.icon}
            for button in site.links
        ],
        "equal": any(author.equal for author in site.authors),
        "logos": logos,
    }


def bibtex(site: Site) -> str | None:
    """Return the BibTeX entry for the table `[citation]`, or None if the site has none."""
    citation = site.citation
    if citation is None:
        return None
    if citation.verbatim is not None:
        return citation.verbatim
    fields = {
        "title": site.title,
        "author": " and ".join(author.name for author in site.authors),
        "booktitle": citation.booktitle,
        "journal": citation.journal,
        "year": str(citation.year),
        **citation.fields,
    }
    lines = []
    for name, value in fields.items():
        if value:
            text = re.sub(
                r"[\\~^&%$#_{}]", lambda mark: _COMMANDS.get(mark[0], "\\" + mark[0]), value
            )
            text = value if name in _AS_WRITTEN else text
            lines.append(f"  {name} = {{{' '.join(text.split())}}}")
    return f"@{citation.type}{{{citation.key},\n" + ",\n".join(lines) + "\n}"
