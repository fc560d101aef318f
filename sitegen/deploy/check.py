"""Checks of the built folder as GitHub Pages will serve it; nothing is downloaded or changed.

A fault that breaks the site is an error; one that works but should be fixed is a warning.
"""

import contextlib
import json
import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from html import unescape
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from sitegen.builder.install import ServedFolder, read_folder
from sitegen.config.scaffold import placeholders
from sitegen.config.schema import Site
from sitegen.core.diagnostics import Diagnostic, quoted
from sitegen.core.errors import RefusedError, TargetError
from sitegen.core.files import digest_bytes, is_lfs_pointer, platform_errors
from sitegen.core.source import shown
from sitegen.core.urls import INDEX, MANIFEST, NOT_FOUND
from sitegen.deploy.html_scan import HtmlScan, Reference, Role, css_uris, scan, with_lines
from sitegen.media.manifest import Manifest
from sitegen.media.mp4 import clip_faults

_GENERATED = 'name="generator" content="sitegen"'
_NOWHERE = "https://site.invalid"  # placeholder for the host, which does not matter
_THIS_MACHINE = re.compile(r"(.+\.)?localhost|127(\.\d+){1,3}|0\.0\.0\.0|::1", re.I)
_UNKNOWN = "/-/"  # placeholder for the sub-path if base_url is missing
_MP4 = {".mp4", ".m4v", ".mov"}
_OTHER_CLIPS = {".avi", ".mkv", ".wmv", ".flv", ".mpg", ".mpeg", ".ogv"}
_SHOWN = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".svg", ".ico", ".webm", ".html"}
_ODD_NAME = re.compile(r'[\x00-\x1f\x7f"*:<>?\\|]')
_HOMES = r"(?:/(?:home|Users|root|tmp|private|mnt|scratch)/|[A-Za-z]:\\)"
_STOP = r"[^\s\"'<>&)]*"

Found = tuple[bool, str, str]
"""A fault: whether it is an error, the file, and the message."""


def suffix(name: str) -> str:
    """Return the extension of a file name, in lower case."""
    return posixpath.splitext(name)[1].lower()


def content_problems(folder: ServedFolder) -> Iterator[Found]:
    """Yield faults of the files themselves. Raises PlatformError if one cannot be read."""
    for name in folder.files:
        if _ODD_NAME.search(name):
            yield True, name, "has a character in its name that GitHub Pages refuses; rename it"
        yield from _file_problems(folder, name)
        if posixpath.basename(name) == MANIFEST:
            yield from _manifest_problems(folder, name)


def _file_problems(folder: ServedFolder, name: str) -> Iterator[Found]:
    kind, path = suffix(name), folder.root / name
    with platform_errors(path, "read"):
        pointer = is_lfs_pointer(path)
    if pointer:
        text = "is a Git LFS pointer instead of the file, and GitHub Pages would serve the pointer"
        yield True, name, f"{text}; run `git lfs pull` and build again"
    elif kind in _SHOWN and not folder.files[name]:
        yield True, name, "is empty; replace it, or build again"
    elif kind in _MP4:
        with platform_errors(path, "read"):
            yield from ((True, name, fault) for fault in clip_faults(path))
    elif kind in _OTHER_CLIPS:
        yield True, name, "is a clip that browsers do not play; encode it as H.264 in .mp4"
    elif kind == ".webm":
        yield False, name, "is a clip that older iPhones do not play; encode it as H.264 in .mp4"


def _manifest_problems(folder: ServedFolder, name: str) -> Iterator[Found]:
    try:
        manifest = Manifest.from_json(folder.read(name).decode("utf-8", "replace"))
    except RefusedError as error:
        yield True, name, str(error).removeprefix(f"{MANIFEST} ")
        return
    files = {file.path: file for media in manifest.figures for file in media.record.files.values()}
    for inside, file in files.items():
        path = posixpath.join(posixpath.dirname(name), inside)
        if path not in folder.files:
            yield True, name, f"{quoted(path)} {missing(folder, path)}"
        elif digest_bytes(folder.read(path)) != file.sha256:
            yield True, path, f"is not the file that {name} lists; build again"


def local_paths(text: str, private: Sequence[Path], *, generic: bool) -> Iterator[tuple[int, str]]:
    """Yield paths of this machine in a text, each with its line.

    private: folders that no published text may name
    generic: whether any path that looks like a home folder counts; prose may mention such paths
    """
    names = [re.escape(str(path).rstrip("/")) + r"(?![\w.-])" for path in private]
    roots = "|".join([*([_HOMES] if generic else []), *names])
    pattern = r"\bfile:///?" + (rf"|(?<![\w.~/\\-])(?:{roots})" if roots else "")
    for line, found in with_lines(re.finditer(f"(?:{pattern}){_STOP}", text)):
        yield line, found[0][:100]


def _uris(pattern: str, plain: Callable[[str], str], text: str) -> Iterator[tuple[int, str]]:
    """Yield the references in a text (the pattern's group 1), each with its line."""
    for line, found in with_lines(re.finditer(pattern, text, re.S), 1):
        with contextlib.suppress(ValueError):  # invalid escape
            yield line, plain(found[1])


@dataclass(frozen=True)
class Target:
    """The target of an address: a path of the site, an external address, or a fault.

    path: from the site's root, "" for the root itself; None for an external address
    fault: reason why the address is invalid
    """

    path: str | None
    fragment: str = ""
    fault: str | None = None


def _nowhere(parts: SplitResult) -> str | None:
    if parts.scheme == "file":
        return "names a file of this machine; copy the file into the site"
    if parts.scheme == "javascript":
        return "is a script, which the pages do not run; link to a page"
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme in {"http", "https", ""} and _THIS_MACHINE.fullmatch(host):
        return "leads to the reader's own machine; use a public address or a path"
    return None


def missing(folder: ServedFolder, path: str) -> str:
    """Return the fault of a path that the site does not have, with a suggestion."""
    meant = {_alike(path), _alike(posixpath.join(path, INDEX))}
    for like in (name for name in folder.files if _alike(name) in meant):
        return f"is spelled {quoted(like)} in the folder; upper and lower case count on a server"
    return "is not in the folder; correct the address, or build again"


def _alike(name: str) -> str:
    """Return a form that is equal for names that differ in case or Unicode composition."""
    return unicodedata.normalize("NFC", name).casefold()


STANDALONE = re.compile(r"media/embed/")
"""Pages of standalone figures."""

LARGE_FILE, LARGEST_FILE = 50 * 2**20, 100 * 2**20
"""Bytes above which GitHub warns about a file, and above which it refuses one."""

LARGEST_SITE = 10**9
"""Bytes above which GitHub Pages refuses a site."""

_MARKED_UP = {".html", ".htm", ".svg"}
_TEXTS = _MARKED_UP | {".css", ".js", ".json", ".xml", ".txt", ".webmanifest"}
_NEEDED = {
    INDEX: "it is the front page",
    ".nojekyll": "without it GitHub omits files with names that start with _",
}
_READERS: dict[str, Callable[[str], Iterator[tuple[int, str]]]] = {
    ".css": css_uris,
    ".webmanifest": partial(_uris, r'"(?:src|start_url)"\s*:\s*("(?:[^"\\\n]|\\.)*")', json.loads),
    ".xml": partial(_uris, r"<loc>([^<]*)</loc>", lambda text: unescape(text.strip())),
}
_TOLD: dict[Role, str] = {
    "link": "the link",
    "load": "the file",
    "address": "the address",
    "label": "the name of an element, by id",
}
_SMALLER = "reduce its size, show fewer samples, or host it elsewhere and link to it"


@dataclass(frozen=True)
class PublishTarget:
    """The address where the site is published.

    base_url: the address in site.toml; None if it is not set
    private: folders of this machine that no page may name
    """

    base_url: str | None = None
    private: tuple[Path, ...] = ()

    @property
    def path(self) -> str | None:
        """The sub-path, with a slash at both ends."""
        if self.base_url is None:
            return None
        return f"/{urlsplit(self.base_url).path.strip('/')}/".replace("//", "/")

    def target(self, page: str, uri: str) -> Target:
        """Return the target of `uri` on the page at `page` in the folder."""
        base = self.path or _UNKNOWN
        try:
            parts = urlsplit(uri.strip())
            if parts.scheme or parts.netloc:
                own = parts.netloc.lower() == urlsplit(self.base_url or "").netloc.lower() != ""
                if not own or parts.scheme not in {"http", "https", ""}:
                    return Target(None, fault=_nowhere(parts))
                path = parts.path or "/"
            else:
                path = urlsplit(urljoin(f"{_NOWHERE}{base}{quote(page)}", uri.strip())).path
        except ValueError as error:
            return Target(None, fault=f"is not an address: {error}")
        if f"{path}/" == base:
            path = base
        if not path.startswith(base):
            neighbour = bool(parts.netloc)  # another site of the same host, with its full address
            return Target(None, fault=None if neighbour else self._outside())
        return Target(unquote(path[len(base) :]), unquote(parts.fragment))

    def is_unsafe(self, uri: str) -> bool:
        """Return whether the address requests a page of our host over http instead of https."""
        own, asked = urlsplit(self.base_url or ""), urlsplit(uri.strip())
        same = own.netloc.lower() == asked.netloc.lower()
        return same and (own.scheme, asked.scheme) == ("https", "http")

    def _outside(self) -> str:
        if self.path is not None:
            return f"leads out of {self.path}, where the site is published; make it relative"
        rooted = "works only where the site is at the root of its host"
        return f"{rooted}; make it relative to the page, or set base_url in site.toml"


@dataclass(frozen=True)
class Findings:
    """The result of a check; `external` maps addresses to their first occurrence."""

    errors: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]
    external: dict[str, str]
    pages: int
    files: int
    bytes: int

    def notes(self) -> list[str]:
        """Lines that are not faults: external links, and a summary."""
        lines = [f"  {uri}  ({where})" for uri, where in self.external.items()]
        if lines:
            lines.insert(0, f"external links, not followed: {len(lines)}")
        return [*lines, self.summary()]

    def problems(self) -> list[str]:
        """Errors and warnings, a line each."""
        errors = [f"error: {problem}" for problem in self.errors]
        return [*errors, *(f"warning: {problem}" for problem in self.warnings)]

    def summary(self) -> str:
        """A line with the numbers of pages, files and bytes."""
        seen = f"{_many(self.pages, 'page')} and {_many(self.files, 'file')}"
        return f"checked {seen} of {self.bytes / 1e6:.1f} MB: {self.counts()}"

    def counts(self) -> str:
        """The numbers of errors and warnings."""
        return f"{_many(len(self.errors), 'error')}, {_many(len(self.warnings), 'warning')}"

    def require_good(self, *, strict: bool) -> None:
        """Raise TargetError if there are errors or, with `strict`, warnings."""
        if self.errors or (strict and self.warnings):
            raise TargetError(f"the site cannot be published: {self.counts()}, see above")


def check_site(site: Site | None, root: Path) -> Findings:
    """Check the built folder of a site; without a site its address is unknown.

    Raises as `check_folder` does.
    """
    home = [Path.home()] if len(Path.home().parts) > 1 else []
    if site is None:
        return check_folder(root, PublishTarget(private=tuple(home)))
    base_url = site.base_url or (f"https://{site.domain}/" if site.domain else None)
    found = check_folder(root, PublishTarget(base_url, (site.root, *home)))
    more = [*placeholders(site), *_elsewhere(root, base_url)]
    return replace(found, warnings=(*more, *found.warnings))


def _elsewhere(root: Path, base_url: str | None) -> Iterator[Diagnostic]:
    """Warn if the folder was built for a different address than `site.toml` has now."""
    index = root / INDEX
    if base_url is None or not index.is_file():
        return
    text = index.read_text("utf-8", "replace")
    canonical = re.search(r'rel="canonical" href="([^"]*)"', text)
    built_for = unescape(canonical[1]) if canonical else None
    if built_for != f"{base_url.rstrip('/')}/" and _GENERATED in text:
        was = f"for {built_for}" if built_for else "without an address"
        told = f"was built {was}, and site.toml says {base_url}; run `sitegen build` again"
        yield Diagnostic(shown(index), None, told)


def check_folder(root: Path, place: PublishTarget | None = None) -> Findings:
    """Check a folder. Raises PlatformError if it is unreadable, TargetError if it is missing."""
    if not root.is_dir():
        raise TargetError(f"{shown(root)}: does not exist; run `sitegen build` first")
    return _Check(read_folder(root), place or PublishTarget()).run()


@dataclass
class _Check:
    """A single check of a folder; it collects faults."""

    folder: ServedFolder
    place: PublishTarget
    errors: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)

    @cached_property
    def scans(self) -> dict[str, HtmlScan]:
        """Parsed pages and drawings."""
        names = [name for name in self.folder.files if suffix(name) in _MARKED_UP]
        return {name: scan(self._text(name)) for name in names}

    def run(self) -> Findings:
        """Check every file."""
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
            sum(not STANDALONE.match(name) for name in pages),
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
        """Check a text file's references, and search it for paths of this machine."""
        kind = suffix(name)
        if kind not in _TEXTS:
            return
        text = self._text(name)
        for line, path in local_paths(text, self.place.private, generic=kind == ".json"):
            if self._file(name, path) is None:
                self._error(name, line, f"names {path}, a path of this machine; remove it")
        for line, uri in _READERS[kind](text) if kind in _READERS else ():
            self._follow(name, Reference(uri, line, "address" if kind == ".xml" else "load"))

    def _page(self, name: str, page: HtmlScan) -> None:
        for double in (each for each, count in page.ids.items() if count > 1):
            self._warn(
                name, None, f"has the id {quoted(double)} more than once; links reach only one"
            )
        if page.base:
            text = f"has the base {quoted(page.base.uri)}, so its links do not lead where "
            self._error(name, page.base.line, f"{text}they should; remove it")

    def _follow(self, name: str, reference: Reference) -> None:
        uri, line = reference.uri, reference.line
        if uri.startswith("data:"):
            return
        target = self.place.target(name, uri)
        fault = target.fault or self._fault(name, reference, target)
        what = f"{_TOLD[reference.role]} {quoted(uri)}"
        if fault is not None:
            self._error(name, line, f"{what} {fault}")
        elif self.place.is_unsafe(uri):
            text = f"{what} is not encrypted, and browsers warn about it or block it; use https://"
            self._warn(name, line, text)
        elif target.path is None:
            self.external.setdefault(uri, f"{shown(self.folder.root / name)}:{line}")
            if reference.role == "load":
                text = f"{what} comes from another server, which may be slow, track visitors or "
                self._warn(name, line, f"{text}disappear; copy the file into the site")

    def _fault(self, name: str, reference: Reference, target: Target) -> str | None:
        if target.path is None:
            return None
        found = self.folder.served(target.path)
        if found is None:
            return missing(self.folder, target.path)
        rooted = reference.uri.startswith(("/", "#")) or "://" in reference.uri
        if name == NOT_FOUND and not rooted:
            return f"is relative, and {NOT_FOUND} is served at every address; make it absolute"
        fragment = target.fragment.partition(":~:")[0]
        known = fragment in {"", "top"} or fragment.startswith("svgView(")
        if found not in self.scans or known or fragment in self.scans[found].ids:
            return None
        return f"names an id that {found} does not have; add the id there, or correct the link"

    def _file(self, page: str, uri: str) -> str | None:
        path = self.place.target(page, uri).path
        return None if path is None else self.folder.served(path)


def size_problems(folder: ServedFolder) -> Iterator[tuple[bool, str, str]]:
    """Yield files and sites above GitHub's limits: whether it is an error, the file, the
    message.
    """
    for name, size in folder.files.items():
        if size > LARGEST_FILE:
            yield True, name, f"has {_mb(size)}, and GitHub refuses files above 100 MB; {_SMALLER}"
        elif size > LARGE_FILE:
            yield False, name, f"has {_mb(size)}, and GitHub warns above 50 MB; {_SMALLER}"
    total = sum(folder.files.values())
    if total > LARGEST_SITE:
        text = f"the site has {_mb(total)}, and GitHub Pages refuses sites above 1 GB; "
        yield True, "", text + "remove some clips, or make them smaller"


def _order(problem: Diagnostic) -> tuple[str, int, str]:
    return problem.file, problem.line or 0, problem.text


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
