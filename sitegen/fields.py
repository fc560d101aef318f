"""The types of the values that an author writes, shared by the config and the figure calls.

Pydantic makes a plain str of each, also of the marked-up text of a template.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from sitegen.links import host_fault, slug_fault, url_fault, web_url_fault
from sitegen.source import odd_character


def _readable(text: str) -> str:
    odd = odd_character(text)
    if odd is not None:
        raise ValueError(f"should not hold the character {odd[1]}")
    return text


def unless(fault: Callable[[str], str | None]) -> AfterValidator:
    """Make the validator that refuses a text in which `fault` finds a broken rule."""

    def check(text: str) -> str:
        found = fault(text)
        if found is not None:
            raise ValueError(found)
        return text

    return AfterValidator(check)


_READABLE = AfterValidator(_readable)
_SHORT = StringConstraints(max_length=2000)

Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000),
    _READABLE,
]
"""Words for a reader: not empty, at most 10,000 characters, nothing that a page cannot show."""

Caption = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000), _READABLE]
"""Words for a reader that may be left empty."""

Slug = Annotated[str, _SHORT, unless(slug_fault)]
"""A name that becomes part of a path: a-z, 0-9 and -."""

Url = Annotated[str, _SHORT, unless(url_fault)]
"""Where a link leads: https, http, mailto, or a path from the site's root."""

WebUrl = Annotated[str, _SHORT, unless(web_url_fault)]
"""A whole http or https address."""

HostName = Annotated[str, _SHORT, unless(host_fault)]
"""The name of a host, as paper.example.org."""
