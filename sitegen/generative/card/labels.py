"""Class labels: the table `[labels]` of a card, and the condition that samples have in a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sitegen.core.diagnostics import close_match, quoted
from sitegen.core.errors import ConfigError
from sitegen.generative.card.limits import MOST_CLASSES
from sitegen.generative.card.parts import Flag, Short, must, table

_SHOWN = 12
"""Names that a message lists; a model may have a thousand."""


@table
class LabelsConfig:
    """Class labels that a model takes.

    names: in the order of the rows of its class embedding
    optional: whether it also draws without a label, by one more row of the embedding
    """

    names: Annotated[
        tuple[Annotated[Short, Field(min_length=1)], ...],
        must(
            f"a list of 1 to {MOST_CLASSES} different names",
            lambda v: 1 <= len({*v}) == len(v) <= MOST_CLASSES,
        ),
    ] = Field(description="their names, in the order of the class embedding")
    optional: Flag = True

    @property
    def rows(self) -> int:
        """Rows of the class embeddings of the networks."""
        return len(self.names) + self.optional

    def number(self, label: str | int) -> int:
        """Return the number of a label that is given by its name, which may be digits, or number.

        Raises ConfigError that names the labels.
        """
        text = str(label)
        if text in self.names:
            return self.names.index(text)
        number = int(text) if text.isdecimal() else -1
        if 0 <= number < len(self.names):
            return number
        hint = close_match(text, self.names)
        raise ConfigError(f"no label {quoted(label)}{hint or ';'} the labels are {self.listed}")

    @property
    def listed(self) -> str:
        """The names, as a list in a message."""
        more = f" and {len(self.names) - _SHOWN} more" if len(self.names) > _SHOWN else ""
        return ", ".join(self.names[:_SHOWN]) + more


@dataclass(frozen=True)
class Condition:
    """Labels of samples, and the guidance towards them.

    labels: their numbers, one for all samples or one for each
    others: labels to which the samples go, each by its share from 0 to 1; empty if they stay
    shares: these shares
    guidance: w of classifier-free guidance (Ho and Salimans 2022), 0 for none
    """

    labels: tuple[int, ...]
    guidance: float = 0.0
    others: tuple[int, ...] = ()
    shares: tuple[float, ...] = ()

    def rows(self, first: int, last: int) -> Condition:
        """Return the condition of the samples from the place `first` on and before `last`."""
        if len(self.labels) == 1:
            return self
        rows = slice(first, last)
        labels, others = self.labels[rows], self.others[rows]
        return Condition(labels, self.guidance, others, self.shares[rows])

    def between(self, pairs: int, points: int) -> Condition:
        """Return the condition of `points` samples on the way between the labels of each pair."""
        labels = self.labels * (2 * pairs) if len(self.labels) == 1 else self.labels
        firsts, lasts = (
            tuple(label for label in ends for _ in range(points))
            for ends in (labels[::2], labels[1::2])
        )
        shares = tuple(point / (points - 1) for point in range(points)) * pairs
        return Condition(firsts, self.guidance, lasts, shares)
