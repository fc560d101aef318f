"""The built folder as one commit, made by ghp-import beside everything else in the repository."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from sitegen.config import Site
from sitegen.errors import PublishError
from sitegen.folder import Folder
from sitegen.repository import Repository, execute
from sitegen.source import shown

_STAGED = "sitegen-unfinished-publish"
"""The branch that a commit stands on while it is made; gone at the end."""

_REPORT = "fast-import: dumping crash report to "


@contextlib.contextmanager
def committed(repository: Repository, folder: Folder, site: Site) -> Iterator[str]:
    """The folder as a commit without parents, for the block; no branch of it stays.

    Raises PublishError with git's words, or those of a hook of the author's.
    """
    drop = ("update-ref", "-d", f"refs/heads/{_STAGED}")
    repository.run(*drop)  # what a killed run left
    try:
        yield _import(repository, folder, site)
    finally:
        repository.run(*drop)


def _import(repository: Repository, folder: Folder, site: Site) -> str:
    """Let ghp-import make the commit, and see that all files are in it."""
    words = ["--no-jekyll", "--branch", _STAGED]
    words += ["--message", f"Publish {site.title}"]
    words += ["--cname", site.domain] if site.domain else []
    command = [sys.executable, "-m", "ghp_import", *words, "--", str(folder.root)]
    with _without_reports(repository):
        done = execute(command, site.root, repository.identity(), apart=True)
    commit = repository.commit(f"refs/heads/{_STAGED}")
    wanted = {*folder.files, ".nojekyll", *(["CNAME"] if site.domain else [])}
    if done.code or commit is None or repository.files(commit) != wanted:
        raise PublishError(
            f"git could not make a commit of {shown(folder.root)}: {_words(done.words)}"
        )
    return commit


@contextlib.contextmanager
def _without_reports(repository: Repository) -> Iterator[None]:
    """Remove the report that git leaves among its files where it fails in the block."""
    before = _reports(repository)
    try:
        yield
    finally:
        for path in _reports(repository) - before:
            path.unlink(missing_ok=True)


def _reports(repository: Repository) -> set[Path]:
    folders = {repository.own, repository.common}
    return {path for folder in folders for path in folder.glob("fast_import_crash_*")}


def _words(told: str) -> str:
    """What git and its hooks said, without how ghp-import took it."""
    git, _, _ = f"\n{told}".partition("\nTraceback (most recent call last):")
    lines = [line for line in git.splitlines() if line and not line.startswith(_REPORT)]
    return "\n".join(lines) or told.rpartition("\n")[2] or "it does not say why"
