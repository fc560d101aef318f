"""Reading of pages: Markdown with figure calls becomes HTML with slots for the figures.

`pages/index.md` is the front page, `pages/NAME.md` becomes `NAME/index.html`. A page needs no
front matter: its title is its first heading if that is of level 1, else the site's. A figure call
such as `{{ trajectories("mnist", count=36, caption="…") }}` is a separate paragraph, and so are
`{{ image("setup.png", alt="…") }}` and `{{ video("https://youtu.be/…") }}`.
`{% if available("cifar10") %}` … `{% endif %}` encloses text for a model that may be missing.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from markupsafe import Markup

from sitegen.config.schema import Site
from sitegen.content.calls import Calls, Shown
from sitegen.content.embeds import Embed
from sitegen.content.links import (
    PageFiles,
    at_heading,
    page_files,
    page_uri,
    place_fault,
    site_links,
    themed_ids,
)
from sitegen.content.markdown import Heading, Noted, parse
from sitegen.content.templates import TemplateFault, run_template
from sitegen.core.diagnostics import Diagnostic, config_error, in_order, quoted
from sitegen.core.errors import ConfigError
from sitegen.core.site_files import OwnFile
from sitegen.core.source import (
    odd_character,
    page_name,
    page_sources,
    read_text,
    require_inside,
    shown,
)
from sitegen.core.urls import INDEX, RESERVED, page_fault, relative
from sitegen.figures.base import Figure

_THING = re.compile(r"(<function [\w\\]+| at 0x[0-9a-f]{6,})\\?>")
"""End of the text of a Python object: the name of a function, or a memory address."""
_MARKDOWN = frozenset({".md", ".markdown", ".mdown"})


@dataclass(frozen=True)
class Page:
    """A page to render at `uri`; its body is safe HTML and figures, in order.

    `files` are the author's files that the page shows or links to. `warnings` are probable mistakes
    in its text. `waits` are the missing models that some of its text needs.
    """

    uri: str
    title: str
    figures: tuple[Figure, ...]
    body: tuple[Markup | Shown, ...]
    source: Path
    files: tuple[OwnFile, ...] = ()
    headings: tuple[Heading, ...] = ()
    anchors: tuple[Noted, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
    waits: frozenset[str] = frozenset()

    @property
    def ids(self) -> frozenset[str]:
        """Return the ids of its headings and figures."""
        shown = (part.id for part in self.body if not isinstance(part, Markup))
        return frozenset((*shown, *(heading.id for heading in self.headings)))


def read_pages(site: Site, available: Callable[[str], bool] | None = None) -> tuple[Page, ...]:
    """Read every page of the site, the front page first; raise ConfigError with all errors.

    `available` returns whether a model can be sampled; by default, every model of the site can.
    Text that needs a missing model is checked too.
    """
    available = available or site.models.__contains__
    readings, whole, files = list[_Read](), list[_Read](), page_files(site)
    # A page that hides text is read twice, since neither reading implies the other: a template may
    # have `else`, and in Markdown a removed line changes the meaning of the lines around it.
    for source in _in_order(site.root / "pages", site):
        readings.append(_read(source, site, files, available))
        hides = readings[-1].hides
        every = _read(source, site, files, lambda _: True) if hides else readings[-1]
        whole.append(every)
    themed = themed_ids(site.root)
    ids = {each.page.uri: each.page.ids | themed for each in whole if each.page and each.complete}
    problems: list[object] = [*_misplaced(site.root / "pages")]
    for reading, other in zip(readings, whole, strict=True):
        led = _misled(other.page, ids) if other.page else ()
        problems += in_order([*reading.problems, *other.problems, *led])
    problems += in_order(_misled_by_config(site, files, ids))
    if problems:
        raise config_error(problems)
    pages = [_with_headings(reading.page, ids) for reading in readings if reading.page]
    front = replace(pages[0], files=_sorted([*pages[0].files, *files.used.values()]))
    return (front, *pages[1:])


def _misled(page: Page, ids: Mapping[str, Collection[str]]) -> Iterator[Diagnostic]:
    for anchor in page.anchors:
        if fault := place_fault(page.uri, at_heading(page.uri, anchor.text, ids), ids):
            text = f"the link {quoted(anchor.text)} {fault}"
            yield Diagnostic(shown(page.source), anchor.line, text)


def _with_headings(page: Page, ids: Mapping[str, Collection[str]]) -> Page:
    """Return the page with links to headings completed where the prefix was left out."""
    links = {anchor.text: at_heading(page.uri, anchor.text, ids) for anchor in page.anchors}
    body = page.body
    for old, new in links.items():
        if old != new:
            was, now = (f'href="{escape(relative(url, page.uri))}"' for url in (old, new))
            body = tuple(
                Markup(str(part).replace(was, now)) if isinstance(part, Markup) else part
                for part in body
            )
    return replace(page, body=body)


def _misled_by_config(
    site: Site, files: PageFiles, ids: Mapping[str, Collection[str]]
) -> Iterator[Diagnostic]:
    for key, url in site_links(site).items():
        try:
            fault = place_fault(INDEX, at_heading(INDEX, url, ids), ids)
            if not url.startswith("#"):
                files.link(url)
        except ValueError as error:
            fault = str(error)
        if fault:
            yield site.problem(key, f" = {quoted(url)}: {fault}")
    for at, place in enumerate(site.affiliations):
        try:
            if place.logo:
                files.picture(place.logo)
        except ValueError as error:
            key = ("affiliations", at, "logo")
            yield site.problem(key, f" = {quoted(place.logo)}: {error}")


def _in_order(folder: Path, site: Site) -> list[Path]:
    sources = dict[str, Path]()
    for path in page_sources(folder):
        if (other := sources.setdefault(page_name(path), path)) != path:
            both = " and ".join(ascii(each.name)[1:-1] for each in (path, other))
            text = f"has the name of another page, written with other characters ({both}); "
            text += "rename or remove one of them"
            raise config_error([Diagnostic(shown(path), None, text)])
    if "index" not in sources:
        raise ConfigError(f"{shown(folder / 'index.md')}: is missing; it is the front page")
    names = dict.fromkeys(("index", *site.menu, *sources))
    return [sources[name] for name in names if name in sources]


def _misplaced(folder: Path) -> Iterator[Diagnostic]:
    """Yield an error for each file that looks like a page but is not read as one."""
    for path in sorted(folder.rglob("[!.]*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not path.is_file():
            continue
        if path.suffix.lower() in _MARKDOWN and (path.suffix != ".md" or len(inside.parts) > 1):
            best = folder / f"{path.stem}.md"
            text = f"is no page; make it {shown(best)}, or keep it outside of {shown(folder)}"
            yield Diagnostic(shown(path), None, text)


@dataclass(frozen=True)
class _Read:
    """The result of reading a page.

    page: None if the text could not be read to the end
    complete: whether all calls are valid, so that all ids are known
    hides: whether the page may have more text when more models are available
    """

    page: Page | None
    problems: Sequence[object]
    complete: bool = False
    hides: bool = False


def _read(path: Path, site: Site, files: PageFiles, available: Callable[[str], bool]) -> _Read:
    calls, files = Calls(shown(path), site, files.folder), replace(files, used={})
    try:
        uri = _uri(path)
        require_inside(path, site.root)
        source = read_text(path)
        public = site.model_dump(exclude={"cache_dir", "models", "output"})  # texts, but no paths
        names = {"available": calls.asking(available), "site": public, **calls.functions()}
        text = run_template(source, names, calls.unknown)
    except ConfigError as error:
        return _Read(None, error.problems or [error])
    except TemplateFault as fault:
        told = Diagnostic(calls.file, fault.line, fault.reason)
        return _Read(None, [*calls.faults, told], hides=bool(calls.waits))
    if (odd := _no_text(text, source)) is not None:
        place, words = odd
        at = _lines(text, source)[text.count("\n", 0, place)]
        return _Read(None, [*calls.faults, Diagnostic(calls.file, at, words)])
    document = parse(text, calls.slot, uri, files)
    noted = document.faults or document.anchors or document.warnings
    line = _lines(text, source) if noted else ()
    problems: list[object] = [*calls.faults, *calls.strays(text, document.parts), *calls.bad_ids()]
    problems += [
        Diagnostic(calls.file, line[fault.line - 1], fault.text)
        for fault in document.faults
        if calls.mark not in fault.text  # a figure in place of a link, which is reported already
    ]
    body = calls.body(document.parts)
    embeds = (part for part in body if isinstance(part, Embed))
    page = Page(
        uri,
        document.title or site.title,
        tuple(part for part in body if isinstance(part, Figure)),
        body,
        path,
        _sorted([*files.used.values(), *(file for embed in embeds for file in embed.files)]),
        document.headings,
        tuple(Noted(line[anchor.line - 1], anchor.text) for anchor in document.anchors),
        tuple(Diagnostic(calls.file, line[w.line - 1], w.text) for w in document.warnings),
        frozenset(calls.waits),
    )
    return _Read(page, problems, not calls.faults, bool(calls.waits))


def _sorted(files: Iterable[OwnFile]) -> tuple[OwnFile, ...]:
    return tuple(sorted(set(files), key=lambda file: file.uri))


def _no_text(text: str, source: str) -> tuple[int, str] | None:
    """Find output of a template that is not an author's text; return its position and an error."""
    if (odd := odd_character(text)) is not None:
        return odd[0], f"what stands here holds the character {odd[1]}; leave it out"
    if (thing := _THING.search(text)) is not None and thing[0] not in source:
        words = "what stands here is a thing of the template's own, and no text; call a function as"
        return thing.start(), f"{words} name(…), and put |list or |join behind a filter of lists"
    return None


def _lines(text: str, source: str) -> Sequence[int]:
    """Return, for each line of the rendered template, its line in the page, from 1."""
    found, nearest = list[int](), 1
    matcher = difflib.SequenceMatcher(None, text.split("\n"), source.split("\n"))
    for block in matcher.get_matching_blocks():
        found += [nearest] * (block.a - len(found))
        found += range(block.b + 1, block.b + block.size + 1)
        nearest = block.b + block.size + 1
    return found


def _uri(path: Path) -> str:
    """Return the path of a built page; raise ConfigError for a name that a folder cannot have."""
    fault = (
        "is a name that sitegen uses itself"
        if path.stem in RESERVED
        else page_fault(page_name(path))
    )
    if fault is not None and path.stem != "index":
        text = f"the page's name {quoted(path.stem)} {fault}"
        raise config_error([Diagnostic(shown(path), None, text)])
    return page_uri(path)
