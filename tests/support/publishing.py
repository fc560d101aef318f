"""An author's clone with a built site, and the remote that it is published to."""

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sitegen.config.schema import load_site
from sitegen.core.errors import PublishError, SitegenError
from sitegen.deploy.publish import PublishOptions, PublishResult, publish
from tests.support.builders import Builder, git, traces, write_site
from tests.support.reporters import Silent

SITE = 'title = "A title"\n{}[models.tiny]\npath = "models/tiny"\n'
PAGES = "refs/heads/gh-pages"


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@dataclass
class Paper:
    """An author's clone with a built site, and the bare repository that it came from."""

    site: Builder
    bare: Path
    report: Silent = field(default_factory=Silent)

    @property
    def root(self) -> Path:
        """The clone."""
        return self.site.root

    def publish(self, **options: Any) -> PublishResult:
        """Publish as the command does."""
        self.report = Silent()
        site = load_site(self.site.config)
        return publish(site, site.output, PublishOptions(**options), self.report)

    def refused(
        self, message: str, error: type[SitegenError] = PublishError, **options: Any
    ) -> str:
        """Publish, which fails with a message that is returned, and leaves the branch."""
        before = self.tip(), self.condition()
        with pytest.raises(error, match=message) as caught:
            self.publish(**options)
        assert (self.tip(), self.condition()) == before
        return str(caught.value)

    def tip(self, branch: str = PAGES) -> str:
        """The commit of a branch of the bare repository; empty if there is no such branch."""
        return git(self.bare, "for-each-ref", "--format=%(objectname)", branch)

    def files(self) -> dict[str, bytes]:
        """The files of the branch."""
        copy = self.bare.parent / f"copy-{time.monotonic_ns()}"
        git(self.bare.parent, "clone", "-q", "-b", "gh-pages", str(self.bare), str(copy))
        shutil.rmtree(copy / ".git")
        return contents(copy)

    def built(self) -> dict[str, bytes]:
        """The files of the built folder."""
        return contents(self.site.output)

    def rebuild(self, text: str, settings: str = "") -> None:
        """Build another text, and perhaps with other settings."""
        (self.root / "pages/index.md").write_text(f"{text}\n")
        if settings:
            self.site.config.write_text(SITE.format(settings))
        self.site()

    def hook(self, name: str, script: str) -> None:
        """Give the bare repository a hook."""
        path = self.bare / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def push_of_somebody(self, name: str) -> str:
        """Another clone pushes a commit with a file onto the branch."""
        clone = self.bare.parent / f"clone-{time.monotonic_ns()}"
        git(self.bare.parent, "clone", "--quiet", str(self.bare), str(clone))
        git(clone, "checkout", "--quiet", "-B", "gh-pages", "origin/gh-pages", check=False)
        git(clone, "checkout", "--quiet", "--orphan", "gh-pages", check=False)
        (clone / name).write_text("old.example.org\n")
        git(clone, "add", name)
        git(clone, "commit", "--quiet", "-m", "Somebody's work")
        git(clone, "push", "--quiet", "origin", f"HEAD:{PAGES}")
        return git(clone, "rev-parse", "HEAD")

    def condition(self) -> tuple[object, ...]:
        """All of the clone that an author sees: files, index, stashes, branches, where HEAD is."""
        ours = (f"{self.root}/.git", "/.sitegen")
        paths = traces(self.root).items()
        files = {name: trace for name, trace in paths if not any(part in name for part in ours)}
        commands = (
            "--no-optional-locks status --porcelain",
            "stash list",
            "branch --list",
            "symbolic-ref HEAD",
        )
        index = (self.root / ".git/index").read_bytes()
        return files, index, [git(self.root, *command.split()) for command in commands]


@pytest.fixture
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git asks for no password and reads no settings of this machine."""
    for name in ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):  # publishing sets them
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def paper(tmp_path: Path, nobody_is_asked: None) -> Paper:
    """A committed, built site, whose work tree and index are dirty, with a stash."""
    root, bare = tmp_path / "a clone", tmp_path / "a remote.git"
    site = Builder(write_site(root, index="Words.\n", site=SITE.format("")))
    ignored = "/build/\n/.sitegen/\n"
    (root / ".gitignore").write_text(ignored)
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(bare))
    git(root, "init", "--quiet", "--initial-branch=main")
    with (root / ".git/config").open("a") as config:
        config.write("[user]\nname = Ann\nemail = ann@example.org\n")
    git(root, "remote", "add", "origin", str(bare))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "First")
    git(root, "push", "--quiet", "origin", "main")
    site()
    (root / "pages/draft.txt").write_text("to be stashed")
    git(root, "stash", "--include-untracked")
    for name, text in {"pages/draft.txt": "untracked", "staged.txt": "staged"}.items():
        (root / name).write_text(text)
    git(root, "add", "staged.txt")
    (root / ".gitignore").write_text(f"{ignored}# changed\n")
    return Paper(site, bare)
