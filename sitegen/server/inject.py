"""What `sitegen serve` adds to the pages that it sends: a script that reloads, and its style.

It is put into the answer only; the built folder never holds it. The page's Content-Security-Policy
is widened just so far that this script may run and listen to its own server.
"""

from __future__ import annotations

import re
from html import escape, unescape

PREFIX = "/_sitegen/"
"""Where the preview's own addresses begin; a built site has no such folder."""

PLAIN_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
"""What a page that only tells an error may load."""

_POLICY = re.compile(
    r"(<meta\s+http-equiv=\"Content-Security-Policy\"\s+content=\")([^\"]*)(\")", re.IGNORECASE
)
_NEEDED = ("script-src", "style-src", "connect-src")


def with_client(html: str, uri: str, version: str) -> str:
    """The page `uri` with the script and style of the preview; `version` the state's."""
    tags = _tags(f'data-uri="{escape(uri)}" data-version="{escape(version)}"')
    widened = _POLICY.sub(lambda found: found[1] + _widened(found[2]) + found[3], html)
    head, end, rest = widened.partition("</head>")
    return f"{head}{tags}{end}{rest}" if end else f"{tags}{html}"


def plain_page(title: str, words: str, version: str) -> str:
    """A page that tells something instead of one of the site, and reloads when there is one."""
    items = "".join(f"<li>{escape(line)}</li>\n" for line in words.splitlines())
    tags = _tags(f'data-plain data-version="{escape(version)}"')
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'{tags}</head>\n<body class="sitegen-plain">\n<main class="sitegen-panel">\n'
        f"<h2>{escape(title)}</h2>\n<ul>\n{items}</ul>\n"
        "<p>This page is replaced by itself.</p>\n</main>\n</body>\n</html>\n"
    )


def _tags(data: str) -> str:
    return (
        f'<link rel="stylesheet" href="{PREFIX}preview.css">\n'
        f'<script src="{PREFIX}reload.js" {data} defer></script>\n'
    )


def _widened(content: str) -> str:
    """A policy, as an attribute has it, that allows the preview's script, style and events."""
    rules = {
        words[0].lower(): words[1:]
        for rule in unescape(content).split(";")
        if (words := rule.split())
    }
    for name in _NEEDED:
        sources = rules.get(name, rules.get("default-src"))
        if sources is not None:
            allowed = [each for each in sources if each not in ("'none'", "'self'")]
            rules[name] = [*allowed, "'self'"]
    return escape("; ".join(" ".join([name, *sources]) for name, sources in rules.items()))
