"""The calls of a page: what its template asks for, noted in order, and slots left in the text."""

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from jinja2 import Undefined
from markupsafe import Markup
from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from sitegen.config.schema import Site
from sitegen.content.embeds import EMBEDS, Embed, make_embed
from sitegen.content.links import THEMED
from sitegen.content.markdown import free_name
from sitegen.content.templates import calling_line
from sitegen.core.diagnostics import Diagnostic, SourceLocation, quoted
from sitegen.core.errors import ConfigError
from sitegen.core.site_files import SiteFolder
from sitegen.core.validation import Caption, checked_call
from sitegen.figures.base import RULES, Figure, Row, no_such_model
from sitegen.figures.registry import figure_kinds, make_figure

_FOR_EACH = "call it once for each"
_ALONE = "outside code; to show the call itself, write {% raw %} before and {% endraw %} after it"
_IN_A_TABLE = {
    True: "a table has no place for a figure; in a paragraph of its own, "
    'beside(trajectories("one"), trajectories("other")) puts two to four side by side',
    False: "a table has no place for a call; a picture in it is ![what is to be seen](FILE)",
}
"""What to do instead, for figures and for pictures and videos."""
_UNDER_A_HEAD = re.compile(r"^ {0,3}(?=[^\n]*\|)[|:\s-]*-[|:\s-]*$", re.MULTILINE)
_FIXED_ID = re.compile(rf"h-.*|{THEMED}")

BESIDE = "beside"
"""The function of a page that puts figures side by side."""
_MOST_BESIDE = 4
_BESIDE_FORM = 'write beside(trajectories("one"), trajectories("other"))'


@validated(frozen=True, config=RULES)
class _Beside:
    """What a row may say beside its figures."""

    caption: Caption = Field(default="", description="The words under the row.")


Shown: TypeAlias = Figure | Embed
"""What a page shows in a place of its own."""


class Calls:
    """The calls of one page, in the order in which its template made them; None for wrong ones.

    `faults` tell what is wrong with those. `waits` are the models that the page asked for and
    that are not available, so that it may say more than it shows.
    """

    def __init__(self, file: str, site: Site, folder: SiteFolder) -> None:
        self.file = file
        self.site = site
        self.folder = folder
        self.made: list[Shown | None] = []
        self.faults: list[object] = []
        self.waits: set[str] = set()
        self.rows = 0
        self.mark = f"slot{secrets.token_hex(16)}n"  # unknown to the page, so it cannot be forged
        self.slot = re.compile(rf"{self.mark}(\d+)x")

    def functions(self) -> dict[str, Callable[..., Markup]]:
        """The functions that a page can call, one a kind."""
        functions = {kind: self._function(kind) for kind in (*figure_kinds(), *EMBEDS)}
        return {**functions, BESIDE: self._beside}

    def asking(self, available: Callable[[str], bool]) -> Callable[[str], bool]:
        """The function `available` of a page, which knows the models of the site only."""

        def ask(name: object) -> bool:
            if not isinstance(name, str) or name not in self.site.models:
                word = str(name) if isinstance(name, str | Undefined) else quoted(name)
                fault = no_such_model(word, self.site.models)
                self._tell(f"available({quoted(name)}): {fault}")
                return True  # what waits for it is read for its own faults
            there = available(name)
            self.waits |= set() if there else {name}
            return there

        ask.__name__ = ask.__qualname__ = "available"  # as messages call it
        return ask

    def _function(self, kind: str) -> Callable[..., Markup]:
        def call(*args: object, **kwargs: object) -> Markup:
            for value in (*args, *kwargs.values()):
                if isinstance(value, Undefined):
                    str(value)  # raises, and names what is undefined
            place = SourceLocation(self.file, calling_line())
            made: Shown | None = None
            try:
                if kind in EMBEDS:
                    made = make_embed(kind, args, kwargs, place, self.folder)
                else:
                    models, root = self.site.models, self.site.root
                    made = make_figure(kind, args, kwargs, place, models, root)
            except ConfigError as error:
                self.faults += error.problems or [error]
            return self._slot(made)

        call.__name__ = call.__qualname__ = kind  # as messages call it
        return call

    def _beside(self, *slots: object, **kwargs: object) -> Markup:
        """Put the figures of other calls into a row: their slots, each a paragraph of its own."""
        place = SourceLocation(self.file, calling_line())
        for value in (*slots, *kwargs.values()):
            if isinstance(value, Undefined):
                str(value)  # raises, and names what is undefined
        try:
            (said,) = checked_call(BESIDE, [_Beside], (), kwargs, {}, place)
        except ConfigError as error:
            self.faults += error.problems or [error]
            said = _Beside()
        found = [self.slot.fullmatch(str(each)) for each in slots]
        numbers = [int(each[1]) for each in found if each]
        strange = [each for each, match in zip(slots, found, strict=True) if not match]
        made = [self.made[number] for number in numbers]
        strange += [each.kind for each in made if isinstance(each, Embed)]
        for each in strange:
            text = f"{quoted(each)} is no figure; {_BESIDE_FORM}"
            self.faults.append(Diagnostic(place.file, place.line, f"{BESIDE}(…): {text}"))
        if not strange and not 2 <= len(slots) <= _MOST_BESIDE:
            text = f"should be 2 to {_MOST_BESIDE} figures, and is {len(slots)}; {_BESIDE_FORM}"
            self.faults.append(Diagnostic(place.file, place.line, f"{BESIDE}(…): {text}"))
        self.rows += 1
        for number, figure in zip(numbers, made, strict=True):
            if isinstance(figure, Figure):
                self.made[number] = replace(figure, row=Row(self.rows, said.caption))
        return Markup("\n\n").join(each for each in slots if isinstance(each, Markup))

    def unknown(self, fault: str) -> Markup:
        """Note a call of what there is not, as one that is wrong."""
        self._tell(fault)
        return self._slot(None)

    def _tell(self, fault: str) -> None:
        self.faults.append(Diagnostic(self.file, calling_line(), fault))

    def _slot(self, made: Shown | None) -> Markup:
        self.made.append(made)
        return Markup(f"{self.mark}{len(self.made) - 1}x")

    def strays(self, text: str, parts: Sequence[Markup | int]) -> Iterator[Diagnostic]:
        """Name the figures that are not shown exactly once, in a paragraph of their own."""
        printed = Counter(int(found[1]) for found in self.slot.finditer(text))
        for number, figure in enumerate(self.made):
            if figure is None:
                continue
            noun = "figure" if isinstance(figure, Figure) else figure.kind
            if printed[number] > 1:
                yield _fault(figure, f"the {noun} is shown {printed[number]} times; {_FOR_EACH}")
            elif number not in parts:
                inside = f"{self.mark}{number}x" in _tables(text)
                own = f"the {noun} needs a paragraph of its own, {_ALONE}"
                yield _fault(figure, _IN_A_TABLE[isinstance(figure, Figure)] if inside else own)

    def bad_ids(self) -> Iterator[Diagnostic]:
        """Name the ids that authors gave twice, or that the page itself uses."""
        seen: set[str] = set()
        for figure in (each for each in self.made if each is not None):
            if figure.id and (figure.id in seen or _FIXED_ID.fullmatch(figure.id)):
                yield _fault(figure, f"id = {quoted(figure.id)} is taken; choose another")
            seen.add(figure.id)

    def body(self, parts: Sequence[Markup | int]) -> tuple[Markup | Shown, ...]:
        """What stands on the page, in order; what the calls made has an id, wrong ones are gone.

        Where the author gave none it is made up: `mnist-trajectories`, `mnist-trajectories-2`, …
        """
        found = (self.made[part] if isinstance(part, int) else part for part in parts)
        body = [part for part in found if part is not None]
        taken = {part.id for part in body if not isinstance(part, Markup)}
        for at, part in enumerate(body):
            if not isinstance(part, Markup) and not part.id:
                body[at] = replace(part, id=free_name(part.base, taken))
        return tuple(body)


def _tables(text: str) -> str:
    """The blocks of a text that have a line as under the head of a table."""
    blocks = re.split(r"\n\s*\n", text)
    return "\n".join(block for block in blocks if _UNDER_A_HEAD.search(block))


def _fault(figure: Shown, text: str) -> Diagnostic:
    return Diagnostic(figure.place.file, figure.place.line, f"{figure.kind}(…): {text}")
