"""How a run ends: one line and the right exit code, whatever happens; nothing half done stays.

Every test runs the command line in a process of its own, with a camera that takes its time.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from safetensors.numpy import save_file

from sitegen.cli import exits
from sitegen.core.errors import LockedError, PlatformError, RefusedError
from tests.support.builders import (
    INDEX,
    Builder,
    environment,
    temporaries,
    traces,
    tree_hash,
    write_page,
    write_site,
)

FAKE = f"{shlex.quote(sys.executable)} -m tests.support.fakecli build --config"
SECOND = '\n{{ trajectories("tiny", seed=3, id="second") }}\n'


@pytest.fixture
def built(tmp_path: Path) -> Builder:
    """A built site whose page then wants another clip."""
    site = Builder(write_site(tmp_path / "site"))
    site()
    write_page(site.config, INDEX + SECOND)
    return site


def start(site: Builder, *words: str, **changes: str) -> subprocess.Popen[str]:
    """Start a build that takes seconds, and wait until it renders."""
    command = [
        sys.executable,
        "-m",
        "tests.support.fakecli",
        "build",
        "--config",
        str(site.config),
        *words,
    ]
    env = environment(FAKE_PAUSE="2", **changes)
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, env=env, stdout=pipe, stderr=pipe, text=True, preexec_fn=hear_signals
    )
    deadline = time.monotonic() + 30
    while not list(site.root.glob(".sitegen/work/.sitegen-tmp-*/.sitegen-tmp-*/clip.mp4")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def hear_signals() -> None:
    """Tests that run in the background would hand down a SIGINT that is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def children(pid: int) -> list[str]:
    """The processes that this one has started."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [child for thread in threads for child in (thread / "children").read_text().split()]


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_signal_while_filming(
    built: Builder, number: signal.Signals, code: int, words: str, jobs: str
) -> None:
    """One line, its exit code, soon; old site and sources untouched; no temporary, no child."""
    write_page(built.config, INDEX + SECOND + SECOND.replace("second", "third").replace("3", "4"))
    before = traces(built.output)
    process = start(built, "--jobs", jobs)
    ffmpeg = children(process.pid)
    assert ffmpeg
    process.send_signal(number)
    time.sleep(0.05)
    process.send_signal(number)  # impatience changes nothing
    _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    lines = [line for line in errors.splitlines() if "steps" not in line]
    assert lines == [f"{words}; what was finished is kept"]
    assert traces(built.output) == before
    assert temporaries(built.root) == []
    assert not any(Path("/proc", child).exists() for child in ffmpeg)


def test_kill_while_filming(built: Builder) -> None:
    """Nothing can be tidied up, yet the old site stays, and the next build leaves no trace."""
    before = tree_hash(built.output)
    process = start(built)
    process.kill()
    process.communicate()
    assert tree_hash(built.output) == before
    assert temporaries(built.root)
    built()
    assert temporaries(built.root) == []
    assert tree_hash(built.output) != before


def test_two_builds_at_once(built: Builder) -> None:
    """The second ends with 5 and names the process of the first, which goes on unharmed."""
    first = start(built)
    command = [
        sys.executable,
        "-m",
        "tests.support.fakecli",
        "build",
        "--config",
        str(built.config),
    ]
    second = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert second.returncode == 5
    assert f"process {first.pid}" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    first.kill()
    first.communicate()
    assert subprocess.run(command, env=environment(), capture_output=True).returncode == 0


KILLED = """
import os, pathlib, signal, sys
left = int(sys.argv[2])
def deadly(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call
import sitegen.core.files
sitegen.core.files._exchange_names = deadly(sitegen.core.files._exchange_names)
os.fsync = deadly(os.fsync)
os.rmdir = deadly(os.rmdir)
os.unlink = deadly(os.unlink)
pathlib.Path.mkdir = deadly(pathlib.Path.mkdir)
pathlib.Path.write_bytes = deadly(pathlib.Path.write_bytes)
from tests.support.builders import Builder
Builder(pathlib.Path(sys.argv[1]))()
print(left)
"""


def test_kill_at_any_moment_of_rendering(built: Builder, tmp_path: Path) -> None:
    """Killed at every write, flush, exchange and removal: the old site or the new, never a mix."""
    built()
    new, old = INDEX.replace("Four", "4"), INDEX
    hashes = []
    for text in (new, old):
        write_page(built.config, text)
        built()
        hashes.append(tree_hash(built.output))
    command = [sys.executable, "-c", KILLED, str(built.config)]
    moment, seen = 1, set()
    while True:
        write_page(built.config, new)
        done = subprocess.run(
            [*command, str(moment)], env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert tree_hash(built.output) in hashes, moment
        seen.add(hashes.index(tree_hash(built.output)))
        built()
        assert temporaries(tmp_path) == [], moment
        assert tree_hash(built.output) == hashes[0], moment
        write_page(built.config, old)
        built()
        moment += 4  # neighbours are alike
    assert seen == {0, 1}
    assert moment > 10


def test_reader_leaves(built: Builder) -> None:
    """`sitegen build 2>&1 | head -1` stops without another word or a traceback."""
    command = f"{FAKE} {shlex.quote(str(built.config))} 2>&1 | head -1"
    shell = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        env=environment(FAKE_FAIL="second", FAKE_PAUSE="0.1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert shell.stderr == ""
    assert shell.stdout.splitlines() == ["rendering second: 5 steps"]
    assert shell.returncode == 1
    assert temporaries(built.root) == []


def test_nobody_reads_the_summary(built: Builder) -> None:
    """A closed standard output is no reason for a traceback."""
    built()
    command = f"{FAKE} {shlex.quote(str(built.config))} | true"
    shell = ["bash", "-c", command]
    done = subprocess.run(shell, env=environment(), capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RefusedError("it is damaged"), 3, "error: it is damaged\n"),
        (LockedError("later"), 5, "error: later\n"),
        (PlatformError("no disk"), 4, "error: no disk\n"),
        (OSError(28, "No space left on device", "/there"), 4, "error: /there: No space left"),
        (MemoryError(), 4, "error: out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
        (SystemExit(143), 143, "terminated"),
        (SystemExit(7), 7, ""),
        (SystemExit("words"), 1, ""),
        (click.UsageError("no such option"), 2, "Error: no such option"),
        (BrokenPipeError(), 1, ""),
    ],
)
def test_outcomes(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each kind of failure has its exit code and its words on standard error."""

    def fail() -> None:
        raise error

    assert outcome(fail) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(words)
    assert len(said.err.splitlines()) == (1 if words else 0)


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (3, 3), ("text", 0)])
def test_success(result: object, code: int) -> None:
    """A command that returns has succeeded, unless click returns an exit code."""
    assert outcome(lambda: result) == code


def outcome(command: Callable[[], object]) -> int:
    """Run a command as the process would, without ending it or catching its signals."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as stop:
            exits.run(command)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_ignored_signal_stays_ignored() -> None:
    """A run under nohup is not stopped by what nohup keeps away."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert outcome(lambda: os.kill(os.getpid(), signal.SIGINT)) == 0
    finally:
        signal.signal(signal.SIGINT, before)


EARLY = """
import os, signal, sys

wanted, config = sys.argv[1:]

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from sitegen.__main__ import main
sys.argv[1:] = ["build", "--config", config]
main()
"""


@pytest.mark.parametrize(
    "module", ["click", "sitegen.cli.main", "sitegen.build.pipeline", "pydantic", "jinja2"]
)
def test_interrupted_while_starting(built: Builder, module: str) -> None:
    """Ctrl-C while Python still reads the program: one line, 130, and no traceback."""
    command = [sys.executable, "-c", EARLY, module, str(built.config)]
    done = subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=hear_signals,
    )
    assert done.returncode == 130
    assert done.stderr == "interrupted; what was finished is kept\n"


WITHOUT = """
import sys

missing = sys.argv[1].split()

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
sys.argv[:] = ["sitegen", *sys.argv[2:]]
from sitegen.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("modules", "words", "packages"),
    [
        ("torch", ["sample", "mnist", "--output", "x.npz"], "torch"),
        ("torch", ["train", "x", "--data", "data"], "torch"),
        ("uvicorn", ["serve"], "uvicorn"),
        ("uvicorn", ["serve", "--offline"], "uvicorn"),
        ("torch", ["add", "x", "--checkpoint", "w.safetensors", "--preset", "mnist"], "torch"),
        ("watchfiles uvicorn", ["serve", "--offline"], "uvicorn watchfiles"),
        (
            "torch imageio imageio_ffmpeg ghp_import starlette uvicorn watchfiles",
            ["serve", "--offline"],
            "starlette uvicorn watchfiles",
        ),
        ("click", ["build"], "click"),
        ("markdown_it", ["build"], "markdown-it-py"),
    ],
)
def test_what_is_not_installed(
    tmp_path: Path, modules: str, words: list[str], packages: str
) -> None:
    """A machine that only renders lacks some packages: one line says which, and no traceback."""
    config = write_site(tmp_path)
    (tmp_path / "data").mkdir()
    save_file({"w": np.zeros((4, 4), np.float32)}, tmp_path / "w.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, modules, *words],
        env=environment(),
        cwd=config.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    verb, them = ("are", "them") if " " in packages else ("is", "it")
    names = packages.replace(" ", ", ")
    told = f"error: {names} {verb} not installed here, and this needs {them}: "
    told += f"`pip install {packages}`\n"
    assert (done.returncode, done.stderr) == (PlatformError.exit_code, told)
