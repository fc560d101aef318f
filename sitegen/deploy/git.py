"""The author's git repository, accessed through git; neither the index nor a file is changed."""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import ghp_import  # type: ignore[import-untyped]

from sitegen.builder.install import ServedFolder
from sitegen.config.schema import Site
from sitegen.core.errors import PlatformError, PublishError
from sitegen.core.source import shown

_OF_ANOTHER_REPOSITORY = {
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"),
    *("GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_QUARANTINE_PATH"),
}
_LOGIN = re.compile(r"(?<=://)[^\s/]*@")
"""User and password or token in an address: `https://user:token@`."""
_LOGIN_BACKWARDS = re.compile(r"@\s*[^\s/@'\"]+:[^\s/:@'\"]+")
"""The same without a scheme, `user:token@host`, read from the `@`, which takes linear time."""
_MOST_LINES = 30
SLOW_SECONDS = 20.0
"""Seconds that a command may take until that is reported."""
_NO_STALLING: tuple[str, ...] = ("-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=300")
"""Options that make git give up on a web server that sends nothing for 5 minutes."""
_SSH = "ssh -o ConnectTimeout=60 -o ServerAliveInterval=60 -o ServerAliveCountMax=5"
"""Command for ssh that gives up after as long, unless the author has set another."""


@dataclass(frozen=True)
class Done:
    """The result of a command: its exit code and output."""

    code: int
    out: str
    words: str


@dataclass(frozen=True)
class Remote:
    """The current state of a remote.

    tip: commit of the requested branch; None if there is no such branch
    main: default branch of a clone; None if the remote is empty
    """

    name: str
    url: str
    tip: str | None
    main: str | None


class Repository:
    """The repository that contains the folder `root`.

    tell: called with a line if git takes long
    Raises PublishError without a repository, PlatformError if git is not installed.
    """

    def __init__(self, root: Path, tell: Callable[[str], None] = lambda line: None) -> None:
        self._root = root
        self._tell = tell
        self._bounds = _NO_STALLING
        found = self.run("rev-parse", "--path-format=absolute", "--git-common-dir")
        if found.code:
            raise PublishError(
                f"{root}: is not in a git repository ({found.words}); "
                "create one with `git init` and add a remote with `git remote add origin URL`"
            )
        if not Path(found.out).is_absolute():
            raise _not_understood("rev-parse", found.out)
        self.common = Path(found.out)
        own = self.run("config", "core.sshCommand").out
        if command := own or ("" if "GIT_SSH" in os.environ else _SSH):
            self._bounds = (*_NO_STALLING, "-c", f"core.sshCommand={command}")

    def run(self, *arguments: str, stdin: IO[bytes] | None = None) -> Done:
        """Run git as `execute` does."""
        return execute(["git", *self._bounds, *arguments], self._root, stdin, self._tell)

    def ask(self, *arguments: str) -> str:
        """Return git's output. Raises PublishError with git's message if it fails."""
        done = self.run(*arguments)
        if done.code:
            raise PublishError(f"git {arguments[0]} failed: {done.words}")
        return done.out

    def commit(self, ref: str) -> str | None:
        """Return the commit of a ref."""
        done = self.run("rev-parse", "--quiet", "--verify", f"{ref}^{{commit}}")
        return done.out if done.code == 0 else None

    def holds(self, commit: str, folder: ServedFolder, site: Site) -> bool:
        """Return whether a commit has exactly the files of the folder, and a domain's CNAME."""
        listed = self.ask("ls-tree", "-r", "-z", "--full-tree", commit).split("\0")
        entries = [re.fullmatch(r"\S+ \S+ ([0-9a-f]+)\t(.+)", line, re.DOTALL) for line in listed]
        known = {entry[2]: entry[1] for entry in entries if entry}
        own = {".nojekyll": b""} | ({"CNAME": site.domain.encode()} if site.domain else {})
        if known.keys() != {*folder.files, *own}:
            return False
        for name, digest in known.items():
            data = own[name] if name in own else folder.read(name)
            blob = hashlib.new("sha1" if len(digest) == 40 else "sha256", b"blob %d\0" % len(data))
            blob.update(data)
            if blob.hexdigest() != digest:
                return False
        return True

    def checked_out(self) -> set[str]:
        """Return the branches that are checked out, here or in another work tree."""
        listed = self.ask("worktree", "list", "--porcelain")
        found = re.findall(r"^branch refs/heads/(.+)$", listed, re.MULTILINE)
        head = self.run("symbolic-ref", "--quiet", "HEAD")
        return {*found, head.out.removeprefix("refs/heads/")} - {""}

    def remote(self, name: str, branch: str) -> Remote:
        """Request a remote's state. Raises PublishError if it is missing or does not answer."""
        names = self.ask("remote").splitlines()
        if name not in names:
            known = f"there is {', '.join(names)}" if names else "there is none"
            told = masked(name)
            raise PublishError(
                f"there is no remote {told}, {known}; add it with `git remote add {told} URL`, "
                "or name another one with --remote"
            )
        url = self.ask("remote", "get-url", "--push", name)  # the first of several
        if not url:
            raise _not_understood("remote get-url", url)
        place = self.place(name, url)
        answer = self.run("ls-remote", "--symref", place, "HEAD", f"refs/heads/{branch}")
        if answer.code:
            raise PublishError(f"{masked(url)} does not answer: {answer.words}")
        tip = re.search(rf"^([0-9a-f]+)\trefs/heads/{re.escape(branch)}$", answer.out, re.MULTILINE)
        main = re.search(r"^ref: refs/heads/(.+)\tHEAD$", answer.out, re.MULTILINE)
        return Remote(name, url, tip[1] if tip else None, main[1] if main else None)

    def place(self, name: str, url: str) -> str:
        """Return git's URL for pushing to the remote."""
        return name if url == self.ask("remote", "get-url", name) else url

    def file_there(self, remote: Remote, branch: str, name: str) -> str | None:
        """Return a small text file from a branch of a remote."""
        path = Path(self.ask("rev-parse", "--show-toplevel"), remote.url)
        url = str(path) if path.exists() else remote.url
        with tempfile.TemporaryDirectory() as scratch:
            execute(["git", "init", "--quiet", "--bare", "."], Path(scratch))
            fetch = ["git", *self._bounds, "fetch", "--quiet", "--depth=1"]
            fetch += ["--filter=blob:limit=4k", url, f"refs/heads/{branch}"]
            execute(fetch, Path(scratch), tell=self._tell)
            found = execute(["git", "cat-file", "blob", f"FETCH_HEAD:{name}"], Path(scratch))
        return found.out if found.code == 0 else None


def _not_understood(command: str, said: str) -> PublishError:
    return PublishError(f"git {command} answered {masked(said)!r}; check whether `git` works here")


def masked(text: str) -> str:
    """Return the text without users, passwords and tokens in addresses, such as `user:token@`."""
    return _LOGIN_BACKWARDS.sub("", _LOGIN.sub("", text)[::-1])[::-1]


def execute(
    command: Sequence[str],
    folder: Path,
    stdin: IO[bytes] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Done:
    """Run a command in a folder and return its output; it ends with this process.

    stdin: a file with its input
    tell: called with a line if it takes more than 20 s
    """
    if odd := [word for word in command if "\0" in word]:  # from git's own output
        raise _not_understood(command[1], odd[0])
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    dated = {"GIT_COMMITTER_DATE": f"@{epoch} +0000"} if epoch else {}
    quiet = {} if sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}  # no user to prompt
    ours = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**quiet, **dated, **ours, "LC_ALL": "C.UTF-8", "GIT_OPTIONAL_LOCKS": "0"},
                stdin=stdin or subprocess.DEVNULL,
                stdout=out,  # a pipe would be kept open by what git leaves in the background
                stderr=error,
            )
        except FileNotFoundError:
            raise PlatformError(
                f"{command[0]} is not installed, or {folder} does not exist"
            ) from None
        with process:
            try:
                process.wait(SLOW_SECONDS)
            except subprocess.TimeoutExpired:
                names = (word for word in command[1:] if re.fullmatch(r"[a-z]+(-[a-z]+)*", word))
                tell(f"`{command[0]} {next(names, '')}` is still running; Ctrl-C stops it")
                process.wait()
            finally:
                process.terminate()  # not a kill, so that git removes its locks
        out.seek(0)
        error.seek(0)
        told, complaint = (file.read().decode("utf-8", "replace") for file in (out, error))
    return Done(process.returncode, told.strip("\n"), _without_hints(complaint))


_NO_WORDS = re.compile(
    r"hint:|(remote: )?(Enumerating|Counting|Compressing|Writing|Receiving|Resolving|Unpacking) "
    r"(objects|deltas)|(remote: )?(Delta compression|Total \d)"
)
"""Lines of git's output that are hints or progress."""


def _without_hints(words: str) -> str:
    lines = [line.rstrip() for line in words.splitlines()]
    kept = [line for line in lines if line and not _NO_WORDS.match(line)][-_MOST_LINES:]
    return masked("\n".join(kept)).removeprefix("fatal: ")


_STAGED = "refs/sitegen/unfinished-publish"
"""Temporary ref for the commit to be published; it is not a branch, and is deleted at the end."""


@contextlib.contextmanager
def committed(repository: Repository, folder: ServedFolder, site: Site) -> Iterator[str]:
    """Commit the folder, without parents, for the block; no ref to the commit is kept.

    Raises PublishError with the message of git or of one of the author's hooks.
    """
    try:
        yield _import(repository, folder, site)
    finally:
        repository.run("update-ref", "-d", _STAGED)


def _import(repository: Repository, folder: ServedFolder, site: Site) -> str:
    """Commit the files with ghp-import, and verify that the commit contains all of them."""
    who = repository.ask("var", "GIT_COMMITTER_IDENT")
    message = f"Publish {site.title}".encode()
    with tempfile.TemporaryFile() as stream:
        pipe = SimpleNamespace(stdin=stream)
        head = f"commit {_STAGED}\ncommitter {who}\ndata {len(message)}\n".encode()
        ghp_import.write(pipe, head + message + b"\ndeleteall\n")
        for name in folder.files:
            ghp_import.add_file(pipe, folder.root / name, name)
        ghp_import.add_nojekyll(pipe)
        if site.domain:
            ghp_import.add_cname(pipe, site.domain)
        stream.seek(0)
        options = ("--date-format=raw", "--quiet", "--force")  # a killed publish may have left it
        done = repository.run("fast-import", *options, stdin=stream)
    commit = repository.commit(_STAGED)
    if done.code or commit is None or not repository.holds(commit, folder, site):
        words = [line for line in done.words.splitlines() if not line.startswith("fast-import: ")]
        why = "\n".join(words) or "it gave no reason"
        raise PublishError(f"git could not make a commit of {shown(folder.root)}: {why}")
    return commit
