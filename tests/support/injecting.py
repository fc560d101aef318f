"""Kills and errors at system calls: strace puts them into processes that are forked ready to run.

A process of its own has imported everything and worked once, so a child of it makes few other
calls than those on the files of the site, and always the same ones. The child stops, strace is
attached to it, and it goes on.
"""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.builders import environment

CHANGING = [
    *("write", "pwrite64", "ftruncate", "sendfile", "copy_file_range", "fallocate"),
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "symlink"),
    *("unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "chmod", "fchmod", "fchmodat"),
]
READING = ["openat", "read", "pread64", "newfstatat", "getdents64", "flock", "mmap"]


@dataclass(frozen=True)
class Call:
    """One system call of a run: its name, which of that name in its process, and on what."""

    name: str
    number: int
    about: str


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code, or minus the signal, and what it said on standard error.

    elsewhere: a fault hit no call, or one on no file of the test, such as one of a package
    """

    code: int
    said: str
    elsewhere: bool = False


class Forge:
    """Runs commands in forked children; `folder` gets what they say and what strace writes.

    warm: the words of a run that is made first, so that everything is imported
    """

    def __init__(self, folder: Path, warm: list[str]) -> None:
        from tests.support.programs import (
            program,  # here: the process that forks does without pytest
        )

        self.folder = folder
        self.strace = program("strace", package="strace")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.injecting"],
            env=environment(PYTHONDONTWRITEBYTECODE="1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.out = self.process.stdout
        said = folder / "said"
        self._told({"words": warm, "said": str(said), "stop": False, "warm": True})
        assert self._line() == "0", said.read_text()

    def run(self, words: list[str], *strace: str) -> Ended:
        """Run, under strace with these options where there are any."""
        said = self.folder / "said"
        self._told({"words": words, "said": str(said), "stop": bool(strace), "warm": False})
        pid = int(self._line())
        tracer = self._trace(pid, *strace) if strace else None
        code = self._ended(pid)
        if tracer is not None:
            tracer.wait(60)
        return Ended(code, said.read_text(errors="replace"))

    def _ended(self, pid: int) -> int:
        """Wait for a run, which is told to go on until it ends: strace may not have heard it."""
        until = time.monotonic() + 300
        while time.monotonic() < until:
            if select.select([self.out], [], [], 0.2)[0]:
                return int(self._line())
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        raise AssertionError(f"process {pid} does not end")

    def _trace(self, pid: int, *options: str) -> subprocess.Popen[bytes]:
        """Attach strace to a process that has stopped, and let that go on."""
        log = self.folder / "strace"
        with log.open("w") as file:
            command = [self.strace, "-f", *options, "-p", str(pid)]
            tracer = subprocess.Popen(command, stderr=file)
        while " attached" not in log.read_text():
            assert tracer.poll() is None, log.read_text()
        os.kill(pid, signal.SIGCONT)
        return tracer

    def calls(self, words: list[str], inside: Path, names: list[str]) -> list[Call]:
        """The calls of these names on files below a folder that a run makes, in their order."""
        trace, found, counts = self.folder / "trace", list[Call](), Counter[tuple[str, str]]()
        options = ("-y", "-s", "256", "-o", str(trace), "-e", f"trace={','.join(names)}")
        ended = self.run(words, *options)
        assert ended.code == 0, ended
        for line in trace.read_text(errors="replace").splitlines():
            made = re.match(r"(\d+) +(\w+)\((.*)", line)
            if made is not None:
                counts[made[1], made[2]] += 1
                if str(inside) in made[3] and "<socket:" not in made[3]:
                    found.append(Call(made[2], counts[made[1], made[2]], made[3]))
        return list(dict.fromkeys(found))

    def inject(self, words: list[str], call: Call, fault: str, *, on: bool = False) -> Ended:
        """Run with a fault, such as `error=EIO` or `signal=KILL`, at a call; `on`: and after it.

        strace counts the calls of each thread, so that several calls may be hit, or another one.
        """
        when, trace = f"{call.number}{'+' if on else ''}", self.folder / "trace"
        options = ("-y", "-s", "256", "-o", str(trace), "-e", f"trace={call.name}")
        ended = self.run(words, *options, "-e", f"inject={call.name}:{fault}:when={when}")
        lines = trace.read_text(errors="replace").splitlines()
        hit = [line for line in lines if "INJECTED" in line]
        elsewhere = not hit or any(str(self.folder) not in line for line in hit)
        return replace(ended, elsewhere=elsewhere)

    def close(self) -> None:
        """End the process that forks."""
        self.process.communicate()

    def _told(self, job: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()

    def _line(self) -> str:
        line = self.out.readline()
        assert line, "the process that forks has ended"
        return line.strip()


@contextlib.contextmanager
def forging(folder: Path, *warm: str | Path) -> Iterator[Forge]:
    """A forge for the block."""
    forge = Forge(folder, [str(word) for word in warm])
    try:
        yield forge
    finally:
        forge.close()


def _work(words: list[str]) -> None:
    """Build with fakes of renderer and encoder; ends the process as sitegen would."""
    from sitegen.cli import exits
    from tests.support.builders import Builder

    exits.run(lambda: Builder(Path(words[0]))() and None)


def _child(job: dict[str, Any]) -> None:
    said = os.open(job["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.close(said)
    if job["stop"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    _work(job["words"])


def _serve() -> None:
    """Fork a child for each line of standard input; tell its number and its exit code."""
    for line in sys.stdin:
        job = json.loads(line)
        if job["warm"]:
            _warm(job)
            continue
        pid = os.fork()
        if pid == 0:
            _child(job)
        if job["stop"]:
            os.waitpid(pid, os.WUNTRACED)  # until it has stopped
        _tell(pid)
        _, status = os.waitpid(pid, 0)
        _tell(os.waitstatus_to_exitcode(status))


def _tell(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _warm(job: dict[str, Any]) -> None:
    """Work once in this process, so that whatever is imported on the way is there."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    code: object = 0
    with open(job["said"], "w", encoding="utf-8") as said, contextlib.redirect_stdout(said):
        try:
            _work(job["words"])
        except SystemExit as end:
            code = end.code or 0
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    _tell(code)


if __name__ == "__main__":
    _serve()
