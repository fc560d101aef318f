"""Addresses of an atlas, in which each split of a state has four continuations."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_SPLITS = 15
"""The most digits of an address: its node has 32 bits."""
_TEXT = re.compile(rf"([0-9]{{1,9}})(?:\.([0-3]{{1,{MOST_SPLITS}}}))?")


@dataclass(frozen=True)
class Address:
    """An image of the atlas.

    start: the sample of the seed whose initial state it has
    digits: the continuation, 0 to 3, at each split from the first on
    """

    start: int
    digits: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address in a text such as "5.0231" or "5". Raises ValueError for others."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no address; one is a start and digits 0 to 3, as 5.0231")
        return cls(int(match[1]), tuple(map(int, match[2] or "")))

    def __str__(self) -> str:
        digits = "".join(map(str, self.digits))
        return f"{self.start}.{digits}" if digits else f"{self.start}"

    def child(self, digit: int) -> Address:
        """Return the address with one digit more."""
        return Address(self.start, (*self.digits, digit))

    def node(self, depth: int) -> int:
        """Return the number of its node after `depth` splits: 2^32 · start + that in a tree of 4.

        The root of such a tree is 1, and the children of n are 4n to 4n + 3.
        """
        number = 1
        for digit in self.digits[:depth]:
            number = 4 * number + digit
        return (self.start << 32) + number


def checked_address(text: str) -> str:
    """Return the text of an address. Raises ValueError for others."""
    return str(Address.parse(text))
