"""What the files of a built folder weigh, and what a page fetches before anybody plays a clip."""

from __future__ import annotations

import gzip
import posixpath
from collections.abc import Iterator

from sitegen.contents import css_uris
from sitegen.folder import Address, Folder
from sitegen.htmlscan import Document

PAGE_BUDGET_KB = 300
"""Kilobytes that a page may fetch before somebody plays or opens something, unless told: about a
second and a half of a slow phone's line."""

LARGE_FILE = 50 * 2**20
"""Bytes above which GitHub warns about a file."""

LARGEST_FILE = 100 * 2**20
"""Bytes above which GitHub refuses a file."""

LARGEST_SITE = 10**9
"""Bytes above which GitHub Pages refuses a site."""

_COMPRESSED = {".html", ".css", ".js", ".json", ".svg", ".xml", ".txt"}  # on the way to a browser
_SMALLER = "encode it smaller, show fewer samples, or lay it elsewhere and link it"


def size_problems(folder: Folder) -> Iterator[tuple[bool, str, str]]:
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


def page_weight(folder: Folder, address: Address, page: str, document: Document) -> int:
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


def _weight(folder: Folder, address: Address, name: str) -> int:
    """What a file costs; a stylesheet brings what it names."""
    weight = _transferred(folder, name)
    if name.endswith(".css"):
        uris = {uri for _, uri in css_uris(folder.read(name).decode("utf-8", "replace"))}
        names = {_file(folder, address, name, uri) for uri in uris} - {None, name}
        weight += sum(_transferred(folder, each) for each in names if each is not None)
    return weight


def _file(folder: Folder, address: Address, page: str, uri: str) -> str | None:
    path = address.target(page, uri).path
    return None if path is None else folder.served(path)


def _transferred(folder: Folder, name: str) -> int:
    if posixpath.splitext(name)[1].lower() in _COMPRESSED:
        return len(gzip.compress(folder.read(name), 6))
    return folder.files[name]


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
