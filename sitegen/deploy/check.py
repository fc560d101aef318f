"""A look at the built folder as GitHub Pages will serve it; nothing is fetched or changed.

What would not work there is an error; what works and had better be otherwise is a warning.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sitegen.build.served_folder import Address, ServedFolder, Target, missing, read_folder
from sitegen.config.schema import Site
from sitegen.core.diagnostics import Diagnostic, quoted
from sitegen.core.errors import TargetError
from sitegen.core.source import shown
from sitegen.core.urls import INDEX
from sitegen.deploy.file_checks import (
    content_problems,
    css_uris,
    local_paths,
    sitemap_uris,
    suffix,
    webmanifest_uris,
)
from sitegen.deploy.html_scan import HtmlScan, Reference, Role, scan

PAGE_BUDGET_KB = 300
"""Kilobytes that a page may fetch before somebody plays or opens something, unless told: about a
second and a half of a slow phone's line."""

NOT_FOUND = "404.html"
"""What GitHub Pages answers with where there is no page, whatever the address."""

LARGE_FILE, LARGEST_FILE = 50 * 2**20, 100 * 2**20
"""Bytes above which GitHub warns about a file, and above which it refuses one."""

LARGEST_SITE = 10**9
"""Bytes above which GitHub Pages refuses a site."""

_MARKED_UP = {".html", ".htm", ".svg"}
_TEXTS = _MARKED_UP | {".css", ".js", ".json", ".xml", ".txt", ".webmanifest"}
_COMPRESSED = {".html", ".css", ".js", ".json", ".svg", ".xml", ".txt"}  # on the way to a browser
_NEEDED = {
    INDEX: "it is the front page",
    ".nojekyll": "without it GitHub leaves out files whose names begin with _",
}
_READERS: dict[str, Callable[[str], Iterator[tuple[int, str]]]] = {
    ".css": css_uris,
    ".webmanifest": webmanifest_uris,
    ".xml": sitemap_uris,
}
_TOLD: dict[Role, str] = {
    "link": "the link",
    "load": "the file",
    "play": "the clip",
    "later": "the file",
    "address": "the address",
    "label": "the name of an element, by id",
}
_SMALLER = "encode it smaller, show fewer samples, or lay it elsewhere and link it"


@dataclass(frozen=True)
class PublishTarget:
    """Where the site is published, and what must not stand in it.

    base_url: the address, as in site.toml
    budget_kb: what a page may weigh before somebody plays or opens something
    private: folders of this machine that no page should name
    """

    base_url: str | None = None
    budget_kb: int = PAGE_BUDGET_KB
    private: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Findings:
    """What a look at the folder found; `external` maps addresses to where they first stand."""

    errors: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]
    external: dict[str, str]
    pages: int
    files: int
    bytes: int

    def notes(self) -> list[str]:
        """What is no fault, a line each: links to elsewhere, and a summary."""
        lines = [f"  {uri}  ({where})" for uri, where in self.external.items()]
        if lines:
            lines.insert(0, f"links to elsewhere, not followed: {len(lines)}")
        return [*lines, self.summary()]

    def problems(self) -> list[str]:
        """What is wrong, a line each."""
        errors = [f"error: {problem}" for problem in self.errors]
        return [*errors, *(f"warning: {problem}" for problem in self.warnings)]

    def summary(self) -> str:
        """One line of numbers."""
        return (
            f"checked {_many(self.pages, 'page')} and {_many(self.files, 'file')} of "
            f"{self.bytes / 1e6:.1f} MB: {self.counts()}"
        )

    def counts(self) -> str:
        """How much is wrong."""
        return f"{_many(len(self.errors), 'error')}, {_many(len(self.warnings), 'warning')}"

    def require_good(self, *, strict: bool) -> None:
        """Raise TargetError if there are errors, or with `strict` warnings."""
        if self.errors or (strict and self.warnings):
            raise TargetError(f"the site is not fit to be published: {self.counts()}, see above")


def check_site(site: Site | None, root: Path) -> Findings:
    """Look the built folder of a site over; without a site, its address is not known.

    Raises as `check_folder` does.
    """
    home = [Path.home()] if len(Path.home().parts) > 1 else []
    if site is None:
        return check_folder(root, PublishTarget(private=tuple(home)))
    base_url = site.base_url or (f"https://{site.domain}/" if site.domain else None)
    return check_folder(root, PublishTarget(base_url, site.page_budget, (site.root, *home)))


def check_folder(root: Path, place: PublishTarget | None = None) -> Findings:
    """Look the folder over. Raises PlatformError for what cannot be read, TargetError for none."""
    if not root.is_dir():
        raise TargetError(f"{shown(root)}: there is no such folder; run `sitegen build` first")
    return _Check(read_folder(root), place or PublishTarget()).run()


@dataclass
class _Check:
    """One look at a folder; it collects what is found."""

    folder: ServedFolder
    place: PublishTarget
    errors: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)

    @cached_property
    def scans(self) -> dict[str, HtmlScan]:
        """Pages and drawings, read."""
        names = [name for name in self.folder.files if suffix(name) in _MARKED_UP]
        return {name: scan(self._text(name)) for name in names}

    @cached_property
    def address(self) -> Address:
        """Where the site is published."""
        return Address(self.place.base_url)

    def run(self) -> Findings:
        """Look at every file."""
        files = self.folder.files
        for name, what in self.folder.others.items():
            self._error(name, None, f"is {what}, which GitHub Pages refuses; copy the file instead")
        for serious, name, text in (*size_problems(self.folder), *content_problems(self.folder)):
            (self._error if serious else self._warn)(name, None, text)
        for needed, why in _NEEDED.items():
            if needed not in files:
                self._error(needed, None, f"is missing; {why}; run `sitegen build`")
        for name in files:
            self._texts(name)
        pages = [name for name in self.scans if suffix(name) != ".svg"]
        for name, found in self.scans.items():
            for reference in found.references:
                self._follow(name, reference)
            if name in pages:
                self._page(name, found)
        return Findings(
            tuple(sorted(self.errors, key=_order)),
            tuple(sorted(self.warnings, key=_order)),
            dict(sorted(self.external.items())),
            len(pages),
            len(files),
            sum(files.values()),
        )

    def _error(self, name: str, line: int | None, text: str) -> None:
        self.errors.append(Diagnostic(shown(self.folder.root / name), line, text))

    def _warn(self, name: str, line: int | None, text: str) -> None:
        self.warnings.append(Diagnostic(shown(self.folder.root / name), line, text))

    def _text(self, name: str) -> str:
        return self.folder.read(name).decode("utf-8", "replace")

    def _texts(self, name: str) -> None:
        """Look for what a text file refers to, and for paths of this machine."""
        kind = suffix(name)
        if kind not in _TEXTS:
            return
        text = self._text(name)
        for line, path in local_paths(text, self.place.private, generic=kind == ".json"):
            if self._file(name, path) is None:
                self._error(name, line, f"names {path}, a path of this machine; remove it")
        for line, uri in _READERS[kind](text) if kind in _READERS else ():
            self._follow(name, Reference(uri, line, "address" if kind == ".xml" else "load", 0))

    def _page(self, name: str, page: HtmlScan) -> None:
        """See that a page has what those need who cannot see it, and what it weighs."""
        for line, text in page.nameless:
            self._error(name, line, text)
        for double in (each for each, count in page.ids.items() if count > 1):
            self._warn(name, None, f"has the id {quoted(double)} more than once; links find one")
        if page.base:
            text = f"has the base {quoted(page.base.uri)}, and its links lead elsewhere than "
            self._error(name, page.base.line, f"{text}they say; remove it")
        if not page.language:
            self._error(name, None, 'does not tell its language; write <html lang="en">')
        if not page.title:
            self._error(name, None, "has no title; write one into its <title>")
        weight = self._page_weight(name, page)
        if weight > self.place.budget_kb * 1000:
            text = (
                f"fetches {weight / 1000:.0f} kB before anything is played, more than its budget "
                f"of {self.place.budget_kb} kB; use fewer or smaller pictures, or set page_budget"
            )
            self._warn(name, None, text)

    def _follow(self, name: str, reference: Reference) -> None:
        """See where a reference leads."""
        uri, line = reference.uri, reference.line
        if uri.startswith("data:"):
            return
        target = self.address.target(name, uri)
        fault = target.fault or self._fault(name, reference, target)
        what = f"{_TOLD[reference.role]} {quoted(uri)}"
        if fault is not None:
            self._error(name, line, f"{what} {fault}")
        elif self.address.is_unsafe(uri):
            text = f"{what} is not encrypted, and browsers warn of it or refuse it; write https://"
            self._warn(name, line, text)
        elif target.path is None:
            self.external.setdefault(uri, f"{shown(self.folder.root / name)}:{line}")
            if reference.role in {"load", "play", "later"}:
                text = f"{what} comes from another server, which may be slow, watch visitors or "
                self._warn(name, line, f"{text}vanish; copy the file into the site")

    def _fault(self, name: str, reference: Reference, target: Target) -> str | None:
        """Why the site has not what is meant, or None."""
        if target.path is None:
            return None
        found = self.folder.served(target.path)
        if found is None:
            return missing(self.folder, target.path)
        rooted = reference.uri.startswith(("/", "#")) or "://" in reference.uri
        if name == NOT_FOUND and not rooted:
            return f"is relative, and {NOT_FOUND} answers at every address; write it whole"
        fragment = target.fragment.partition(":~:")[0]
        known = fragment in {"", "top"} or fragment.startswith("svgView(")
        if found not in self.scans or known or fragment in self.scans[found].ids:
            return None
        return f"leads to no anchor of {found}; give an element there this id, or mend the link"

    def _page_weight(self, page: str, found: HtmlScan) -> int:
        """Bytes that a browser fetches to show it: text compressed, clips only if they start.

        Of pictures in several sizes the heaviest counts, and what is fetched twice counts once.
        """
        groups: dict[int, int] = {}
        seen = {page}
        for reference in found.references:
            name = self._file(page, reference.uri) if reference.role == "load" else None
            if name is not None and name not in seen:
                seen.add(name)
                weight = self._weight(name)
                groups[reference.group] = max(groups.get(reference.group, 0), weight)
        return self._transferred(page) + sum(groups.values())

    def _weight(self, name: str) -> int:
        """What a file costs; a stylesheet brings what it names."""
        uris = {uri for _, uri in css_uris(self._text(name))} if name.endswith(".css") else set()
        brought = {self._file(name, uri) for uri in uris} - {None}
        return sum(self._transferred(each) for each in {name, *brought} if each is not None)

    def _file(self, page: str, uri: str) -> str | None:
        """The file of the site that answers for an address in a page."""
        path = self.address.target(page, uri).path
        return None if path is None else self.folder.served(path)

    def _transferred(self, name: str) -> int:
        if suffix(name) in _COMPRESSED:
            return len(gzip.compress(self.folder.read(name), 6))
        return self.folder.files[name]


def size_problems(folder: ServedFolder) -> Iterator[tuple[bool, str, str]]:
    """Find files and sites beyond GitHub's limits: whether it is an error, the file, the text."""
    for name, size in folder.files.items():
        if size > LARGEST_FILE:
            yield True, name, f"has {_mb(size)}, and GitHub refuses files above 100 MB; {_SMALLER}"
        elif size > LARGE_FILE:
            yield False, name, f"has {_mb(size)}, and GitHub warns above 50 MB; {_SMALLER}"
    total = sum(folder.files.values())
    if total > LARGEST_SITE:
        text = f"the site has {_mb(total)}, and GitHub Pages refuses sites above 1 GB; "
        yield True, "", text + "leave some clips out, or make them smaller"


def _order(problem: Diagnostic) -> tuple[str, int, str]:
    return problem.file, problem.line or 0, problem.text


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
