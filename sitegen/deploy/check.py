"""Checks of the built folder as GitHub Pages will serve it; nothing is downloaded or changed.

A fault that breaks the site is an error; one that works but should be fixed is a warning.
"""

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit

from sitegen.config.scaffold import placeholders
from sitegen.config.schema import Site
from sitegen.core.diagnostics import Diagnostic, quoted
from sitegen.core.errors import TargetError
from sitegen.core.files import below, platform_errors
from sitegen.core.source import shown
from sitegen.core.urls import INDEX, NOT_FOUND
from sitegen.deploy.html_scan import HtmlScan, Reference, Role, scan

LARGE_FILE, LARGEST_FILE = 50 * 2**20, 100 * 2**20
"""Bytes above which GitHub warns about a file, and above which it refuses one."""

LARGEST_SITE = 10**9
"""Bytes above which GitHub Pages refuses a site."""

_PAGES = (".html", ".htm")
_PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".svg", ".ico", ".mp4"}
_ODD_NAME = re.compile(r'[\x00-\x1f\x7f"*:<>?\\|]')
_THIS_MACHINE = re.compile(r"(.+\.)?localhost|127(\.\d+){1,3}|0\.0\.0\.0|::1", re.I)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_NEEDED = {
    INDEX: "it is the front page",
    ".nojekyll": "without it GitHub omits files with names that start with _",
}
_SMALLER = "reduce its size, show fewer samples, or host it elsewhere and link to it"
_REFERENCE: dict[Role, str] = {
    "link": "the link",
    "load": "the file",
    "address": "the address",
    "label": "the name of an element, by id",
}


@dataclass(frozen=True)
class ServedFolder:
    """The content of a folder, by relative URI, with names as the folder spells them.

    files: size of each regular file in bytes
    others: symbolic links, pipes and so on, each with a description
    """

    root: Path
    files: Mapping[str, int]
    others: Mapping[str, str]

    def served(self, name: str) -> str | None:
        """Return the file that GitHub Pages serves for a path: itself, its index, or its .html."""
        choices = [name, posixpath.join(name, INDEX)]
        choices += [] if not name or name.endswith("/") else [f"{name}.html"]
        return next((choice for choice in choices if choice in self.files), None)

    def text(self, name: str) -> str:
        """Return the text of a file. Raises PlatformError if it cannot be read."""
        path = self.root / name
        with platform_errors(path, "read"):
            return path.read_text("utf-8", "replace")


def read_folder(root: Path) -> ServedFolder:
    """List a folder without following links. Raises PlatformError if it cannot be read."""
    files: dict[str, int] = {}
    others: dict[str, str] = {}
    with platform_errors(root, "read"):
        for name, entry in below(root):
            if entry.is_symlink():
                others[name] = "a symbolic link"
            elif entry.is_file():
                files[name] = entry.stat().st_size
            elif not entry.is_dir():
                others[name] = "not a regular file"
    return ServedFolder(root, dict(sorted(files.items())), dict(sorted(others.items())))


@dataclass(frozen=True)
class Findings:
    """The result of a check; `external` maps addresses to their first occurrence."""

    errors: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]
    external: Mapping[str, str]
    pages: int
    files: int
    bytes: int

    def notes(self) -> list[str]:
        """Lines that are not faults: external links, and a summary."""
        lines = [f"  {uri}  ({location})" for uri, location in self.external.items()]
        if lines:
            lines.insert(0, f"external links, not followed: {len(lines)}")
        return [*lines, self.summary()]

    def problems(self) -> list[str]:
        """Errors and warnings, a line each."""
        errors = [f"error: {problem}" for problem in self.errors]
        return [*errors, *(f"warning: {problem}" for problem in self.warnings)]

    def summary(self) -> str:
        """A line with the numbers of pages, files and bytes."""
        checked = f"{_count(self.pages, 'page')} and {_count(self.files, 'file')}"
        return f"checked {checked} of {self.bytes / 1e6:.1f} MB: {self.counts()}"

    def counts(self) -> str:
        """The numbers of errors and warnings."""
        return f"{_count(len(self.errors), 'error')}, {_count(len(self.warnings), 'warning')}"

    def require_good(self, *, strict: bool) -> None:
        """Raise TargetError if there are errors or, with `strict`, warnings."""
        if self.errors or (strict and self.warnings):
            raise TargetError(f"the site cannot be published: {self.counts()}, see above")


def check_site(site: Site | None, root: Path) -> Findings:
    """Check the built folder of a site; without a site its address is unknown.

    Raises as `check_folder` does.
    """
    if site is None:
        return check_folder(root)
    base_url = site.base_url or (f"https://{site.domain}/" if site.domain else None)
    findings = check_folder(root, base_url)
    return replace(findings, warnings=(*placeholders(site), *findings.warnings))


def check_folder(root: Path, base_url: str | None = None) -> Findings:
    """Check a folder that will be published at an address.

    Raises TargetError if it is missing, PlatformError if it is unreadable.
    """
    if not root.is_dir():
        raise TargetError(f"{shown(root)}: does not exist; run `sitegen build` first")
    folder = read_folder(root)
    errors, warnings = list[Diagnostic](), list[Diagnostic]()
    external: dict[str, str] = {}
    for is_error, name, text in _faults_of_files(folder):
        (errors if is_error else warnings).append(Diagnostic(shown(root / name), None, text))
    pages = {name for name in folder.files if name.lower().endswith(_PAGES)}
    scans = {name: scan(folder.text(name)) for name in sorted(pages)}
    for name, page in scans.items():
        path = shown(root / name)
        for id in (id for id, count in page.ids.items() if count > 1):
            text = f"has the id {quoted(id)} more than once; links reach only one"
            warnings.append(Diagnostic(path, None, text))
        for reference in page.references:
            uri, what = reference.uri, f"{_REFERENCE[reference.role]} {quoted(reference.uri)}"
            if uri.startswith("data:"):
                continue
            target = target_of(name, uri, base_url)
            fault = target.fault or _fault(folder, scans, name, reference, target)
            if fault is not None:
                errors.append(Diagnostic(path, reference.line, f"{what} {fault}"))
            elif target.path is None:
                external.setdefault(uri, f"{path}:{reference.line}")
                if reference.role == "load":
                    text = "comes from another server, which may be slow, track visitors or "
                    text += "disappear; copy the file into the site"
                    warnings.append(Diagnostic(path, reference.line, f"{what} {text}"))
    return Findings(
        tuple(sorted(errors, key=_order)),
        tuple(sorted(warnings, key=_order)),
        dict(sorted(external.items())),
        len(pages),
        len(folder.files),
        sum(folder.files.values()),
    )


def _faults_of_files(folder: ServedFolder) -> Iterator[tuple[bool, str, str]]:
    """Yield faults of the files themselves: whether it is an error, the file, and the message.

    Raises PlatformError if a file cannot be read.
    """
    for name, kind in folder.others.items():
        yield True, name, f"is {kind}, which GitHub Pages refuses; copy the file instead"
    for name, size in folder.files.items():
        megabytes = f"has {size / 1e6:.0f} MB"
        if _ODD_NAME.search(name):
            yield True, name, "has a character in its name that GitHub Pages refuses; rename it"
        path = folder.root / name
        with platform_errors(path, "read"), path.open("rb") as file:
            is_pointer = file.read(len(_LFS_POINTER)) == _LFS_POINTER
        if is_pointer:
            text = "is a Git LFS pointer, and GitHub Pages would serve it in place of the file; "
            yield True, name, f"{text}run `git lfs pull` and build again"
        elif not size and posixpath.splitext(name)[1].lower() in _PICTURES:
            yield True, name, "is empty; replace it, or build again"
        elif size > LARGEST_FILE:
            yield True, name, f"{megabytes}, and GitHub refuses files above 100 MB; {_SMALLER}"
        elif size > LARGE_FILE:
            yield False, name, f"{megabytes}, and GitHub warns above 50 MB; {_SMALLER}"
    total = sum(folder.files.values())
    if total > LARGEST_SITE:
        text = f"the site has {total / 1e6:.0f} MB, and GitHub Pages refuses sites above 1 GB; "
        yield True, "", text + "remove some clips, or make them smaller"
    for name, reason in _NEEDED.items():
        if name not in folder.files:
            yield True, name, f"is missing; {reason}; run `sitegen build`"


@dataclass(frozen=True)
class Target:
    """The target of an address: a path of the site, an external address, or a fault.

    path: from the site's root, "" for the root itself; None for an external address
    fault: reason why the address is invalid
    """

    path: str | None
    fragment: str = ""
    fault: str | None = None


def target_of(page: str, uri: str, base_url: str | None) -> Target:
    """Return the target of `uri` on the page at `page` of a site that is at `base_url`."""
    # Without an address the sub-path is unknown: paths from the root of the host are faults.
    site = urlsplit(base_url or "")
    base = f"/{site.path.strip('/')}/".replace("//", "/") if base_url else "/-/"
    try:
        parts = urlsplit(uri.strip())  # browsers ignore blanks around an address
        # Full addresses of our own site are checked as paths; those of others are not followed.
        is_ours = parts.netloc.lower() == site.netloc.lower() != ""
        if (parts.scheme or parts.netloc) and not (is_ours and parts.scheme != "javascript"):
            fault, host = None, (parts.hostname or "").rstrip(".")
            if parts.scheme == "file":
                fault = "names a file of this machine; copy the file into the site"
            elif parts.scheme == "javascript":
                fault = "is a script, which the pages do not run; link to a page"
            elif parts.scheme in {"http", "https", ""} and _THIS_MACHINE.fullmatch(host):
                fault = "leads to the reader's own machine; use a public address or a path"
            return Target(None, fault=fault)
        # Joined as a browser does it, on a host that cannot exist.
        full = urljoin(f"https://site.invalid{base}{quote(page)}", uri.strip())
        path = (parts.path or "/") if parts.netloc else urlsplit(full).path
    except ValueError as error:
        return Target(None, fault=f"is not an address: {error}")
    if f"{path}/" == base:
        path = base
    if path.startswith(base):
        return Target(unquote(path[len(base) :]), unquote(parts.fragment))
    if parts.netloc:  # another site of the same host
        return Target(None)
    if base_url:
        fault = f"leads out of {base}, where the site is published; make it relative"
    else:
        fault = "works only where the site is at the root of its host; make it relative to the "
        fault += "page, or set base_url in site.toml"
    return Target(None, fault=fault)


def _fault(
    folder: ServedFolder,
    scans: Mapping[str, HtmlScan],
    page: str,
    reference: Reference,
    target: Target,
) -> str | None:
    """Return the fault of a reference to a path of the site."""
    if target.path is None:
        return None
    file = folder.served(target.path)
    if file is None:
        meant = {_alike(target.path), _alike(posixpath.join(target.path, INDEX))}
        for name in (name for name in folder.files if _alike(name) in meant):
            return f"is spelled {quoted(name)} in the folder; case counts on a server"
        return "is not in the folder; correct the address, or build again"
    is_rooted = reference.uri.startswith(("/", "#")) or "://" in reference.uri
    if page == NOT_FOUND and not is_rooted:
        return f"is relative, and {NOT_FOUND} is served at every address; make it absolute"
    fragment = target.fragment.partition(":~:")[0]  # the rest names a piece of text
    if fragment in {"", "top"} or file not in scans or fragment in scans[file].ids:
        return None
    return f"names an id that {file} does not have; add the id there, or correct the link"


def _alike(name: str) -> str:
    """Return a form that is equal for names that differ in case or Unicode composition."""
    return unicodedata.normalize("NFC", name).casefold()


def _order(problem: Diagnostic) -> tuple[str, int, str]:
    return problem.file, problem.line or 0, problem.text


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
