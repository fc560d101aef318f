"""A look at the built folder as GitHub Pages will serve it; nothing is fetched or changed.

What would not work there is an error; what works and had better be otherwise is a warning.
"""

from __future__ import annotations

import gzip
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
    webmanifest_uris,
)
from sitegen.deploy.html_scan import HtmlScan, Reference, Role, scan

PAGE_BUDGET_KB = 300
"""Kilobytes that a page may fetch before somebody plays or opens something, unless told: about a
second and a half of a slow phone's line."""

NOT_FOUND = "404.html"
"""What GitHub Pages answers with where there is no page, whatever the address."""


_MARKED_UP = {".html", ".htm", ".svg"}
_TEXTS = _MARKED_UP | {".css", ".js", ".json", ".xml", ".txt", ".webmanifest"}
_NEEDED = {
    INDEX: "it is the front page",
    ".nojekyll": "without it GitHub leaves out files whose names begin with _",
}


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
    documents: dict[str, HtmlScan] = field(default_factory=dict)
    drawings: dict[str, HtmlScan] = field(default_factory=dict)

    def run(self) -> Findings:
        """Look at every file."""
        folder = self.folder
        for name in folder.files:
            if (suffix := _suffix(name)) in _MARKED_UP:
                kept = self.drawings if suffix == ".svg" else self.documents
                kept[name] = scan(folder.read(name).decode("utf-8", "replace"))
        for name, what in folder.others.items():
            self._error(name, None, f"is {what}, which GitHub Pages refuses; copy the file instead")
        self._add(size_problems(folder))
        self._add(content_problems(folder))
        for needed, why in _NEEDED.items():
            if needed not in folder.files:
                self._error(needed, None, f"is missing; {why}; run `sitegen build`")
        for name in folder.files:
            self._texts(name)
        for name, document in self.documents.items():
            self._page(name, document)
        for name, drawing in self.drawings.items():
            for reference in drawing.references:
                self._follow(name, reference)
        return self._findings()

    def _findings(self) -> Findings:
        total = sum(self.folder.files.values())
        return Findings(
            tuple(sorted(self.errors, key=_order)),
            tuple(sorted(self.warnings, key=_order)),
            dict(sorted(self.external.items())),
            len(self.documents),
            len(self.folder.files),
            total,
        )

    def _error(self, name: str, line: int | None, text: str) -> None:
        self.errors.append(Diagnostic(shown(self.folder.root / name), line, text))

    def _warn(self, name: str, line: int | None, text: str) -> None:
        self.warnings.append(Diagnostic(shown(self.folder.root / name), line, text))

    def _add(self, found: Iterator[tuple[bool, str, str]]) -> None:
        for serious, name, text in found:
            (self._error if serious else self._warn)(name, None, text)

    def _texts(self, name: str) -> None:
        """Look for what a text file refers to, and for paths of this machine."""
        suffix = _suffix(name)
        if suffix not in _TEXTS:
            return
        text = self.folder.read(name).decode("utf-8", "replace")
        for line, path in local_paths(text, self.place.private, generic=suffix == ".json"):
            target = Address(self.place.base_url).target(name, path)
            if target.path is None or self.folder.served(target.path) is None:
                self._error(name, line, f"names {path}, a path of this machine; remove it")
        readers: dict[str, Callable[[str], Iterator[tuple[int, str]]]] = {
            ".css": css_uris,
            ".webmanifest": webmanifest_uris,
            ".xml": sitemap_uris,
        }
        role: Role = "address" if suffix == ".xml" else "load"
        for line, uri in readers[suffix](text) if suffix in readers else ():
            self._follow(name, Reference(uri, line, role, 0))

    def _page(self, name: str, document: HtmlScan) -> None:
        for reference in document.references:
            self._follow(name, reference)
        for nameless in document.nameless:
            self._error(name, nameless.line, nameless.text)
        for double in (each for each, count in document.ids.items() if count > 1):
            self._warn(name, None, f"has the id {quoted(double)} more than once; links find one")
        if document.base:
            text = f"has the base {quoted(document.base.uri)}, and its links lead elsewhere than "
            self._error(name, document.base.line, f"{text}they say; remove it")
        if not document.language:
            self._error(name, None, 'does not tell its language; write <html lang="en">')
        if not document.title:
            self._error(name, None, "has no title; write one into its <title>")
        self._weigh(name, document)

    def _weigh(self, name: str, document: HtmlScan) -> None:
        address = Address(self.place.base_url)
        weight = page_weight(self.folder, address, name, document)
        if weight > self.place.budget_kb * 1000:
            text = (
                f"fetches {weight / 1000:.0f} kB before anything is played, more than its budget "
                f"of {self.place.budget_kb} kB; use fewer or smaller pictures, or set page_budget"
            )
            self._warn(name, None, text)

    def _follow(self, name: str, reference: Reference) -> None:
        """See where a reference leads."""
        if reference.uri.startswith("data:"):
            return
        address = Address(self.place.base_url)
        target = address.target(name, reference.uri)
        fault = target.fault or self._fault(name, reference, target)
        if fault is not None:
            self._error(
                name, reference.line, f"{_TOLD[reference.role]} {quoted(reference.uri)} {fault}"
            )
        elif address.is_unsafe(reference.uri):
            text = (
                f"{_TOLD[reference.role]} {quoted(reference.uri)} is not encrypted, and browsers "
            )
            self._warn(name, reference.line, f"{text}warn of it or refuse it; write https://")
        elif target.path is None:
            self._outside(name, reference)

    def _fault(self, name: str, reference: Reference, target: Target) -> str | None:
        """Why the site has not what is meant, or None."""
        if target.path is None:
            return None
        found = self.folder.served(target.path)
        if found is None:
            return missing(self.folder, target.path)
        if name == NOT_FOUND and not _is_rooted(reference.uri):
            return f"is relative, and {NOT_FOUND} answers at every address; write it whole"
        return self._anchor_fault(found, target.fragment)

    def _anchor_fault(self, found: str, fragment: str) -> str | None:
        document = self.documents.get(found) or self.drawings.get(found)
        fragment = fragment.partition(":~:")[0]
        known = fragment in {"", "top"} or fragment.startswith("svgView(")
        if document is None or known or fragment in document.ids:
            return None
        return f"leads to no anchor of {found}; give an element there this id, or mend the link"

    def _outside(self, name: str, reference: Reference) -> None:
        where = f"{shown(self.folder.root / name)}:{reference.line}"
        self.external.setdefault(reference.uri, where)
        if reference.role in {"load", "play", "later"}:
            text = f"{_TOLD[reference.role]} {quoted(reference.uri)} comes from another server, "
            text += "which may be slow, watch visitors or vanish; copy the file into the site"
            self._warn(name, reference.line, text)


_TOLD = {
    "link": "the link",
    "load": "the file",
    "play": "the clip",
    "later": "the file",
    "address": "the address",
    "label": "the name of an element, by id",
}


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _is_rooted(uri: str) -> bool:
    return uri.startswith(("/", "#")) or "://" in uri


def _order(problem: Diagnostic) -> tuple[str, int, str]:
    return problem.file, problem.line or 0, problem.text


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


LARGE_FILE = 50 * 2**20
"""Bytes above which GitHub warns about a file."""

LARGEST_FILE = 100 * 2**20
"""Bytes above which GitHub refuses a file."""

LARGEST_SITE = 10**9
"""Bytes above which GitHub Pages refuses a site."""

_COMPRESSED = {".html", ".css", ".js", ".json", ".svg", ".xml", ".txt"}  # on the way to a browser
_SMALLER = "encode it smaller, show fewer samples, or lay it elsewhere and link it"


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


def page_weight(folder: ServedFolder, address: Address, page: str, document: HtmlScan) -> int:
    """Bytes that a browser fetches to show the page: text compressed, clips only if they start.

    Of pictures in several sizes the heaviest counts, and what is fetched twice counts once.
    """
    groups: dict[int, int] = {}
    seen = {page}
    for reference in document.references:
        name = _file(folder, address, page, reference.uri) if reference.role == "load" else None
        if name is not None and name not in seen:
            seen.add(name)
            weight = _weight(folder, address, name)
            groups[reference.group] = max(groups.get(reference.group, 0), weight)
    return _transferred(folder, page) + sum(groups.values())


def _weight(folder: ServedFolder, address: Address, name: str) -> int:
    """What a file costs; a stylesheet brings what it names."""
    weight = _transferred(folder, name)
    if name.endswith(".css"):
        uris = {uri for _, uri in css_uris(folder.read(name).decode("utf-8", "replace"))}
        names = {_file(folder, address, name, uri) for uri in uris} - {None, name}
        weight += sum(_transferred(folder, each) for each in names if each is not None)
    return weight


def _file(folder: ServedFolder, address: Address, page: str, uri: str) -> str | None:
    path = address.target(page, uri).path
    return None if path is None else folder.served(path)


def _transferred(folder: ServedFolder, name: str) -> int:
    if posixpath.splitext(name)[1].lower() in _COMPRESSED:
        return len(gzip.compress(folder.read(name), 6))
    return folder.files[name]


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
