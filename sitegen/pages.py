"""Pages: Markdown with figure calls becomes text with the figures' places left open in it.

`pages/index.md` is the front page, `pages/NAME.md` becomes `NAME/index.html`. A page needs no
front matter: its title is its first heading when that is of level 1, else the site's. A figure
call such as `{{ trajectories("mnist", count=36, caption="…") }}` stands in a paragraph of its own;
`{% if available("cifar10") %}` … `{% endif %}` keeps what needs a model that may not be there.
"""

from __future__ import annotations

import difflib
import itertools
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Undefined
from markupsafe import Markup

from sitegen.config import Site
from sitegen.errors import ConfigError
from sitegen.figures import KINDS, Figure, Place, make_figure
from sitegen.links import slug_fault
from sitegen.markdown import parse
from sitegen.problems import Problem, quoted, told
from sitegen.source import read_text, shown
from sitegen.templates import TemplateFault, calling_line, run_template

_OURS = frozenset({"assets", "index", "media"})  # what the build folder has at its root
_FIXED_ID = re.compile(
    r"h-.*|fn(ref)?\d.*|citation|content|top"
)  # what the theme and footnotes use


@dataclass(frozen=True)
class Page:
    """A page to be rendered at `uri`; its body is safe HTML and figures in reading order."""

    uri: str
    title: str
    figures: tuple[Figure, ...]
    body: tuple[Markup | Figure, ...]
    source: Path


def read_pages(site: Site, available: Callable[[str], bool] | None = None) -> tuple[Page, ...]:
    """Read every page of the site, the front page first; ConfigError tells all that is wrong.

    `available` says whether a model can be sampled; without it, every model of the site can.
    """
    available = available or site.models.__contains__
    folder = site.root / "pages"
    sources = sorted(folder.glob("*.md"), key=lambda path: (path.stem != "index", path.name))
    if not sources or sources[0].stem != "index":
        raise ConfigError(f"{shown(folder / 'index.md')}: is missing; it is the front page")
    pages, faults = [], []
    for source in sources:
        try:
            pages.append(read_page(source, site, available))
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(pages)


def read_page(path: Path, site: Site, available: Callable[[str], bool]) -> Page:
    """Read one page; ConfigError tells everything that is wrong with it, with file and line.

    `available` says whether a model can be sampled; the page asks it by that name.
    """
    uri = _uri(path)
    source = read_text(path)
    calls = _Calls(shown(path), site)
    text = _filled(source, calls, {"available": available, "site": _public(site)})
    document = parse(text, calls.slot, uri)
    problems = [*calls.strays(text, document.parts), *calls.bad_ids()]
    problems += [
        Problem(calls.file, _source_line(fault.line, text, source), fault.text)
        for fault in document.faults
    ]
    if problems:
        problems.sort(key=lambda problem: problem.line or 0)
        raise told(problems)
    placed = [part for part in document.parts if isinstance(part, int)]
    named = _with_ids([calls.figures[number] for number in placed])
    figures = dict(zip(placed, named, strict=True))
    body = tuple(figures[part] if isinstance(part, int) else part for part in document.parts)
    return Page(uri, document.title or site.title, named, body, path)


def _public(site: Site) -> dict[str, object]:
    """What a page may say of its site: the words, not the paths."""
    return site.model_dump(exclude={"cache_dir", "models", "output", "theme"})


def _filled(source: str, calls: _Calls, names: Mapping[str, object]) -> str:
    """Run the template of a page; the calls note the figures and leave slots in the text."""
    faults: list[Problem | str] = []
    try:
        text = run_template(source, {**names, **calls.functions()})
    except TemplateFault as error:
        text = ""
        faults.append(Problem(calls.file, error.line, error.reason))
    if calls.faults or faults:
        raise told([*calls.faults, *faults])
    return text


class _Calls:
    """The figure calls of one page, in the order in which its template made them."""

    def __init__(self, file: str, site: Site) -> None:
        self.file = file
        self.site = site
        self.figures: list[Figure] = []
        self.faults: list[str] = []
        self.mark = f"slot{secrets.token_hex(16)}n"  # unknown to the page, so it cannot be forged
        self.slot = re.compile(rf"{self.mark}(\d+)x")

    def functions(self) -> dict[str, Callable[..., Markup]]:
        """The functions that a page can call, one a kind."""
        return {kind: self._function(kind) for kind in KINDS}

    def _function(self, kind: str) -> Callable[..., Markup]:
        def call(*args: object, **kwargs: object) -> Markup:
            for value in (*args, *kwargs.values()):
                if isinstance(value, Undefined):
                    str(value)  # raises, and names what is undefined
            place = Place(self.file, calling_line())
            try:
                models, root = self.site.models, self.site.root
                self.figures.append(make_figure(kind, args, kwargs, place, models, root))
            except ConfigError as error:
                self.faults.append(str(error))
            return Markup(f"{self.mark}{len(self.figures) - 1}x")

        return call

    def strays(self, text: str, parts: Sequence[Markup | int]) -> Iterator[Problem]:
        """Name the figures that are not shown exactly once, in a paragraph of their own."""
        printed = Counter(int(found[1]) for found in self.slot.finditer(text))
        for number, figure in enumerate(self.figures):
            if printed[number] > 1:
                text = f"the figure is shown {printed[number]} times; call it once for each"
            elif number not in parts:
                text = "the figure needs a paragraph of its own, outside code; to show the call "
                text += "itself, write {% raw %} before and {% endraw %} after it"
            else:
                continue
            yield Problem(figure.place.file, figure.place.line, f"{figure.kind}(…): {text}")

    def bad_ids(self) -> Iterator[Problem]:
        """Name the ids that authors gave twice, or that the page itself uses."""
        seen: set[str] = set()
        for figure in self.figures:
            taken = figure.id in seen or _FIXED_ID.fullmatch(figure.id)
            if figure.id and taken:
                text = f"{figure.kind}(…): id = {quoted(figure.id)} is taken; choose another"
                yield Problem(figure.place.file, figure.place.line, text)
            seen.add(figure.id)


def _with_ids(figures: Sequence[Figure]) -> tuple[Figure, ...]:
    """Name the figures whose authors gave no id: `mnist-trajectories`, `mnist-trajectories-2`, …"""
    taken = {figure.id for figure in figures}
    named = []
    for figure in figures:
        base = f"{'-'.join(figure.models)[:40]}-{figure.kind.replace('_', '-')}"
        names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
        name = figure.id or next(name for name in names if name not in taken)
        taken.add(name)
        named.append(replace(figure, id=name))
    return tuple(named)


def _source_line(line: int, text: str, source: str) -> int:
    """Find the line of the page that a line of the filled template came from."""
    match = difflib.SequenceMatcher(None, text.split("\n"), source.split("\n"))
    nearest = 1
    for block in match.get_matching_blocks():
        if block.a < line <= block.a + block.size:
            return block.b + line - block.a
        if block.a + block.size < line and block.size:
            nearest = block.b + block.size + 1
    return nearest


def _uri(path: Path) -> str:
    """Where a page goes: a folder of its own, except for the front page."""
    if path.stem == "index":
        return "index.html"
    fault = "is a name that sitegen uses itself" if path.stem in _OURS else slug_fault(path.stem)
    if fault is not None:
        raise told([Problem(shown(path), None, f"the page's name {quoted(path.stem)} {fault}")])
    return f"{path.stem}/index.html"
