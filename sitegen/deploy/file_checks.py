"""What stands in the files of a built folder: clips, pointers, paths, and the manifest."""

from __future__ import annotations

import contextlib
import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path

from sitegen.build.served_folder import ServedFolder, missing
from sitegen.core.diagnostics import quoted
from sitegen.core.errors import RefusedError
from sitegen.core.files import digest, is_lfs_pointer, platform_errors
from sitegen.core.urls import MANIFEST
from sitegen.media.manifest import Manifest
from sitegen.media.mp4 import clip_faults

_MP4 = {".mp4", ".m4v", ".mov"}
_OTHER_CLIPS = {".avi", ".mkv", ".wmv", ".flv", ".mpg", ".mpeg", ".ogv"}
_SHOWN = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".svg", ".ico", ".webm", ".html"}
_ODD_NAME = re.compile(r'[\x00-\x1f\x7f"*:<>?\\|]')
_HOMES = r"(?:/(?:home|Users|root|tmp|private|mnt|scratch)/|[A-Za-z]:\\)"
_STOP = r"[^\s\"'<>&)]*"

Found = tuple[bool, str, str]
"""Whether it is an error, the file, and what is wrong with it."""


def suffix(name: str) -> str:
    """The ending of a file's name, in small letters."""
    return posixpath.splitext(name)[1].lower()


def content_problems(folder: ServedFolder) -> Iterator[Found]:
    """Find what is wrong with the files themselves. Raises PlatformError if one cannot be read."""
    for name in folder.files:
        if _ODD_NAME.search(name):
            yield True, name, "has a character in its name that GitHub Pages refuses; rename it"
        yield from _file_problems(folder, name)
    if MANIFEST in folder.files:
        yield from _manifest_problems(folder)


def _file_problems(folder: ServedFolder, name: str) -> Iterator[Found]:
    kind, path = suffix(name), folder.root / name
    with platform_errors(path, "read"):
        pointer = is_lfs_pointer(path)
    if pointer:
        text = "is a pointer of Git LFS and not the file, and GitHub Pages would serve the pointer"
        yield True, name, f"{text}; run `git lfs pull` and build again"
    elif kind in _SHOWN and not folder.files[name]:
        yield True, name, "is empty; put the file there, or build again"
    elif kind in _MP4:
        with platform_errors(path, "read"):
            yield from ((True, name, fault) for fault in clip_faults(path))
    elif kind in _OTHER_CLIPS:
        yield True, name, "is a clip that browsers do not play; encode it as H.264 in .mp4"
    elif kind == ".webm":
        yield False, name, "is a clip that older iPhones do not play; encode it as H.264 in .mp4"


def _manifest_problems(folder: ServedFolder) -> Iterator[Found]:
    """Compare the files with what the manifest says of them."""
    try:
        manifest = Manifest.from_json(folder.read(MANIFEST).decode("utf-8", "replace"))
    except RefusedError as error:
        yield True, MANIFEST, str(error).removeprefix(f"{MANIFEST} ")
        return
    files = {file.path: file for media in manifest.figures for file in media.record.files.values()}
    for path, file in files.items():
        if path not in folder.files:
            yield True, MANIFEST, f"{quoted(path)} {missing(folder, path)}"
            continue
        with platform_errors(folder.root / path, "read"):
            whole = digest(folder.root / path) == file.sha256
        if not whole:
            yield True, path, f"is not the file that {MANIFEST} tells of; build again"


def local_paths(text: str, private: Sequence[Path], *, generic: bool) -> Iterator[tuple[int, str]]:
    """Find paths of this machine in a text, each with its line.

    private: folders that no published text may name
    generic: whether any path that looks like somebody's home counts; prose may speak of such
    """
    names = [re.escape(str(path).rstrip("/")) + r"(?![\w.-])" for path in private]
    roots = "|".join([*([_HOMES] if generic else []), *names])
    pattern = r"\bfile:///?" + (rf"|(?<![\w.~/\\-])(?:{roots})" if roots else "")
    for found in re.finditer(f"(?:{pattern}){_STOP}", text):
        yield text.count("\n", 0, found.start()) + 1, found[0][:100]


def css_uris(text: str) -> Iterator[tuple[int, str]]:
    """What a stylesheet refers to, each with its line."""
    plain = re.sub(r"/\*.*?\*/", lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=re.S)
    pattern = r"""url\(\s*(["']?)(?P<uri>.*?)\1\s*\)|@import\s+(["'])(?P<sheet>.*?)\3"""
    for found in re.finditer(pattern, plain):
        uri = found["uri"] or found["sheet"] or ""
        yield plain.count("\n", 0, found.start()) + 1, uri


def sitemap_uris(text: str) -> Iterator[tuple[int, str]]:
    """What a sitemap refers to, each with its line."""
    for found in re.finditer(r"<loc>\s*(.*?)\s*</loc>", text, re.S):
        yield text.count("\n", 0, found.start()) + 1, unescape(found[1])


def webmanifest_uris(text: str) -> Iterator[tuple[int, str]]:
    """What the manifest of a web application shows and where it starts, each with its line."""
    for found in re.finditer(r'"(?:src|start_url)"\s*:\s*("(?:[^"\\\n]|\\.)*")', text):
        with contextlib.suppress(ValueError):  # an odd escape
            yield text.count("\n", 0, found.start(1)) + 1, json.loads(found[1])
