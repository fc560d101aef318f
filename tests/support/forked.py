"""Commands in copies of a process that has imported everything, which takes longer than they do.

A copy has a folder, an environment, streams and signals of its own, as a process that starts from
nothing. There are two such processes a session: one has imported torch, the other what needs none.
"""

import atexit
import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType
from typing import Any, NoReturn

from sitegen.__main__ import main
from tests.support.builders import environment
from tests.support.quick import shorten

LIGHT = ("sitegen.cli.main", "sitegen.builder.pipeline", "sitegen.media.encoder", "PIL.Image")
PRELOADED = {
    "light": LIGHT,
    "torch": (
        *(*LIGHT, "torch"),
        *("sitegen.sampling.models", "sitegen.models.add", "sitegen.models.training"),
    ),
}


def run_forked(folder: Path, *words: str | Path, **changes: str) -> CompletedProcess[str]:
    """Run the real command line in a folder; the clips that it draws are small and short."""
    return _run("torch", folder, words, changes)


def sitegen(folder: Path, *words: str, code: int = 0) -> str:
    """Run a command in that folder; what it prints, and that is no traceback."""
    done = run_forked(folder, *words)
    told = done.stdout + done.stderr
    assert (done.returncode, "Traceback" in told) == (code, False), told
    return told


def run_without(
    names: str, folder: Path, *words: str | Path, **changes: str
) -> CompletedProcess[str]:
    """Run the real command line where importing modules with these names fails."""
    return _run("light", folder, words, {**changes, "FORKED_WITHOUT": names})


def _run(
    kind: str, folder: Path, words: tuple[str | Path, ...], changes: dict[str, str]
) -> CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as streams:
        job = {
            "folder": str(folder.absolute()),
            "words": [str(word) for word in words],
            "environment": environment(**changes),
            "streams": streams,
        }
        process = _server(kind)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        try:
            line = process.stdout.readline()
        except BaseException:  # a test's timeout; the answer would be that of the next command
            process.kill()
            _server.cache_clear()
            raise
        assert line, "the process that forks has ended"
        code = int(line)
        out, errors = (
            (Path(streams) / name).read_text("utf-8", "replace") for name in ("out", "err")
        )
        return CompletedProcess([*map(str, words)], code, out, errors)


@functools.cache
def _server(kind: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.forked", kind],
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)
    return process


def _serve(kind: str) -> None:
    """Fork a copy for each line of standard input; answer its exit code."""
    for name in PRELOADED[kind]:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            answers.close()
            _copy(json.loads(line))
        _, status = os.waitpid(pid, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def _copy(job: dict[str, Any]) -> None:
    for number, name in enumerate((os.devnull, "out", "err")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        handle = os.open(os.path.join(job["streams"], name), flags, 0o644)
        os.dup2(handle, number)
        os.close(handle)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    sys.path[:0] = ["", *os.environ["PYTHONPATH"].split(os.pathsep)]
    sys.argv[:] = ["sitegen", *job["words"]]
    if missing := os.environ.get("FORKED_WITHOUT"):
        sys.meta_path.insert(0, _Without(missing.split()))
    shorten()
    try:
        main()
    except SystemExit as end:
        _leave(end.code)


def _leave(code: object) -> NoReturn:
    """End as Python does, but do not take modules apart: that takes longer than most commands."""
    assert isinstance(code, int)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    os._exit(code)


class _Without:
    """Finds modules that cannot be imported."""

    def __init__(self, names: list[str]) -> None:
        assert not set(names) & set(sys.modules), "they are imported already"
        self._names = names

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Find one of the names."""
        return ModuleSpec(name, self) if name in self._names else None  # type: ignore[arg-type]

    def create_module(self, _spec: ModuleSpec) -> None:
        """Make the usual one."""

    def exec_module(self, module: ModuleType) -> None:
        """Refuse to import it."""
        raise RuntimeError(f"{module.__name__} is imported")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        _serve(sys.argv[1])
