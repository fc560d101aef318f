"""Files of a new site that builds at once, and the requirements of machines that render nothing."""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from sitegen.config.schema import Site
from sitegen.core.diagnostics import Diagnostic, quoted
from sitegen.core.errors import ConfigError
from sitegen.core.files import platform_errors
from sitegen.core.installed import DISTRIBUTION, resource
from sitegen.core.source import KeyPath, page_sources, read_text, shown

WORKFLOW = ".github/workflows/pages.yml"
IGNORED = ".gitignore"
REQUIREMENTS = "requirements-render.txt"


def new_site(folder: Path) -> tuple[str, ...]:
    """Write a new site into `folder`, creating it if needed; return the paths written, sorted.

    Never overwrites a file: raises ConfigError that lists those that exist, and writes nothing.
    Only an existing `.gitignore`, which GitHub adds to new repositories, is kept. Raises
    PlatformError if the disk fails.
    """
    files = dict(scaffold())
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a new or existing folder")
    with platform_errors(folder, "read"):
        existing = [name for name in sorted(files) if os.path.lexists(folder / name)]
    if existing == [IGNORED] and (folder / IGNORED).is_file():
        del files[IGNORED]
    elif existing:
        lines = [f"{folder / name}: exists already" for name in existing]
        raise ConfigError("\n".join([*lines, "nothing was written; choose another folder"]))
    for name, text in files.items():
        with platform_errors(folder / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    return tuple(sorted(files))


def scaffold() -> Mapping[str, str]:
    """Return the texts of a new site's files, by their paths in its folder."""
    source = resource("scaffold")
    files = {
        "site.toml": "site.toml",
        IGNORED: "gitignore",
        WORKFLOW: "pages.yml",
        "pages/index.md": "index.md",
        REQUIREMENTS: REQUIREMENTS,
    }
    texts = {name: (source / file).read_text("utf-8") for name, file in files.items()}
    texts[WORKFLOW] = texts[WORKFLOW].replace("@SITEGEN@", own_requirement() or "")
    texts[REQUIREMENTS] = texts[REQUIREMENTS].replace("@VERSION@", version())
    return texts


_PLACEHOLDER = re.compile(
    r"The Title of Your Paper|Your Name\b|Your University|YOU\.github\.io|/REPOSITORY\b"
    r"|example\.org/~you|paper\.example\.org|arxiv\.org/abs/0000\.00000|you2026title"
    r"|Your Institute|One sentence that says what your model does"
)
_INSTRUCTION = re.compile(
    r"Write the abstract here|Say here what is new|Say what the samples show"
    r"|Give the numbers that support"
)
_OURS = "is a placeholder of `sitegen new`; replace it, and build again"


def placeholders(site: Site) -> Iterator[Diagnostic]:
    """Yield the placeholders left in `site.toml` and the pages, each with its line."""
    values = site.model_dump(exclude={"models", "output", "cache_dir", "menu"})
    for key, text in _texts(values):
        if _PLACEHOLDER.search(text):
            yield site.problem(key, f" = {quoted(text)}: {_OURS}")
    for page in page_sources(site.root / "pages"):
        for line, text in enumerate(read_text(page).split("\n"), 1):
            if instruction := _INSTRUCTION.search(text):
                yield Diagnostic(shown(page), line, f"{quoted(instruction[0])} {_OURS}")


def built_placeholders(output: Path) -> Iterator[Diagnostic]:
    """Yield the words of `sitegen new` in the files of a built folder, each with its line."""
    for path in sorted(output.rglob("*")):
        if path.suffix in (".html", ".json", ".xml", ".txt") and path.is_file():
            for number, line in enumerate(path.read_text("utf-8", "replace").split("\n"), 1):
                if match := _PLACEHOLDER.search(line) or _INSTRUCTION.search(line):
                    yield Diagnostic(shown(path), number, f"{quoted(match[0])} {_OURS}")


def _texts(value: Any, key: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping | tuple):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, part in parts:
            yield from _texts(part, (*key, name))


def ignored() -> tuple[str, ...]:
    """Return the rules of a new site's `.gitignore`, without its comments."""
    return tuple(re.findall(r"^[^#\n].*", scaffold()[IGNORED], re.MULTILINE))


_CHECKOUT = Path(__file__).resolve().parents[2] / "pyproject.toml"
# No @ in the host: a user and a token must not get into a workflow that is published.
_PUBLIC = re.compile(r"https://[^/@\s\"]+/[^\s\"]+")


def version() -> str:
    """Return the version of the running sitegen."""
    project = _project()
    return str(project["version"]) if project else metadata.version(DISTRIBUTION)


def own_requirement() -> str | None:
    """Return the requirement that pip installed this sitegen from: a release, a commit or a file.

    None if it came from a folder or a file of this machine, or if a checkout runs. What a package
    index has is installed without direct_url.json (PEP 610).
    """
    try:
        installed = metadata.distribution(DISTRIBUTION)
        text = installed.read_text("direct_url.json")
        if text is None:
            return None if _project() else f"{DISTRIBUTION}=={installed.version}"
        origin = json.loads(text)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    revision, url = origin.get("vcs_info", {}), str(origin.get("url"))
    if not _PUBLIC.fullmatch(url):
        return None
    if revision.get("vcs") == "git":
        return f"{DISTRIBUTION} @ git+{url}@{revision['commit_id']}"
    return f"{DISTRIBUTION} @ {url}" if "archive_info" in origin else None


def _project() -> dict[str, Any] | None:
    """Return the `[project]` table of a checkout; None in an installation."""
    if not _CHECKOUT.is_file():
        return None
    project: dict[str, Any] = tomllib.loads(_CHECKOUT.read_text("utf-8")).get("project", {})
    return project if project.get("name") == DISTRIBUTION else None
