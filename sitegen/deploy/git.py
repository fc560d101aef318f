"""The author's git repository, through git itself; neither the index nor a file is ever touched."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sitegen.build.served_folder import ServedFolder
from sitegen.config.schema import Site
from sitegen.core.errors import PlatformError, PublishError
from sitegen.core.source import shown

_OF_ANOTHER_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
)
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@")
_MOST_LINES = 30
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    words: str


@dataclass(frozen=True)
class Remote:
    """A remote as it is now.

    tip: the commit of the branch that was asked for; None if there is no such branch
    main: the branch that a clone of it checks out; None if it is empty
    """

    name: str
    url: str
    tip: str | None
    main: str | None


class Repository:
    """The repository that the folder `root` lies in.

    Raises PublishError if it lies in none, PlatformError if git is not installed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        found = self.run("rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir")
        if found.code:
            raise PublishError(
                f"{root}: is not in a git repository ({found.words}); "
                "make one with `git init` and name its remote with `git remote add origin URL`"
            )
        self.common, self.own = map(Path, found.out.splitlines())

    def run(self, *arguments: str, **changes: str) -> Done:
        """Run git; `changes` go to its environment."""
        return execute(["git", *arguments], self._root, changes)

    def ask(self, *arguments: str) -> str:
        """What git answers. Raises PublishError with git's own words if it fails."""
        done = self.run(*arguments)
        if done.code:
            raise PublishError(f"git {arguments[0]} failed: {done.words}")
        return done.out

    def commit(self, ref: str) -> str | None:
        """The commit that a ref stands for."""
        done = self.run("rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}")
        return done.out if done.code == 0 else None

    def tree(self, commit: str) -> str:
        """The tree of a commit."""
        return self.ask("rev-parse", f"{commit}^{{tree}}")

    def files(self, commit: str) -> set[str]:
        """The paths of all files of a commit."""
        listed = self.ask("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit)
        return set(listed.split("\0")) - {""}

    def checked_out(self) -> set[str]:
        """The branches that somebody works on, here or in another work tree."""
        listed = self.ask("worktree", "list", "--porcelain")
        found = re.findall(r"^branch refs/heads/(.+)$", listed, re.MULTILINE)
        head = self.run("symbolic-ref", "--quiet", "HEAD")
        return {*found, head.out.removeprefix("refs/heads/")} - {""}

    def identity(self) -> dict[str, str]:
        """Who commits, for the environment of git. Raises PublishError if git does not know."""
        known = re.match(r"(.*) <(.*)> ", self.ask("var", "GIT_COMMITTER_IDENT"))
        assert known is not None
        return {"GIT_COMMITTER_NAME": known[1], "GIT_COMMITTER_EMAIL": known[2]}

    def remote(self, name: str, branch: str) -> Remote:
        """Ask a remote where its branch is. Raises PublishError for none, or if it is silent."""
        names = self.ask("remote").splitlines()
        if name not in names:
            known = f"there is {', '.join(names)}" if names else "there is none"
            raise PublishError(
                f"no remote is called {name}, {known}; add it with `git remote add {name} URL`, "
                "or name another one with --remote"
            )
        url = self.ask("remote", "get-url", "--push", name).splitlines()[0]
        asked = self._asked(name, url)
        answer = self.run("ls-remote", "--symref", asked, "HEAD", f"refs/heads/{branch}")
        if answer.code:
            raise PublishError(f"{public(url)} does not answer: {answer.words}")
        tip = re.search(rf"^([0-9a-f]+)\trefs/heads/{re.escape(branch)}$", answer.out, re.MULTILINE)
        main = re.search(r"^ref: refs/heads/(.+)\tHEAD$", answer.out, re.MULTILINE)
        return Remote(name, url, tip[1] if tip else None, main[1] if main else None)

    def has_branches(self, remote: Remote) -> bool:
        """Whether there is any branch there; the remote has just answered."""
        return bool(self.ask("ls-remote", "--heads", self._asked(remote.name, remote.url)))

    def _asked(self, name: str, url: str) -> str:
        """What git calls the place that is pushed to."""
        return name if url == self.ask("remote", "get-url", name) else url

    def file_there(self, remote: Remote, branch: str, name: str) -> str | None:
        """A small text file on a branch of a remote, fetched into a repository that goes again."""
        path = Path(self.ask("rev-parse", "--show-toplevel"), remote.url)
        url = str(path) if path.exists() else remote.url
        with tempfile.TemporaryDirectory() as scratch:
            execute(["git", "init", "--quiet", "--bare", "."], Path(scratch), {})
            fetch = ["git", "fetch", "--quiet", "--depth=1", "--filter=blob:limit=4k"]
            execute([*fetch, url, f"refs/heads/{branch}"], Path(scratch), {})
            found = execute(["git", "cat-file", "blob", f"FETCH_HEAD:{name}"], Path(scratch), {})
        return found.out if found.code == 0 else None


def public(text: str) -> str:
    """The text without the names and passwords in its addresses."""
    return _USER_IN_ADDRESS.sub("", text)


def execute(
    command: Sequence[str], folder: Path, changes: Mapping[str, str], *, apart: bool = False
) -> Done:
    """Run a command in a folder and gather what it says; it ends with us, whatever stops us.

    apart: in a session of its own, so that it and what it started can be stopped together; it
    then cannot ask for a password
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=apart,
        )
    except FileNotFoundError:
        raise PlatformError(f"{command[0]} is not installed, or {folder} is gone") from None
    try:
        out, error = process.communicate()
    except BaseException:
        _stop(process, apart=apart)
        raise
    said = out.decode("utf-8", "replace").strip("\n")
    return Done(process.returncode, said, _told(error.decode("utf-8", "replace")))


def _environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what speaks of another repository; git asks nothing where nobody answers."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
    kept |= {"LC_ALL": "C.UTF-8", "GIT_OPTIONAL_LOCKS": "0"}
    if not sys.stdin.isatty():
        kept.setdefault("GIT_TERMINAL_PROMPT", "0")
    return kept | dict(changes)


def _stop(process: subprocess.Popen[bytes], *, apart: bool) -> None:
    """End a process, with all that it started where it has a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        if apart:
            os.killpg(process.pid, signal.SIGTERM)
        process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _told(words: str) -> str:
    """What git said, without its hints and without anybody's password."""
    lines = [line.rstrip() for line in words.splitlines()]
    kept = [line for line in lines if line and not line.startswith("hint:")][-_MOST_LINES:]
    return public("\n".join(kept)).removeprefix("fatal: ")


_STAGED = "sitegen-unfinished-publish"
"""The branch that a commit stands on while it is made; gone at the end."""

_REPORT = "fast-import: dumping crash report to "


@contextlib.contextmanager
def committed(repository: Repository, folder: ServedFolder, site: Site) -> Iterator[str]:
    """The folder as a commit without parents, for the block; no branch of it stays.

    Raises PublishError with git's words, or those of a hook of the author's.
    """
    drop = ("update-ref", "-d", f"refs/heads/{_STAGED}")
    repository.run(*drop)  # what a killed run left
    try:
        yield _import(repository, folder, site)
    finally:
        repository.run(*drop)


def _import(repository: Repository, folder: ServedFolder, site: Site) -> str:
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
