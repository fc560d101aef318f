"""Calls in a page: arguments as an author wrote them become a frozen, validated value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ArgsKwargs

from sitegen.problems import quoted, rule

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
