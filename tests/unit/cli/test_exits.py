"""Every failure has its exit code and one line of words."""

import os
import signal
from collections.abc import Callable

import click
import pytest

from sitegen.cli.exits import run
from sitegen.core.errors import LockedError, PlatformError, RefusedError
from sitegen.core.signals import SIGNALS, Stopped


def interrupted_class() -> RuntimeError:
    """What Python 3.11 raises if Ctrl-C comes while it makes a class."""
    error = RuntimeError("Error calling __set_name__ on 'Field' instance 'count' in 'Spec'")
    error.__cause__ = Stopped(130)
    return error


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (interrupted_class(), 130, "interrupted"),
        (RefusedError("it is damaged"), 3, "error: it is damaged\n"),
        (LockedError("later"), 5, "error: later\n"),
        (PlatformError("no disk"), 4, "error: no disk\n"),
        (OSError(28, "No space left on device", "/there"), 4, "error: /there: No space left"),
        (MemoryError(), 4, "error: out of memory"),
        (SystemError("<import> error return without exception set"), 4, "error: out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
        (SystemExit(143), 143, "terminated"),
        (SystemExit(129), 129, "hung up"),
        (ModuleNotFoundError("no", name="torch"), 4, "error: torch is not installed"),
        (SystemExit(7), 7, ""),
        (SystemExit("words"), 1, "words"),
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

    assert exit_code(fail) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(words)
    assert len(said.err.splitlines()) == (1 if words else 0)


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (3, 3), ("text", 0)])
def test_success(result: object, code: int) -> None:
    """A command that returns has succeeded, unless click returns an exit code."""
    assert exit_code(lambda: result) == code


def exit_code(command: Callable[[], object]) -> int:
    """Run a command as the process would, without ending it or catching its signals."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        with pytest.raises(SystemExit) as stop:
            run(command)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_ignored_signal_stays_ignored() -> None:
    """What nohup keeps away stops no run; an error that is none of ours keeps its traceback."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert exit_code(lambda: os.kill(os.getpid(), signal.SIGINT)) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 // 0)
