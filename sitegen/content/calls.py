"""The calls of a page: what its template asks for, noted in order, and slots left in the text."""

import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from jinja2 import Undefined
from markupsafe import Markup

from sitegen.config.schema import Site
from sitegen.content.embeds import EMBEDS, Embed, make_embed
from sitegen.content.links import THEMED
from sitegen.content.markdown import free_name
from sitegen.content.templates import BadCall, calling_line
from sitegen.core.diagnostics import Diagnostic, SourceLocation, quoted
from sitegen.core.errors import ConfigError
from sitegen.core.site_files import SiteFolder
from sitegen.figures.base import Figure, no_such_model
from sitegen.figures.registry import figure_kinds, make_figure

_FOR_EACH = "call it once for each"
_ALONE = "outside code; to show the call itself, write {% raw %} before and {% endraw %} after it"
_FIXED_ID = re.compile(rf"h-.*|{THEMED}")

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
        self.mark = f"slot{secrets.token_hex(16)}n"  # unknown to the page, so it cannot be forged
        self.slot = re.compile(rf"{self.mark}(\d+)x")

    def functions(self) -> dict[str, Callable[..., Markup]]:
        """The functions that a page can call, one a kind."""
        return {kind: self._function(kind) for kind in (*figure_kinds(), *EMBEDS)}

    def asking(self, available: Callable[[str], bool]) -> Callable[[str], bool]:
        """The function `available` of a page, which knows the models of the site only."""

        def ask(name: object) -> bool:
            if not isinstance(name, str) or name not in self.site.models:
                fault = no_such_model(str(name), self.site.models)
                raise BadCall(f"available({quoted(name)}): {fault}")
            there = available(name)
            self.waits |= set() if there else {name}
            return there

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
            self.made.append(made)
            return Markup(f"{self.mark}{len(self.made) - 1}x")

        return call

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
                yield _fault(figure, f"the {noun} needs a paragraph of its own, {_ALONE}")

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


def _fault(figure: Shown, text: str) -> Diagnostic:
    return Diagnostic(figure.place.file, figure.place.line, f"{figure.kind}(…): {text}")
