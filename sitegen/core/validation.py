"""The types of the values that an author writes, shared by the config and the figure calls.

Pydantic makes a plain str of each, also of the marked-up text of a template.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import ArgsKwargs

from sitegen.core.diagnostics import (
    Diagnostic,
    SourceLocation,
    config_error,
    fields_of,
    quoted,
    rule,
)
from sitegen.core.source import odd_character
from sitegen.core.urls import host_fault, page_fault, site_url_fault, slug_fault, url_fault


def reject_if(fault: Callable[[Any], str | None]) -> AfterValidator:
    """Make the validator that refuses a value in which `fault` finds a broken rule."""

    def check(value: Any) -> Any:
        if found := fault(value):
            raise ValueError(found)
        return value

    return AfterValidator(check)


def described_as(what: str, pattern: str) -> WithJsonSchema:
    """Say in JSON Schema, for editors and the reference, what a text of this type is.

    what: in words, after "is"
    pattern: a regular expression that good texts match; the validators know better than it
    """
    return WithJsonSchema({"type": "string", "pattern": pattern, "x-what": what})


def _odd_fault(text: str) -> str | None:
    odd = odd_character(text)
    return None if odd is None else f"should not hold the character {odd[1]}"


_READABLE = reject_if(_odd_fault)
_SHORT = StringConstraints(max_length=2000)

Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=10_000), _READABLE
]
"""Words for a reader: not empty, at most 10,000 characters, nothing that a page cannot show."""

Caption = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000), _READABLE]
"""Words for a reader that may be left empty."""

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
"""The name of a page, which is that of its file: small letters of any script, digits and -."""

Url = Annotated[str, _SHORT, reject_if(url_fault), _URL]
"""Where a link leads: https, http, mailto, or a path from the site's root."""

SiteUrl = Annotated[str, _SHORT, reject_if(site_url_fault), _WEB_URL]
"""A whole address that others can be written behind."""

HostName = Annotated[str, _SHORT, reject_if(host_fault), _HOST]
"""The name of a host, as paper.example.org."""


def checked_call(
    name: str,
    kinds: Sequence[Any],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    context: Mapping[str, Any],
    place: SourceLocation,
) -> list[Any]:
    """Make the frozen values of the validated dataclasses that take the arguments of a page's call.

    kinds: what is not known by the name of an argument of the others belongs to the first, and so
        does what stands without a name: it is given to the required arguments in their order
    context: what validators may ask for

    Raises ConfigError that tells everything that is wrong with the call.
    """
    known = {key: field for kind in kinds for key, field in fields_of(kind).items()}
    needed = [key for key, field in fields_of(kinds[0]).items() if field.is_required()]
    faults = [f"{quoted(value)} needs a name, as in count=36" for value in args[len(needed) :]]
    given = dict(zip(needed, args, strict=False))
    faults += [f"{key} is given twice" for key in given if key in kwargs]
    given |= kwargs
    owner = {key: kind for kind in reversed(kinds) for key in fields_of(kind)}
    made = []
    for kind in kinds:
        own = {key: value for key, value in given.items() if owner.get(key, kinds[0]) is kind}
        try:
            values = ArgsKwargs((), own)
            made.append(TypeAdapter(kind).validate_python(values, context=dict(context)))
        except ValidationError as error:
            items = error.errors(include_url=False)
            faults += [f"{item['loc'][0]}{rule(item, known)}" for item in items]
    if faults:
        raise config_error(
            Diagnostic(place.file, place.line, f"{name}(…): {fault}") for fault in faults
        )
    return made
