"""The figure calls of a page, recorded in order; each leaves a slot in the text."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from string import ascii_lowercase
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
from sitegen.figures.registry import kind_names, make_figure

_FIXED_ID = re.compile(rf"h-.*|{THEMED}")

# Markdown is parsed after the template has run, so a call cannot return its figure. The brackets
# are no Markdown, and rare enough that a page does not have them by chance.
SLOT, _REF = re.compile(r"⟦figure (\d+)⟧"), re.compile(r"⟦ref (\d+)⟧")
"""What a call leaves in the text: the number of the figure, or of the reference to one."""

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


_GROUPS: Mapping[str, tuple[Any, int, int]] = {
    BESIDE: (_Beside, 2, 4),
    TABS: (_Tabs, 2, 6),
    TEASER: (_Teaser, 1, 1),
}
"""The arguments of each group, and its minimum and maximum number of figures."""

Shown: TypeAlias = Figure | Embed
"""Page content that is shown as a block."""


class Calls:
    """The calls of one page, in the order in which its template made them; None for invalid ones.

    `faults` are the errors of the invalid calls. `missing_models` are those that the page asked for
    and that are not available; the page may have more content once they are.
    """

    def __init__(self, file: str, site: Site, folder: SiteFolder) -> None:
        self.file = file
        self.site = site
        self.folder = folder
        self.parts: list[Shown | None] = []
        self.faults: list[object] = []
        self.missing_models: set[str] = set()
        self.rows = 0
        self.refs: list[str] = []

    def functions(self, available: Callable[[str], bool]) -> dict[str, Callable[..., object]]:
        """Return the functions that a page can call: one for each kind, and a few more.

        available: whether a model of the site can be sampled
        """
        functions: dict[str, Callable[..., object]] = {
            **{kind: self._function(kind) for kind in (*kind_names(), *EMBEDS)},
            **{kind: self._group(kind) for kind in _GROUPS},
            "ref": self._ref,
            "available": self._available(available),
        }
        for name, function in functions.items():
            if name != "ref":
                function.__name__ = function.__qualname__ = name  # Jinja's messages have it
        return functions

    def _available(self, available: Callable[[str], bool]) -> Callable[[object], bool]:
        def call(name: object) -> bool:
            _require_defined(name)
            if not isinstance(name, str) or name not in self.site.models:
                fault = no_such_model(str(name), self.site.models)
                self._fault(self._location(), f"available({quoted(name)}): {fault}")
                return True  # the section that needs the model is still checked for errors
            self.missing_models |= set() if available(name) else {name}
            return available(name)

        return call

    def _function(self, kind: str) -> Callable[..., Markup]:
        def call(*args: object, **kwargs: object) -> Markup:
            _require_defined(*args, *kwargs.values())
            location = self._location()
            part: Shown | None = None
            try:
                if kind in EMBEDS:
                    part = make_embed(kind, args, kwargs, location, self.folder)
                else:
                    models, root = self.site.models, self.site.root
                    part = make_figure(kind, args, kwargs, location, models, root)
            except ConfigError as error:
                self.faults += error.problems or [error]
            self.parts.append(part)
            return Markup(f"⟦figure {len(self.parts) - 1}⟧")

        return call

    def _group(self, kind: str) -> Callable[..., Markup]:
        """Return the function that groups the figures of other calls.

        The function takes the slots of these figures and returns them, each as a separate
        paragraph.
        """
        arguments, fewest, most = _GROUPS[kind]

        def call(*slots: object, **kwargs: object) -> Markup:
            location = self._location()
            _require_defined(*slots, *kwargs.values())
            try:
                (options,) = checked_call(kind, [arguments], (), kwargs, {}, location)
            except ConfigError as error:
                self.faults += error.problems or [error]
                options = arguments()
            matches = [SLOT.fullmatch(str(slot)) for slot in slots]
            numbers = [int(match[1]) for match in matches if match]
            figures = [self.parts[number] for number in numbers]
            if len(numbers) < len(slots) or any(isinstance(part, Embed) for part in figures):
                form = f'{kind}(trajectories("one"){", …" * (most > 1)})'
                self._fault(location, f"{kind}(…): should hold figures only; write {form}")
            elif not fewest <= len(slots) <= most:
                count = f"{fewest} to {most} figures" if most > 1 else "one figure"
                self._fault(location, f"{kind}(…): should be {count}, and is {len(slots)}")
            if options.names and len(options.names) != len(slots):
                self._fault(
                    location, f"{kind}(…): has {len(options.names)} names for {len(slots)} figures"
                )
            if kind == TEASER and any(
                isinstance(part, Figure) and part.teaser for part in self.parts
            ):
                self._fault(location, "teaser(…): the page has a teaser already; a page has one")
            self.rows += 1
            for number in numbers:
                figure = self.parts[number]
                if isinstance(figure, Figure) and kind == TEASER:
                    self.parts[number] = replace(figure, teaser=True)
                elif isinstance(figure, Figure):
                    row = Row(self.rows, options.caption, options.names, tabs=kind == TABS)
                    self.parts[number] = replace(figure, row=row)
            return Markup("\n\n").join(slot for slot in slots if isinstance(slot, Markup))

        return call

    def _ref(self, id: object) -> Markup:
        """Return a link to a figure of the page, with a text such as "Figure 3"."""
        _require_defined(id)
        self.refs.append(str(id))
        return Markup(f"[⟦ref {len(self.refs) - 1}⟧](<#{id}>)")

    def _location(self) -> SourceLocation:
        return SourceLocation(self.file, calling_line())

    def _fault(self, location: SourceLocation, text: str) -> None:
        self.faults.append(Diagnostic(location.file, location.line, text))

    def misplaced(self, text: str, parts: Sequence[Markup | int]) -> Iterator[Diagnostic]:
        """Yield an error for each figure that is not shown once, as a separate paragraph.

        Also yields one for each id that is used twice or reserved by the page.
        """
        printed = Counter(int(match[1]) for match in SLOT.finditer(text))
        ids: set[str] = set()
        for number, figure in enumerate(self.parts):
            if figure is None:
                continue
            faults = []
            if printed[number] > 1:
                faults.append(f"is shown {printed[number]} times; call it once for each")
            elif number not in parts:
                faults.append(
                    "needs a paragraph of its own, outside code and tables; to show the call "
                    "itself, write {% raw %} before and {% endraw %} after it"
                )
            if figure.id and (figure.id in ids or _FIXED_ID.fullmatch(figure.id)):
                faults.append(f"has the id {quoted(figure.id)}, which is taken; choose another")
            ids.add(figure.id)
            for fault in faults:
                yield Diagnostic(figure.place.file, figure.place.line, f"{figure.kind}(…) {fault}")

    def body(self, parts: Sequence[Markup | int]) -> tuple[Markup | Shown, ...]:
        """Return the page's content in order, without invalid calls; every figure has an id.

        Figures without an id get a generated one: `mnist-trajectories`, `mnist-trajectories-2`, …
        They are numbered from 1, the teaser first, and those under tabs 3a, 3b, …; videos have no
        number.
        """
        content = (self.parts[part] if isinstance(part, int) else part for part in parts)
        body = [part for part in content if part is not None]
        ids = {part.id for part in body if not isinstance(part, Markup)}
        for index, part in enumerate(body):
            if not isinstance(part, Markup) and not part.id:
                body[index] = replace(part, id=free_name(part.base, ids))
        figures = [
            part
            for part in body
            if isinstance(part, Figure) or (isinstance(part, Embed) and part.numbered)
        ]
        figures.sort(key=lambda part: not (isinstance(part, Figure) and part.teaser))
        numbers = _numbers(figures)

        def reference(match: re.Match[str]) -> str:
            return f"Figure {numbers.get(self.refs[int(match[1])], '?')}"

        return tuple(
            Markup(_REF.sub(reference, str(part)))
            if isinstance(part, Markup)
            else replace(part, number=numbers.get(part.id, ""))
            for part in body
        )


def _numbers(figures: Sequence[Figure | Embed]) -> dict[str, str]:
    """Return the numbers of figures by their ids; figures under tabs share one, with letters."""
    numbers: dict[str, str] = {}
    tabs = Counter[int]()
    count = 0
    for figure in figures:
        row = figure.row if isinstance(figure, Figure) else None
        if row is None or not row.tabs:
            count += 1
            numbers[figure.id] = str(count)
            continue
        count += not tabs[row.number]
        numbers[figure.id] = f"{count}{ascii_lowercase[tabs[row.number]]}"
        tabs[row.number] += 1
    return numbers


def _require_defined(*values: object) -> None:
    for value in values:
        if isinstance(value, Undefined):
            str(value)  # raises with the name
