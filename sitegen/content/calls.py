"""The figure calls of a page, recorded in order; each leaves a slot in the text."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from jinja2 import Undefined
from markupsafe import Markup

from sitegen.config.schema import Site
from sitegen.content.embeds import EMBEDS, make_embed
from sitegen.content.groups import (
    GROUPS,
    Group,
    Shown,
    group_fault,
    make_group,
    numbered,
    with_texts,
)
from sitegen.content.links import THEMED
from sitegen.content.markdown import InlineText
from sitegen.content.templates import calling_line
from sitegen.core.diagnostics import Diagnostic, SourceLocation, quoted
from sitegen.core.errors import ConfigError
from sitegen.core.site_files import SiteFolder
from sitegen.figures.arguments import no_such_model
from sitegen.figures.base import make_figure
from sitegen.figures.registry import figure_kind, kind_names, plug_in_errors

_FIXED_ID = re.compile(rf"h-.*|{THEMED}")

# Markdown is parsed after the template has run, so a call cannot return its figure. The brackets
# are no Markdown, and rare enough that a page does not have them by chance.
SLOT, _REF = re.compile(r"⟦figure (\d+)⟧"), re.compile(r"⟦ref (\d+)⟧")
"""What a call leaves in the text: the number of the figure, or of the reference to one."""


@dataclass
class Calls:
    """The calls of one page, in the order in which its template made them; None for invalid ones.

    `faults` are the errors of the invalid calls. `missing_models` are those that the page asked for
    and that are not available; the page may have more content once they are.
    """

    file: str
    site: Site
    folder: SiteFolder
    parts: list[Shown | None] = field(default_factory=list)
    faults: list[object] = field(default_factory=list)
    missing_models: set[str] = field(default_factory=set)
    grouped: Counter[int] = field(default_factory=Counter)
    refs: list[str] = field(default_factory=list)

    def functions(self, available: Callable[[str], bool]) -> dict[str, Callable[..., object]]:
        """Return the functions that a page can call: one for each kind, and a few more.

        available: whether a model of the site can be sampled
        """
        functions: dict[str, Callable[..., object]] = {
            **{kind: self._function(kind) for kind in (*kind_names(), *EMBEDS)},
            **{kind: self._group(kind) for kind in GROUPS},
            "teaser": self._teaser,
            "ref": self._ref,
            "available": self._available(available),
        }
        for name, function in functions.items():
            if name not in ("ref", "teaser"):
                function.__name__ = function.__qualname__ = name  # Jinja's messages have it
        return functions

    def _available(self, available: Callable[[str], bool]) -> Callable[[object], bool]:
        def call(name: object) -> bool:
            _require_defined(name)
            if not isinstance(name, str) or name not in self.site.models:
                fault = no_such_model(str(name), self.site.models)
                self._fault(f"available({quoted(name)}): {fault}")
                return True  # the section that needs the model is still checked for errors
            self.missing_models |= set() if available(name) else {name}
            return available(name)

        return call

    def _function(self, kind: str) -> Callable[..., Markup]:
        def call(*args: object, **kwargs: object) -> Markup:
            _require_defined(*args, *kwargs.values())
            location = SourceLocation(self.file, calling_line())
            part: Shown | None = None
            try:
                if kind in EMBEDS:
                    part = make_embed(kind, args, kwargs, location, self.folder)
                else:
                    with plug_in_errors(kind, f"{location.file}:{location.line}: "):
                        part = make_figure(
                            kind,
                            figure_kind(kind),
                            args,
                            kwargs,
                            location,
                            self.site.models,
                            self.site.root,
                        )
            except ConfigError as error:
                self.faults += error.problems or [error]
            self.parts.append(part)
            return Markup(f"⟦figure {len(self.parts) - 1}⟧")

        return call

    def _group(self, kind: str) -> Callable[..., Markup]:
        """Return the function that groups the parts of other calls, and takes their slots."""

        def call(*slots: object, **kwargs: object) -> Markup:
            location = SourceLocation(self.file, calling_line())
            _require_defined(*slots, *kwargs.values())
            matches = [SLOT.fullmatch(str(slot)) for slot in slots]
            numbers = [int(match[1]) for match in matches if match]
            parts = [part for number in numbers if (part := self.parts[number])]
            singles = [part for part in parts if not isinstance(part, Group)]
            if len(numbers) < len(slots) or len(singles) < len(parts):
                what = "figures, pictures, videos and tables"
                form = f'{kind}(trajectories("one"), …)'
                self._fault(f"{kind}(…): should hold {what} only; write {form}")
            group = None
            try:
                group = make_group(kind, singles, kwargs, location, len(self.parts) + 1)
            except ConfigError as error:
                self.faults += error.problems or [error]
            else:
                if len(singles) == len(slots) and (fault := group_fault(group)):
                    self._fault(f"{kind}(…): {fault}")
            self.grouped.update(numbers)
            self.parts.append(group)
            return Markup(f"⟦figure {len(self.parts) - 1}⟧")

        return call

    def _teaser(self, *slots: object) -> Markup:
        """Mark a part of the page as the one under the title, and return its slot."""
        _require_defined(*slots)
        slot = SLOT.fullmatch(str(slots[0])) if len(slots) == 1 else None
        if slot is None:
            form = 'write teaser(trajectories("one"))'
            self._fault(f"teaser(…): should hold one figure, picture, video or group; {form}")
        elif part := self.parts[int(slot[1])]:
            if any(other and other.teaser for other in self.parts):
                self._fault("teaser(…): the page has a teaser already; a page has one")
            self.parts[int(slot[1])] = replace(part, teaser=True)
        return Markup("\n\n").join(slot for slot in slots if isinstance(slot, Markup))

    def _ref(self, id: object) -> Markup:
        """Return a link to a figure of the page, with a text such as "Figure 3"."""
        _require_defined(id)
        self.refs.append(str(id))
        return Markup(f"[⟦ref {len(self.refs) - 1}⟧](<#{id}>)")

    def _fault(self, text: str) -> None:
        self.faults.append(Diagnostic(self.file, calling_line(), text))

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
            times = printed[number] + self.grouped[number]
            if times > 1:
                faults.append(f"is shown {times} times; call it once for each")
            elif number not in parts and not self.grouped[number]:
                faults.append(
                    "needs a paragraph of its own, outside code and tables; to show the call "
                    "itself, write {% raw %} before and {% endraw %} after it"
                )
            if figure.id and (figure.id in ids or _FIXED_ID.fullmatch(figure.id)):
                faults.append(f"has the id {quoted(figure.id)}, which is taken; choose another")
            ids.add(figure.id)
            for fault in faults:
                yield Diagnostic(figure.place.file, figure.place.line, f"{figure.kind}(…) {fault}")

    def texts(self, number: int) -> Sequence[str]:
        """Return the inline Markdown of a part and its own parts, in the order of `with_texts`."""
        texts = list[str]()

        def noted(text: str) -> str:
            texts.append(text)
            return text

        if part := self.parts[number]:
            with_texts(part, noted)
        return texts

    def body(
        self, parts: Sequence[Markup | int], texts: Mapping[int, Sequence[InlineText]]
    ) -> tuple[Markup | Shown, ...]:
        """Return the page's content in order, without invalid calls, as `numbered` does.

        texts: the texts of the parts, parsed
        """
        shown = list[Markup | Shown]()
        for part in parts:
            if isinstance(part, Markup):
                shown.append(part)
            elif call := self.parts[part]:
                shown.append(with_texts(call, partial(next, iter(texts[part]))))
        body, names = numbered(shown)

        def referring(text: str) -> str:
            return _REF.sub(lambda m: names.get(self.refs[int(m[1])], "Figure ?"), text)

        return tuple(
            Markup(referring(part))
            if isinstance(part, Markup)
            else with_texts(part, lambda text: text.changed(referring))
            for part in body
        )


def _require_defined(*values: object) -> None:
    for value in values:
        if isinstance(value, Undefined):
            str(value)  # raises with the name
