"""Reading of pages: Markdown with figure calls becomes HTML with slots for the figures.

`pages/index.md` is the front page, `pages/NAME.md` becomes `NAME/index.html`. A page needs no
front matter: its title is its first heading if that is of level 1, else the site's. A figure call
such as `{{ trajectories("mnist", count=36, caption="…") }}` is a separate paragraph, and so are
`{{ image("setup.png", alt="…") }}` and `{{ video("https://youtu.be/…") }}`. Captions are Markdown.
`{% if available("cifar10") %}` … `{% endif %}` encloses text for a model that may be missing.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from markupsafe import Markup

from sitegen.config.schema import Site
from sitegen.content.calls import SLOT, Calls
from sitegen.content.embeds import Embed
from sitegen.content.groups import Shown, all_parts
from sitegen.content.links import PageFiles, anchor_fault, page_files, page_uri
from sitegen.content.markdown import Heading, Noted, parse
from sitegen.content.templates import TemplateFault, run_template
from sitegen.core.diagnostics import Diagnostic, config_error, in_order, quoted
from sitegen.core.errors import ConfigError
from sitegen.core.site_files import OwnFile
from sitegen.core.source import page_name, page_sources, read_text, shown
from sitegen.core.urls import INDEX, RESERVED, is_whole, page_fault
from sitegen.figures.base import Figure


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
        shown = (part.id for part in all_parts(self.body) if not isinstance(part, Markup))
        return frozenset((*shown, *(heading.id for heading in self.headings)))


def read_pages(site: Site, available: Callable[[str], bool] | None = None) -> tuple[Page, ...]:
    """Read every page of the site, the front page first; raise ConfigError with all errors.

    `available` returns whether a model can be sampled; by default, every model of the site can.
    """
    available = available or site.models.__contains__
    files, folder = page_files(site), site.root / "pages"
    pages, problems, ids = list[Page](), list[object](), dict[str, Collection[str]]()
    sources = {page_name(path): path for path in page_sources(folder)}
    if "index" not in sources:
        raise ConfigError(f"{shown(folder / 'index.md')}: is missing; it is the front page")
    order = dict.fromkeys(("index", *site.menu, *sources))
    for source in (sources[name] for name in order if name in sources):
        page, faults = _read(source, site, replace(files, used={}), available)
        problems += in_order(faults)
        if page is not None:
            pages.append(page)
            if not faults and not page.waits:  # else there are more ids than those known
                ids[page.uri] = page.ids
    # The ids in an author's own templates are not known; `sitegen check` reads them in the pages.
    checked = {} if (site.root / "theme" / "templates").is_dir() else ids
    for page in pages:
        problems += [
            Diagnostic(shown(page.source), anchor.line, f"the link {quoted(anchor.text)} {fault}")
            for anchor in page.anchors
            if (fault := anchor_fault(page.uri, anchor.text, checked))
        ]
    problems += in_order(_faults_of_config(site, files, checked))
    if problems:
        raise config_error(problems)
    front = replace(pages[0], files=_sorted([*pages[0].files, *files.used.values()]))
    return (front, *pages[1:])


def _read(
    path: Path, site: Site, files: PageFiles, available: Callable[[str], bool]
) -> tuple[Page | None, Sequence[object]]:
    """Return a page and its problems; no page if the text could not be read to the end."""
    calls = Calls(shown(path), site, files.folder)
    fault = page_fault(page_name(path))
    if path.stem in RESERVED:  # a folder has the name in the built site
        fault = "is a name that sitegen uses itself"
    if fault and path.stem != "index":
        message = f"the page's name {quoted(path.stem)} {fault}"
        return None, [Diagnostic(calls.file, None, message)]
    uri = page_uri(path)
    try:
        source = read_text(path)
        public = site.model_dump(exclude={"cache_dir", "models", "output"})  # texts, but no paths
        names: dict[str, object] = {"site": public, **calls.functions(available)}
        text = run_template(source, names)
    except ConfigError as error:
        return None, error.problems or [error]
    except TemplateFault as error:
        return None, [*calls.faults, Diagnostic(calls.file, error.line, error.reason)]
    document = parse(text, SLOT, uri, files, calls.texts)
    located = (*document.faults, *document.anchors, *document.warnings)
    lines = _source_lines(text, source) if located else ()  # slow for a long page
    at_lines = {note: Diagnostic(calls.file, lines[note.line - 1], note.text) for note in located}
    body = calls.body(document.parts, document.texts)
    embeds = (part for part in all_parts(body) if isinstance(part, Embed))
    page = Page(
        uri,
        document.title or site.title,
        tuple(part for part in all_parts(body) if isinstance(part, Figure)),
        body,
        path,
        _sorted([*files.used.values(), *(file for embed in embeds for file in embed.files)]),
        document.headings,
        tuple(Noted(lines[anchor.line - 1], anchor.text) for anchor in document.anchors),
        tuple(at_lines[note] for note in document.warnings),
        frozenset(calls.missing_models),
    )
    misplaced = calls.misplaced(text, document.parts)
    return page, [*calls.faults, *misplaced, *(at_lines[note] for note in document.faults)]


def _source_lines(text: str, source: str) -> Sequence[int]:
    """Return, for each line of the rendered template, its line in the page, from 1."""
    # Jinja does not report which line of its output comes from which of its input, and a template
    # may drop and repeat lines. Equal lines in equal order are taken for each other.
    lines, nearest = list[int](), 1
    matcher = difflib.SequenceMatcher(None, text.split("\n"), source.split("\n"))
    for block in matcher.get_matching_blocks():
        lines += [nearest] * (block.a - len(lines))
        lines += range(block.b + 1, block.b + block.size + 1)
        nearest = block.b + block.size + 1
    return lines


def _faults_of_config(
    site: Site, files: PageFiles, ids: Mapping[str, Collection[str]]
) -> Iterator[Diagnostic]:
    """Yield errors of links and logos in `site.toml`; `files.used` gains the linked files."""
    urls = {("authors", index, "url"): author.url for index, author in enumerate(site.authors)}
    urls |= {("affiliations", n, "url"): entry.url for n, entry in enumerate(site.affiliations)}
    urls |= {("links", index, "url"): link.url for index, link in enumerate(site.links)}
    for key, url in urls.items():
        if url is None or is_whole(url):
            continue
        try:
            fault = anchor_fault(INDEX, url, ids)
            if not url.startswith("#"):
                files.link(url)
        except ValueError as error:
            fault = str(error)
        if fault:
            yield site.problem(key, f" = {quoted(url)}: {fault}")
    for index, affiliation in enumerate(site.affiliations):
        try:
            if affiliation.logo:
                files.picture(affiliation.logo)
        except ValueError as error:
            yield site.problem(
                ("affiliations", index, "logo"), f" = {quoted(affiliation.logo)}: {error}"
            )


def _sorted(files: Iterable[OwnFile]) -> tuple[OwnFile, ...]:
    return tuple(sorted(set(files), key=lambda file: file.uri))
