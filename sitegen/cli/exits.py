"""End of a run: every failure has one message and an exit code, and signals end it cleanly.

A signal becomes an exception, so that every `with` block cleans up.
"""

import contextlib
import gc
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from sitegen.core.errors import PlatformError, SitegenError, describe_os_error
from sitegen.core.installed import memory_full, not_installed, not_loaded
from sitegen.core.signals import (
    HUNG_UP,
    INTERRUPTED,
    SIGNALS,
    TERMINATED,
    Stopped,
    catch_signals,
)
from sitegen.core.source import plain

_WORDS = {
    INTERRUPTED: "interrupted; finished work is kept",
    TERMINATED: "terminated; finished work is kept",
    HUNG_UP: "hung up; finished work is kept",
}


def run(command: Callable[[], object]) -> NoReturn:
    """Run a click command, and end the process with its exit code.

    Errors of the user or the machine are reported in one message. Any other exception is a bug and
    shows its traceback.
    """
    _open_closed_streams()
    catch_signals()
    code = outcome(command)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the exit code is decided
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a pipe without a reader
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    gc.freeze()  # skip the collection of objects at exit
    sys.exit(code)


def _open_closed_streams() -> None:
    """Send to /dev/null what goes to standard streams that the caller closed (`sitegen … >&-`).

    The descriptors 0 to 2 are taken, so that no file that is opened later gets one of them.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr) and all(map(_is_open, range(3))):
        return
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(handle, True)
    os.close(handle)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def outcome(command: Callable[[], object]) -> int:
    """Run a command, report its error if any, and return the exit code."""
    code: int | None = None

    def report(_kind: object, error: BaseException | None, _trace: object) -> bool:
        nonlocal code
        code = code if error is None else _exit_code(error)
        return code is not None  # bugs propagate

    with contextlib.ExitStack() as ending:
        ending.push(report)
        result = command()
        code = result if isinstance(result, int) else 0
    assert code is not None
    return code


def _exit_code(error: BaseException) -> int | None:
    """Report an error, and return its exit code; None if it is a bug."""
    if isinstance(error.__cause__, Stopped):  # up to Python 3.11, in a class that was being made
        error = error.__cause__
    if (lacking := not_installed(error)) is not None:  # click, perhaps
        return _say(f"error: {lacking}", PlatformError.exit_code)
    if isinstance(error, SitegenError):
        return _say(f"error: {error}", error.exit_code)
    from click import Abort, ClickException

    if isinstance(error, ClickException):
        words = io.StringIO()
        error.show(words)
        return _say(words.getvalue().rstrip("\n"), error.exit_code)
    if isinstance(error, KeyboardInterrupt | Abort):
        return _say(_WORDS[INTERRUPTED], INTERRUPTED)
    if isinstance(error, SystemExit) and isinstance(error.code, str):
        return _say(error.code, 1)
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1
        return _say(_WORDS[code], code) if code in _WORDS else code
    if isinstance(error, BrokenPipeError):  # the reader has ended, as `head` does
        return 1
    told = None
    if (full := memory_full(error)) is not None:
        told = f"{full}; close other programs, or ask for fewer or smaller samples"
    elif (lacking := not_loaded(error)) is not None:
        told = lacking
    elif isinstance(error, OSError):  # raised where no better message exists
        told = describe_os_error(error)
    return None if told is None else _say(f"error: {told}", PlatformError.exit_code)


def _say(line: str, code: int) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{plain(line)}\n")
        sys.stderr.flush()
    return code
