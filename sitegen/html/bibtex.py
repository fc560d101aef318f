"""The BibTeX entry of the paper."""

from __future__ import annotations

import re

from sitegen.config.schema import Site

_COMMANDS = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def bibtex(site: Site) -> str | None:
    """Write the entry that `[citation]` asks for, or None where the site has no such table."""
    citation = site.citation
    if citation is None:
        return None
    fields = {
        "title": site.title,
        "author": " and ".join(author.name for author in site.authors),
        "booktitle": citation.booktitle,
        "journal": citation.journal,
        "year": str(citation.year),
    }
    lines = [f"  {name} = {{{_latex(value)}}}" for name, value in fields.items() if value]
    return f"@{citation.type}{{{citation.key},\n" + ",\n".join(lines) + "\n}"


def _latex(text: str) -> str:
    """Write a text so that LaTeX prints it as it is."""
    marked = re.sub(r"[\\~^&%$#_{}]", lambda mark: _COMMANDS.get(mark[0], "\\" + mark[0]), text)
    return " ".join(marked.split())
