"""Pages: Markdown with figure calls becomes text with the figures' places left open in it.

`pages/index.md` is the front page, `pages/NAME.md` becomes `NAME/index.html`. A page needs no
front matter: its title is its first heading when that is of level 1, else the site's. A figure
call such as `{{ trajectories("mnist", count=36, caption="…") }}` stands in a paragraph of its own,
and so do `{{ image("setup.png", alt="…") }}` and `{{ video("https://youtu.be/…") }}`.
`{% if available("cifar10") %}` … `{% endif %}` keeps what needs a model that may not be there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from sitegen.config.schema import Site
from sitegen.content.calls import Calls, Shown, with_ids
from sitegen.content.links import PageFiles, anchor_faults, link_faults
from sitegen.content.markdown import Anchor, Heading, parse
from sitegen.content.templates import TemplateFault, run_template
from sitegen.core.diagnostics import Diagnostic, config_error, quoted
from sitegen.core.errors import ConfigError
from sitegen.core.site_files import OwnFile, SiteFolder
from sitegen.core.source import page_sources, read_text, require_inside, shown
from sitegen.core.urls import slug_fault
from sitegen.figures.base import Figure

_OURS = frozenset({"assets", "index", "media"})  # what the build folder has at its root
_MARKDOWN = frozenset({".md", ".markdown", ".mdown"})


@dataclass(frozen=True)
class Page:
    """A page to be rendered at `uri`; its body is safe HTML and what stands between, in order.

    `files` are the author's own that the page shows or links to.
    """

    uri: str
    title: str
    figures: tuple[Figure, ...]
    body: tuple[Markup | Shown, ...]
    source: Path
    files: tuple[OwnFile, ...] = ()
    headings: tuple[Heading, ...] = ()
    anchors: tuple[Anchor, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        """The ids of its headings and of what it shows."""
        shown = (part.id for part in self.body if not isinstance(part, Markup))
        return frozenset((*shown, *(heading.id for heading in self.headings)))


def read_pages(site: Site, available: Callable[[str], bool] | None = None) -> tuple[Page, ...]:
    """Read every page of the site, the front page first; ConfigError tells all that is wrong.

    `available` says whether a model can be sampled; without it, every model of the site can.
    """
    available = available or site.models.__contains__
    folder = site.root / "pages"
    sources = _in_order(folder, site)
    pages, whole, faults = [], list[Page](), list[str]()
    for source in sources:
        try:
            pages.append(read_page(source, site, available))
            if all(map(available, site.models)):
                whole.append(pages[-1])
            else:  # what is hidden must be right, too
                whole.append(read_page(source, site, lambda _: True))
        except ConfigError as error:
            faults.append(str(error))
    files = _page_files(site)
    faults += map(str, (*anchor_faults(whole, site), *link_faults(site, files)))
    if faults:
        raise ConfigError("\n".join(faults))
    front = replace(pages[0], files=_sorted(*pages[0].files, *files.used.values()))
    return (front, *pages[1:])


def _in_order(folder: Path, site: Site) -> list[Path]:
    """The sources of the pages: the front page, those of the menu, the others by name."""
    sources = {path.stem: path for path in page_sources(folder)}
    if "index" not in sources:
        raise ConfigError(f"{shown(folder / 'index.md')}: is missing; it is the front page")
    if misplaced := list(_misplaced(folder)):
        raise config_error(misplaced)
    return [
        sources[name] for name in dict.fromkeys(("index", *site.menu, *sources)) if name in sources
    ]


def _misplaced(folder: Path) -> Iterator[Diagnostic]:
    """Name what looks like a page and would never be one."""
    for path in sorted(folder.rglob("[!.]*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not path.is_file():
            continue
        if path.suffix.lower() in _MARKDOWN and (path.suffix != ".md" or len(inside.parts) > 1):
            best = folder / f"{path.stem}.md"
            text = f"is no page; make it {shown(best)}, or keep it outside of {shown(folder)}"
            yield Diagnostic(shown(path), None, text)


def read_page(path: Path, site: Site, available: Callable[[str], bool]) -> Page:
    """Read one page; ConfigError tells everything that is wrong with it, with file and line.

    `available` says whether a model can be sampled; the page asks it by that name.
    """
    uri = _uri(path)
    require_inside(path, site.root)
    source = read_text(path)
    files = _page_files(site)
    calls = Calls(shown(path), site, files.folder)
    text = _filled(source, calls, {"available": calls.asking(available), "site": _public(site)})
    document = parse(text, calls.slot, uri, files)
    problems = [*calls.strays(text, document.parts), *calls.bad_ids()]
    problems += [
        Diagnostic(calls.file, _source_line(fault.line, text, source), fault.text)
        for fault in document.faults
        if calls.mark not in fault.text  # a figure where a link belongs, which is told already
    ]
    if problems:
        problems.sort(key=lambda problem: problem.line or 0)
        raise config_error(problems)
    placed = [part for part in document.parts if isinstance(part, int)]
    named = with_ids([calls.made[number] for number in placed])
    things = dict(zip(placed, named, strict=True))
    body = tuple(things[part] if isinstance(part, int) else part for part in document.parts)
    return Page(
        uri,
        document.title or site.title,
        tuple(thing for thing in named if isinstance(thing, Figure)),
        body,
        path,
        _files(named, files),
        document.headings,
        tuple(Anchor(_source_line(each.line, text, source), each.url) for each in document.anchors),
    )


def _page_files(site: Site) -> PageFiles:
    """What a page may show and link to."""
    uris = {_address(each) for each in page_sources(site.root / "pages")}
    return PageFiles(SiteFolder(site.root, (site.output, site.cache_dir)), uris)


def _files(shown: Sequence[Shown], files: PageFiles) -> tuple[OwnFile, ...]:
    """All of the author's files on a page."""
    calls = (file for thing in shown if not isinstance(thing, Figure) for file in thing.files)
    return _sorted(*calls, *files.used.values())


def _sorted(*files: OwnFile) -> tuple[OwnFile, ...]:
    """The files, each once, by their paths in the built folder."""
    return tuple(sorted(set(files), key=lambda file: file.uri))


def _public(site: Site) -> dict[str, object]:
    """What a page may say of its site: the words, not the paths."""
    return site.model_dump(exclude={"cache_dir", "models", "output"})


def _filled(source: str, calls: Calls, names: Mapping[str, object]) -> str:
    """Run the template of a page; the calls note the figures and leave slots in the text."""
    faults: list[Diagnostic | str] = []
    try:
        text = run_template(source, {**names, **calls.functions()})
    except TemplateFault as error:
        text = ""
        faults.append(Diagnostic(calls.file, error.line, error.reason))
    if calls.faults or faults:
        raise config_error([*calls.faults, *faults])
    return text


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


def _address(path: Path) -> str:
    """The path in the built folder that a page has by its name."""
    return "index.html" if path.stem == "index" else f"{path.stem}/index.html"


def _uri(path: Path) -> str:
    """Where a page goes: a folder of its own, except for the front page."""
    fault = "is a name that sitegen uses itself" if path.stem in _OURS else slug_fault(path.stem)
    if fault is not None and path.stem != "index":
        raise config_error(
            [Diagnostic(shown(path), None, f"the page's name {quoted(path.stem)} {fault}")]
        )
    return _address(path)
