"""Types of the values in a model card, and the decorator of its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field, Strict, ValidationError, ValidationInfo
from pydantic.dataclasses import dataclass

from sitegen.core.diagnostics import config_error, dotted, fields_of, rule
from sitegen.core.validation import reject_if
from sitegen.generative.card.limits import LARGEST_COUNT, MOST_LEVELS

T = TypeVar("T")

RULES = ConfigDict(extra="forbid", populate_by_name=True, validate_default=True)
"""Pydantic's configuration of a table."""


def must(words: str, holds: Callable[[Any], bool]) -> AfterValidator:
    """Return a validator that accepts values for which `holds` is true; `words` name those."""
    return reject_if(lambda value: None if holds(value) else f"should be {words}")


def above(low: str) -> AfterValidator:
    """Return a validator of numbers above that of the key `low`, which the table has before."""

    def check(value: float | None, info: ValidationInfo) -> float | None:
        least = info.data.get(low)
        if value is not None and least is not None and not value > least:
            raise ValueError(f"must be above {low}, {least:g}")
        return value

    return AfterValidator(check)


def per_level(key: str, more: int = 0) -> AfterValidator:
    """Return a validator of a card's table: its list `key` must have K + `more` numbers, if any."""

    def check(part: T, info: ValidationInfo) -> T:
        values, levels = getattr(part, key, None), info.data.get("levels")
        if values is not None and levels is not None and len(values) != levels + more:
            raise ValueError(
                f"{key} has {len(values)} values; {levels} levels need {levels + more}"
            )
        return part

    return AfterValidator(check)


def falls(values: Iterable[float]) -> bool:
    """Return whether each of some numbers is below the one before it."""
    return all(before > after for before, after in pairwise(values))


Flag = Annotated[bool, Strict()]
Word = Annotated[str, Strict()]
Count = Annotated[int, Strict(), Field(ge=1, le=LARGEST_COUNT)]
Level = Annotated[int, Strict(), Field(ge=1, le=MOST_LEVELS)]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Short = Annotated[
    Word, must("at most 200 characters on one line", lambda v: len(v) <= 200 and v.isprintable())
]


@dataclass_transform(frozen_default=True, field_specifiers=(Field,))
def table(part: type[T]) -> type[T]:
    """Make a frozen dataclass whose values pydantic validates.

    An instance with invalid values raises ConfigError that names all of them.
    """
    return _validated(part, kw_only=False)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def card_kind(part: type[T]) -> type[T]:
    """Make the class of a kind of card: a `table` whose own fields are given by name.

    Pydantic validates fields with `Field(…)` before these, unless they have `kw_only=True`, too.
    """
    return _validated(part, kw_only=True)


def _validated(part: type[T], kw_only: bool) -> type[T]:
    checked_class: Any = dataclass(frozen=True, kw_only=kw_only, config=RULES)(part)
    validate: Callable[..., None] = checked_class.__init__

    def __init__(self: Any, *values: Any, **named: Any) -> None:
        # Pydantic names positional arguments by their index; messages need the key.
        keys = [key for key, field in fields_of(checked_class).items() if not field.kw_only]
        try:
            validate(self, **dict(zip(keys, values, strict=False)), **named)
        except ValidationError as error:
            raise config_error(
                f"{dotted(item['loc'])}{rule(item, fields_of(checked_class))}"
                for item in error.errors(include_url=False)
            ) from None

    checked_class.__init__ = __init__
    return checked_class  # type: ignore[no-any-return]
