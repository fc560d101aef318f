"""The author's git repository, accessed through git; neither the index nor a file is changed."""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import ghp_import  # type: ignore[import-untyped]

from sitegen.builder.output import ServedFolder
from sitegen.config.schema import Site
from sitegen.core.diagnostics import quoted
from sitegen.core.errors import ConfigError, PlatformError, PublishError
from sitegen.core.signals import end_group
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
_NO_WAITING = ("-c", "protocol.fd.allow=never")
"""Options against a remote such as `fd::3`, an open file on which git would wait forever."""
Feed = Callable[[subprocess.Popen[bytes]], None]
_PATIENCE_SECONDS = 5.0


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

    tell: called with a line if git is silent for long
    Raises PublishError without a repository, PlatformError if git is not installed.
    """

    def __init__(self, root: Path, tell: Callable[[str], None] = lambda line: None) -> None:
        self._root = root
        self._tell = tell
        found = self.run("rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir")
        if found.code:
            raise PublishError(
                f"{root}: is not in a git repository ({found.words}); "
                "create one with `git init` and add a remote with `git remote add origin URL`"
            )
        if len(places := found.out.splitlines()) != 2:
            raise _not_understood("rev-parse", found.out)
        self.common, self.own = map(Path, places)

    def run(self, *arguments: str, feed: Feed | None = None) -> Done:
        """Run git as `execute` does."""
        return execute(["git", *_NO_WAITING, *arguments], self._root, feed, self._tell)

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
            fetch = ["git", "fetch", "--quiet", "--depth=1", "--filter=blob:limit=4k"]
            execute([*fetch, url, f"refs/heads/{branch}"], Path(scratch), tell=self._tell)
            found = execute(["git", "cat-file", "blob", f"FETCH_HEAD:{name}"], Path(scratch))
        return found.out if found.code == 0 else None


def _not_understood(command: str, said: str) -> PublishError:
    """Return an error for output of git that sitegen cannot parse."""
    return PublishError(f"git {command} answered {masked(said)!r}; check whether `git` works here")


def masked(text: str) -> str:
    """Return the text without users, passwords and tokens in addresses, such as `user:token@`."""
    return _LOGIN_BACKWARDS.sub("", _LOGIN.sub("", text)[::-1])[::-1]


def execute(
    command: Sequence[str],
    folder: Path,
    feed: Feed | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Done:
    """Run a command in a folder and return its output; it ends with this process.

    feed: writes its input. The command then runs in a session of its own, so that it can be stopped
        together with its children, and it cannot prompt for a password.
    tell: called with a line after 20 s without output
    Raises PublishError, with the command stopped, after 5 minutes without output.
    """
    if odd := [word for word in command if "\0" in word]:  # from git's own output
        raise PublishError(f"git answered {masked(odd[0])!r}; check whether `git` works here")
    quiet = {} if sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}  # no user to prompt
    ours = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**quiet, **ours, "LC_ALL": "C.UTF-8", "GIT_OPTIONAL_LOCKS": "0"},
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=out,  # a pipe could fill up and block
                stderr=error,
                start_new_session=feed is not None,
            )
        except FileNotFoundError:
            raise PlatformError(
                f"{command[0]} is not installed, or {folder} does not exist"
            ) from None
        try:
            if feed:
                feed(process)
            names = (word for word in command[1:] if re.fullmatch(r"[a-z]+(-[a-z]+)*", word))
            _wait(process, (out, error), f"{command[0]} {next(names, '')}".strip(), tell)
        finally:
            if process.returncode is None:
                _stop(process, apart=feed is not None)
        out.seek(0)
        error.seek(0)
        told, complaint = (file.read().decode("utf-8", "replace") for file in (out, error))
    return Done(process.returncode, told.strip("\n"), _without_hints(complaint))


SILENCE_SECONDS, LIMIT_SECONDS = 20.0, 300.0
"""Seconds without output from a command until that is reported, and until it is stopped."""


def _wait(
    process: subprocess.Popen[bytes],
    outputs: Sequence[IO[bytes]],
    name: str,
    tell: Callable[[str], None],
) -> None:
    """Wait for a process to end. Raises PublishError after too long a silence."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    said, since, told = -1, time.monotonic(), False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=min(1.0, SILENCE_SECONDS))
            return
        if (size := sum(os.fstat(file.fileno()).st_size for file in outputs)) != said:
            said, since = size, time.monotonic()
        silent = time.monotonic() - since
        if silent > LIMIT_SECONDS:
            raise PublishError(
                f"`{name}` was silent for {LIMIT_SECONDS:.0f} s and was stopped; check "
                "the remote, and publish again"
            )
        if silent > SILENCE_SECONDS and not told:
            told = True
            tell(f"`{name}` has been silent for {silent:.0f} s; Ctrl-C stops it")


def _stop(process: subprocess.Popen[bytes], *, apart: bool) -> None:
    """Stop a process; with `apart`, also its children, which share its session."""
    with contextlib.suppress(ProcessLookupError):
        if apart:
            end_group(process.pid, signal.SIGTERM)
        process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


_NO_WORDS = re.compile(
    r"hint:|(remote: )?(Enumerating|Counting|Compressing|Writing|Receiving|Resolving|Unpacking) "
    r"(objects|deltas)|(remote: )?(Delta compression|Total \d)"
)
"""Lines of git's output that are hints or progress."""


def _without_hints(words: str) -> str:
    """Return git's output without hints, progress and passwords."""
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
        drop_unfinished(repository)


def drop_unfinished(repository: Repository) -> None:
    """Delete the temporary ref, if it exists."""
    repository.run("update-ref", "-d", _STAGED)


_STALE_SECONDS = 2.0
"""Seconds to wait before a lock of git counts as left by a killed publish."""


def remove_leftovers(repository: Repository, tracking: str, began: float) -> None:
    """Remove the leftovers of a killed publish: git's lock files and the temporary ref.

    tracking: the ref that git updates after a push; began: time in seconds when the last publish
        began. A lock that other programs use too is removed only if it is younger. The caller holds
        the lock against other publishes.
    """
    ours = _below(repository.common, "refs/sitegen")
    shared = ("packed-refs.lock", f"{tracking}.lock", "reftable/tables.list.lock")
    until = time.monotonic() + _STALE_SECONDS
    for name in (*ours, *shared):
        path = repository.common / name
        while path.exists() and time.monotonic() < until:
            time.sleep(0.05)  # a running git is done soon
        with contextlib.suppress(OSError):
            if name in ours or path.stat().st_mtime >= began:
                path.unlink()
    drop_unfinished(repository)


def _below(folder: Path, name: str) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in (folder / name).rglob("*.lock")]


def _import(repository: Repository, folder: ServedFolder, site: Site) -> str:
    """Commit the files with ghp-import, and verify that the commit contains all of them."""
    who = _dated(repository.ask("var", "GIT_COMMITTER_IDENT"))
    message = f"Publish {site.title}".encode()

    def feed(process: subprocess.Popen[bytes]) -> None:
        head = f"commit {_STAGED}\ncommitter {who}\ndata {len(message)}\n".encode()
        ghp_import.write(process, head + message + b"\ndeleteall\n")
        for name in folder.files:
            ghp_import.add_file(process, folder.root / name, name)
        ghp_import.add_nojekyll(process)
        if site.domain:
            ghp_import.add_cname(process, site.domain)

    before = _reports(repository)
    try:
        done = repository.run("fast-import", "--date-format=raw", "--quiet", feed=feed)
    finally:
        for path in _reports(repository) - before:
            path.unlink(missing_ok=True)
    commit = repository.commit(_STAGED)
    if done.code or commit is None or not repository.holds(commit, folder, site):
        words = [line for line in done.words.splitlines() if not line.startswith(_REPORT)]
        why = "\n".join(words) or "it gave no reason"
        raise PublishError(f"git could not make a commit of {shown(folder.root)}: {why}")
    return commit


def _dated(who: str) -> str:
    """Return the committer with the time from SOURCE_DATE_EPOCH, if it is set."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch or "GIT_COMMITTER_DATE" in os.environ:
        return who
    if not re.fullmatch(r"[0-9]{1,12}", epoch):
        raise ConfigError(
            f"SOURCE_DATE_EPOCH = {quoted(epoch)}: should be whole seconds since 1970; "
            "correct it, or unset it"
        )
    return re.sub(r"> \d+ [+-]\d+$", f"> {epoch} +0000", who)


_REPORT = "fast-import: dumping crash report to "


def _reports(repository: Repository) -> set[Path]:
    """Return the crash reports that git leaves in its folder."""
    folders = {repository.own, repository.common}
    return {path for folder in folders for path in folder.glob("fast_import_crash_*")}
