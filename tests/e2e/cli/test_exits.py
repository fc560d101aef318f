"""How a run, in a process of its own, ends: one line, its exit code, and nothing half done."""

import contextlib
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sitegen.core.errors import PlatformError
from tests.support.builders import (
    INDEX,
    Builder,
    environment,
    run_python,
    temporaries,
    traces,
    tree_hash,
    write_page,
    write_site,
)
from tests.support.previewing import WAIT_S

SECOND = '\n{{ trajectories("tiny", seed=3, id="second") }}\n'


@pytest.fixture
def built(tmp_path: Path) -> Builder:
    """A built site whose page then wants another clip."""
    site = Builder(write_site(tmp_path / "site"))
    site()
    write_page(site.config, INDEX + SECOND)
    return site


def fake(site: Builder, *words: str) -> list[str]:
    """How Python builds the site."""
    return ["-m", "tests.support.fakecli", "build", "--config", str(site.config), *words]


def start(site: Builder, *words: str, pause: str = "3") -> subprocess.Popen[str]:
    """Start a build that takes seconds, and wait until it samples."""
    env, pipe = environment(FAKE_PAUSE=pause, FAKE_SOON="2"), subprocess.PIPE
    command = [sys.executable, *fake(site, *words)]
    process = subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True)
    deadline = time.monotonic() + WAIT_S
    while not list((site.root / ".sitegen/work").rglob("states")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    ("number", "words", "jobs"),
    [
        (signal.SIGINT, "interrupted", "1"),
        (signal.SIGTERM, "terminated", "2"),
        (signal.SIGHUP, "hung up", "1"),
    ],
)
def test_signal_while_rendering(
    built: Builder, number: signal.Signals, words: str, jobs: str
) -> None:
    """One line and its exit code at once, even in a long step; the old site stays, no temporary."""
    write_page(built.config, INDEX + SECOND + SECOND.replace("second", "third").replace("3", "4"))
    before = traces(built.output)
    process = start(built, "--jobs", jobs, pause="900")
    process.send_signal(number)
    _, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == 128 + number
    lines = [line for line in errors.splitlines() if line and "steps" not in line]
    assert lines == [f"{words}; finished work is kept"]
    assert traces(built.output) == before
    assert temporaries(built.root) == []


def test_two_builds_at_once_and_a_kill(built: Builder) -> None:
    """The second ends with 5; when the first is killed, the old site stays whole."""
    before = tree_hash(built.output)
    first = start(built, pause="60")  # it is still at it when a second one has started
    second = run_python(*fake(built))
    assert (second.returncode, second.stderr.count("\n")) == (5, 1)
    assert "another sitegen is running here" in second.stderr
    assert first.poll() is None
    first.kill()
    first.communicate()
    assert tree_hash(built.output) == before
    assert temporaries(built.root)
    built()
    assert temporaries(built.root) == []
    assert tree_hash(built.output) != before


def test_terminal_is_left_as_it_was(built: Builder) -> None:
    """The cursor that a bar hides is shown again, also where the terminal hangs up."""
    master, slave = pty.openpty()
    env, command = environment(FAKE_PAUSE="1", TERM="xterm"), [sys.executable, *fake(built)]
    process = subprocess.Popen(command, env=env, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    told = b""
    while b"0/5" not in told:  # it waits for its first frame
        told += os.read(master, 1024)
    process.send_signal(signal.SIGHUP)
    with contextlib.suppress(OSError):  # which is how its end is told
        while data := os.read(master, 1024):
            told += data
    os.close(master)
    assert process.wait(WAIT_S) == 128 + signal.SIGHUP, told
    assert told.rindex(b"\x1b[?25h") > told.rindex(b"\x1b[?25l")


@pytest.mark.parametrize(
    ("pipe", "lines"), [("2>&1 | head -1", ["rendering second: 5 steps"]), ("| true", [])]
)
def test_reader_leaves(built: Builder, pipe: str, lines: list[str]) -> None:
    """Where nobody reads on, it stops without another word or a traceback."""
    command = shlex.join([sys.executable, *fake(built, *(["-q"] if not lines else []))])
    env = environment(FAKE_FAIL="second" if lines else "", FAKE_PAUSE="0.1")
    shell = ["bash", "-c", f"{command} {pipe}"]
    done = subprocess.run(shell, env=env, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.splitlines()) == ("", lines)
    assert temporaries(built.root) == []


IMPORTING = """
import os, signal, sys

wanted, missing = sys.argv[1], sys.argv[2].split()

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Watch())
sys.argv[:] = ["sitegen", *sys.argv[3:]]
from sitegen.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["sitegen.cli.main", "sitegen.builder.pipeline"])
def test_interrupted_while_starting(built: Builder, module: str) -> None:
    """Ctrl-C while Python still reads the program: 130, and no traceback."""
    done = run_python("-c", IMPORTING, module, "", "build", "--config", str(built.config))
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted; finished work is kept")


LACKS = [
    ("torch", "sample mnist --output x.npz", "torch"),
    ("uvicorn", "serve --offline", "starlette uvicorn watchfiles"),
    ("markdown_it", "build", "markdown-it-py"),
]


@pytest.mark.parametrize(("modules", "line", "packages"), LACKS)
def test_what_is_not_installed(tmp_path: Path, modules: str, line: str, packages: str) -> None:
    """A machine that only renders lacks some packages: one line says which, and no traceback."""
    write_site(tmp_path)
    done = run_python("-c", IMPORTING, "", modules, *line.split(), folder=tmp_path)
    name = modules if modules in packages else packages
    told = f"error: {name} is not installed here, and this needs it: `pip install {packages}`\n"
    assert (done.returncode, done.stderr) == (PlatformError.exit_code, told)
