"""The types of the values that an author writes, shared by the config and the figure calls.

Pydantic makes a plain str of each, also of the marked-up text of a template.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, StringConstraints, TypeAdapter, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import ArgsKwargs

from sitegen.core.diagnostics import quoted, rule
from sitegen.core.source import odd_character
from sitegen.core.urls import host_fault, site_url_fault, slug_fault, url_fault, web_url_fault


def _readable(text: str) -> str:
    odd = odd_character(text)
    if odd is not None:
        raise ValueError(f"should not hold the character {odd[1]}")
    return text


def reject_if(fault: Callable[[str], str | None]) -> AfterValidator:
    """Make the validator that refuses a text in which `fault` finds a broken rule."""

    def check(text: str) -> str:
        found = fault(text)
        if found is not None:
            raise ValueError(found)
        return text

    return AfterValidator(check)


def told_as(what: str, pattern: str) -> WithJsonSchema:
    """Say in JSON Schema, for editors and the reference, what a text of this type is.

    what: in words, after "is"
    pattern: a regular expression that good texts match; the validators know better than it
    """
    return WithJsonSchema({"type": "string", "pattern": pattern, "x-what": what})


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

_SLUG = told_as("a name of a-z, 0-9 and -", "^[a-z0-9][a-z0-9-]{0,63}$")
_HOST = told_as("a domain", r"^[a-z0-9.-]+\.[a-z0-9-]+$")
_URL = told_as("a link (`https://…`, `mailto:…`, or a path in the site)", r"^[^\s/]\S*$")
_WEB_URL = told_as("a web address (`https://…`)", r"^[hH][tT][tT][pP][sS]?://\S+$")

Slug = Annotated[str, _SHORT, reject_if(slug_fault), _SLUG]
"""A name that becomes part of a path: a-z, 0-9 and -."""

Url = Annotated[str, _SHORT, reject_if(url_fault), _URL]
"""Where a link leads: https, http, mailto, or a path from the site's root."""

WebUrl = Annotated[str, _SHORT, reject_if(web_url_fault), _WEB_URL]
"""A whole http or https address."""

SiteUrl = Annotated[str, _SHORT, reject_if(site_url_fault), _WEB_URL]
"""A whole address that others can be written behind."""

HostName = Annotated[str, _SHORT, reject_if(host_fault), _HOST]
"""The name of a host, as paper.example.org."""


_T = TypeVar("_T")


def named(
    kind: type, args: tuple[object, ...], kwargs: Mapping[str, object], faults: list[str]
) -> dict[str, object]:
    """Give the arguments that stand without a name the names of the required fields of `kind`.

    What cannot be named is added to the faults.
    """
    needed = [name for name, field in arguments(kind).items() if field.is_required()]
    faults += [f"{quoted(value)} needs a name, as in count=36" for value in args[len(needed) :]]
    given = dict(zip(needed, args, strict=False))
    faults += [f"{name} is given twice" for name in given if name in kwargs]
    return {**given, **kwargs}


def checked(
    kind: type[_T],
    values: Mapping[str, object],
    context: Mapping[str, Any],
    faults: list[str],
    known: Mapping[str, FieldInfo],
) -> _T | None:
    """Make the frozen value of a validated dataclass, or add to the faults and return None.

    `context` is what its validators may ask for, `known` maps every argument of the call to its
    field.
    """
    adapter: TypeAdapter[_T] = TypeAdapter(kind)
    try:
        return adapter.validate_python(ArgsKwargs((), dict(values)), context=dict(context))
    except ValidationError as error:
        for item in error.errors(include_url=False):
            faults.append(f"{item['loc'][0]}{rule(item, known)}")
        return None


def arguments(kind: Any) -> dict[str, FieldInfo]:
    """Map the arguments of a validated dataclass to their fields, which say what they are for."""
    return dict(kind.__pydantic_fields__)
