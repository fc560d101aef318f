"""The figure calls of a page, recorded in order; each leaves a placeholder slot in the text."""

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias

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
from sitegen.core.validation import Caption, Text, checked_call
from sitegen.figures.base import RULES, Figure, Row, no_such_model
from sitegen.figures.registry import figure_kinds, make_figure

_FOR_EACH = "call it once for each"
_ALONE = "outside code; to show the call itself, write {% raw %} before and {% endraw %} after it"
_IN_A_TABLE = {
    True: "a table has no place for a figure; in a paragraph of its own, "
    'beside(trajectories("one"), trajectories("other")) puts two to four side by side',
    False: "a table has no place for a call; a picture in it is ![what is to be seen](FILE)",
}
"""Advice for calls inside a table, for figures and for pictures and videos."""
_UNDER_A_HEAD = re.compile(r"^ {0,3}(?=[^\n]*\|)(?=[|:\t ]*-)[|:\t -]*$", re.MULTILINE)
_FIXED_ID = re.compile(rf"h-.*|{THEMED}")

BESIDE, TABS, TEASER = "beside", "tabs", "teaser"
"""Page functions that show figures side by side, one at a time, or under the title."""


@validated(frozen=True, config=RULES)
class _Beside:
    """Arguments of a row in addition to its figures."""

    caption: Caption = Field(default="", description="The words under the row.")
    names: ClassVar[tuple[str, ...]] = ()


@validated(frozen=True, config=RULES)
class _Tabs:
    """Arguments of a group that shows one figure at a time."""

    caption: Caption = Field(default="", description="The words under the figures.")
    names: tuple[Text, ...] = Field(
        default=(), description="The words on the tabs, one for each figure."
    )


@validated(frozen=True, config=RULES)
class _Teaser:
    """A teaser has no arguments besides its figure."""

    caption: ClassVar[str] = ""
    names: ClassVar[tuple[str, ...]] = ()


_GROUPS: Mapping[str, Any] = {BESIDE: _Beside, TABS: _Tabs, TEASER: _Teaser}
_TWO = '{}(trajectories("one"), trajectories("other"))'
_SIZES = {
    BESIDE: (2, 4, _TWO.format(BESIDE)),
    TABS: (2, 6, _TWO.format(TABS)),
    TEASER: (1, 1, 'teaser(trajectories("one"))'),
}
"""Minimum and maximum number of figures in a group, and the syntax of its call."""


Shown: TypeAlias = Figure | Embed
"""Page content that is shown as a block."""


class Calls:
    """The calls of one page, in the order in which its template made them; None for invalid ones.

    `faults` are the errors of the invalid calls. `waits` are the models that the page asked for
    and that are not available; the page may have more content once they are.
    """

    def __init__(self, file: str, site: Site, folder: SiteFolder) -> None:
        self.file = file
        self.site = site
        self.folder = folder
        self.made: list[Shown | None] = []
        self.faults: list[object] = []
        self.waits: set[str] = set()
        self.rows = 0
        self.refs: list[str] = []
        self.mark = f"slot{secrets.token_hex(16)}n"  # unknown to the page, so it cannot be forged
        self.slot = re.compile(rf"{self.mark}(\d+)x")
        self.ref = re.compile(rf"{self.mark}r(\d+)x")

    def functions(self) -> dict[str, Callable[..., Markup]]:
        """Return the functions that a page can call, one for each kind."""
        functions = {kind: self._function(kind) for kind in (*figure_kinds(), *EMBEDS)}
        return {**functions, **{kind: self._group(kind) for kind in _GROUPS}, "ref": self._ref}

    def asking(self, available: Callable[[str], bool]) -> Callable[[str], bool]:
        """Return the page function `available`, which accepts only models of the site."""

        def ask(name: object) -> bool:
            if not isinstance(name, str) or name not in self.site.models:
                word = str(name) if isinstance(name, str | Undefined) else quoted(name)
                fault = no_such_model(word, self.site.models)
                self._tell(f"available({quoted(name)}): {fault}")
                return True  # the section that needs the model is still checked for errors
            there = available(name)
            self.waits |= set() if there else {name}
            return there

        ask.__name__ = ask.__qualname__ = "available"  # the name used in messages
        return ask

    def _function(self, kind: str) -> Callable[..., Markup]:
        def call(*args: object, **kwargs: object) -> Markup:
            _require_defined(*args, *kwargs.values())
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

        call.__name__ = call.__qualname__ = kind  # the name used in messages
        return call

    def _group(self, kind: str) -> Callable[..., Markup]:
        """Return the function that groups the figures of other calls.

        The function takes the slots of these figures and returns them, each as a separate
        paragraph.
        """

        def call(*slots: object, **kwargs: object) -> Markup:
            place = SourceLocation(self.file, calling_line())
            _require_defined(*slots, *kwargs.values())
            try:
                (said,) = checked_call(kind, [_GROUPS[kind]], (), kwargs, {}, place)
            except ConfigError as error:
                self.faults += error.problems or [error]
                said = _GROUPS[kind]()
            numbers = [int(each[1]) for each in map(self.slot.fullmatch, map(str, slots)) if each]
            faults = [*self._group_faults(kind, slots, said.names)]
            self.faults += [Diagnostic(place.file, place.line, fault) for fault in faults]
            self.rows += 1
            for number in numbers:
                made = self.made[number]
                if isinstance(made, Figure) and kind == TEASER:
                    self.made[number] = replace(made, teaser=True)
                elif isinstance(made, Figure):
                    row = Row(self.rows, said.caption, said.names, tabs=kind == TABS)
                    self.made[number] = replace(made, row=row)
            return Markup("\n\n").join(each for each in slots if isinstance(each, Markup))

        call.__name__ = call.__qualname__ = kind  # the name used in messages
        return call

    def _group_faults(
        self, kind: str, slots: Sequence[object], names: Sequence[str]
    ) -> Iterator[str]:
        least, most, form = _SIZES[kind]
        strange = False
        for slot in slots:
            found = self.slot.fullmatch(str(slot))
            made = self.made[int(found[1])] if found else slot
            if found is None or isinstance(made, Embed):
                strange = True
                word = made.kind if isinstance(made, Embed) else made
                yield f"{kind}(…): {quoted(word)} is no figure; write {form}"
        if not strange and not least <= len(slots) <= most:
            many = f"{least} to {most} figures" if most > 1 else "one figure"
            yield f"{kind}(…): should be {many}, and is {len(slots)}; write {form}"
        if names and len(names) != len(slots):
            yield f"{kind}(…): names = {len(names)} words for {len(slots)} figures; give one each"
        if kind == TEASER and any(isinstance(e, Figure) and e.teaser for e in self.made):
            yield "teaser(…): the page has a teaser already; a page has one"

    def _ref(self, id: object) -> Markup:
        """Return a link to a figure of the page, with a text such as "Figure 3"."""
        _require_defined(id)
        self.refs.append(str(id))
        target = re.sub(r"[<>\n\\]", "", str(id))  # which would end a link
        return Markup(f"[{self.mark}r{len(self.refs) - 1}x](<#{target}>)")

    def unknown(self, fault: str) -> Markup:
        """Record a call of an undefined function as an error."""
        self._tell(fault)
        return self._slot(None)

    def _tell(self, fault: str) -> None:
        self.faults.append(Diagnostic(self.file, calling_line(), fault))

    def _slot(self, made: Shown | None) -> Markup:
        self.made.append(made)
        return Markup(f"{self.mark}{len(self.made) - 1}x")

    def strays(self, text: str, parts: Sequence[Markup | int]) -> Iterator[Diagnostic]:
        """Yield an error for each figure that is not shown once, as a separate paragraph."""
        printed = Counter(int(found[1]) for found in self.slot.finditer(text))
        blocks = re.split(r"\n\s*\n", text)
        tables = "\n".join(block for block in blocks if _UNDER_A_HEAD.search(block))
        for number, figure in enumerate(self.made):
            if figure is None:
                continue
            noun = "figure" if isinstance(figure, Figure) else figure.kind
            if printed[number] > 1:
                yield _fault(figure, f"the {noun} is shown {printed[number]} times; {_FOR_EACH}")
            elif number not in parts:
                inside = f"{self.mark}{number}x" in tables
                own = f"the {noun} needs a paragraph of its own, {_ALONE}"
                yield _fault(figure, _IN_A_TABLE[isinstance(figure, Figure)] if inside else own)

    def bad_ids(self) -> Iterator[Diagnostic]:
        """Yield an error for each id that is used twice or reserved by the page."""
        seen: set[str] = set()
        for figure in (each for each in self.made if each is not None):
            if figure.id and (figure.id in seen or _FIXED_ID.fullmatch(figure.id)):
                yield _fault(figure, f"id = {quoted(figure.id)} is taken; choose another")
            seen.add(figure.id)

    def body(self, parts: Sequence[Markup | int]) -> tuple[Markup | Shown, ...]:
        """Return the page's content in order, without invalid calls; every figure has an id.

        Figures without an id get a generated one: `mnist-trajectories`, `mnist-trajectories-2`, …
        """
        found = (self.made[part] if isinstance(part, int) else part for part in parts)
        body = [part for part in found if part is not None]
        taken = {part.id for part in body if not isinstance(part, Markup)}
        for at, part in enumerate(body):
            if not isinstance(part, Markup) and not part.id:
                body[at] = replace(part, id=free_name(part.base, taken))
        numbers = _numbers([part for part in body if not isinstance(part, Markup)])

        def said(found: re.Match[str]) -> str:
            return f"Figure {numbers.get(self.refs[int(found[1])], '?')}"

        return tuple(
            Markup(self.ref.sub(said, str(part)))
            if isinstance(part, Markup)
            else replace(part, number=numbers.get(part.id, 0))
            for part in body
        )


def _require_defined(*values: object) -> None:
    for value in values:
        if isinstance(value, Undefined):
            str(value)  # raises if undefined, with the name


def _numbers(parts: Sequence[Shown]) -> dict[str, int]:
    """Return figure numbers by id, from 1. The teaser is first; videos have no number."""
    teaser = [part for part in parts if isinstance(part, Figure) and part.teaser]
    others = [part for part in parts if part not in teaser]
    counted = [p for p in (*teaser, *others) if isinstance(p, Figure) or p.numbered]
    return {part.id: number for number, part in enumerate(counted, 1)}


def _fault(figure: Shown, text: str) -> Diagnostic:
    return Diagnostic(figure.place.file, figure.place.line, f"{figure.kind}(…): {text}")
