"""Types of the values that an author writes, shared by the config and the figure calls.

Pydantic converts each to a plain str, including the markup-safe strings of templates.
"""

import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from markupsafe import Markup
from pydantic import (
    AfterValidator,
    BeforeValidator,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
)

from sitegen.core.source import odd_character
from sitegen.core.urls import host_fault, page_fault, site_url_fault, slug_fault, url_fault


def reject_if(fault: Callable[[Any], str | None]) -> AfterValidator:
    """Return a validator that rejects values for which `fault` returns a broken rule."""

    def check(value: Any) -> Any:
        if message := fault(value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def reject_with(fault: Callable[[Any, ValidationInfo], str | None]) -> AfterValidator:
    """Do the same with a `fault` that also gets the context and the values of earlier fields."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if message := fault(value, info):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def described_as(what: str, pattern: str) -> WithJsonSchema:
    """Describe a string type in JSON Schema, for editors and the reference.

    what: completes the sentence "The value is …"
    pattern: a regular expression that valid strings match; the validators are stricter
    """
    return WithJsonSchema({"type": "string", "pattern": pattern, "x-what": what})


READABLE = reject_if(
    lambda text: (odd := odd_character(text)) and f"should not contain the character {odd[1]}"
)
_SHORT = StringConstraints(max_length=2000)

Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000), READABLE
]
"""Text for readers: 1 to 10,000 characters, none of them forbidden in pages."""

Caption = Annotated[
    str,
    # Jinja escapes for HTML what `"…" ~ ref("id")` joins; a caption is Markdown.
    BeforeValidator(lambda text: text.unescape() if isinstance(text, Markup) else text),
    StringConstraints(strip_whitespace=True, max_length=10_000),
    READABLE,
]
"""Text for readers that may be empty; in pages it is inline Markdown."""

_SLUG = described_as("a name of a-z, 0-9 and -", "^[a-z0-9][a-z0-9-]{0,63}$")
_HOST = described_as("a domain", r"^[a-z0-9.-]+\.[a-z0-9-]+$")
_URL = described_as("a link (`https://…`, `mailto:…`, or a path in the site)", r"^[^\s/]\S*$")
_WEB_URL = described_as("a web address (`https://…`)", r"^[hH][tT][tT][pP][sS]?://\S+$")

Slug = Annotated[str, _SHORT, reject_if(slug_fault), _SLUG]
"""A name that becomes part of a path: a-z, 0-9 and -."""

PageName = Annotated[
    str,
    _SHORT,
    AfterValidator(partial(unicodedata.normalize, "NFC")),
    reject_if(page_fault),
    described_as("the name of a page, without .md", r"^[^\s/.]+$"),
]
"""Name of a page and its file: lower-case letters of any script, digits and -."""

Url = Annotated[str, _SHORT, reject_if(url_fault), _URL]
"""Target of a link: https, http, mailto, or a path from the site's root."""

SiteUrl = Annotated[str, _SHORT, reject_if(site_url_fault), _WEB_URL]
"""Complete web address to which paths can be appended."""

HostName = Annotated[str, _SHORT, reject_if(host_fault), _HOST]
"""Name of a host, such as paper.example.org."""
