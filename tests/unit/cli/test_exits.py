"""Every failure has its exit code and one line of words."""

from collections.abc import Callable
from unittest.mock import Mock

import click
import pytest

from sitegen.cli.exits import run
from sitegen.core.errors import LockedError, PlatformError, RefusedError
from sitegen.core.signals import Interrupted


def aborted(cause: BaseException) -> click.Abort:
    """Return what click makes of an interrupt."""
    error = click.Abort()
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (aborted(Interrupted(15)), 143, "terminated"),
        (ImportError("no libGL"), 4, "error: a package cannot be loaded: no libGL"),
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
    """Run a command as the process would, without ending it."""
    with pytest.raises(SystemExit) as stop:
        run(command)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_bug() -> None:
    """An error that is none of ours keeps its traceback."""
    for error in (ZeroDivisionError(), RuntimeError("odd"), ModuleNotFoundError(name="sitegen.x")):
        with pytest.raises(type(error)):
            run(Mock(side_effect=error))
