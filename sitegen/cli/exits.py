"""End of a run: every failure has one message and an exit code."""

import io
import sys
from collections.abc import Callable
from typing import NoReturn

import click

from sitegen.core.errors import PlatformError, SitegenError
from sitegen.core.installed import import_fault, memory_full
from sitegen.core.source import plain

SIGNALS = {130: "interrupted", 143: "terminated", 129: "hung up"}
"""Words for the exit codes of signals."""

_REPORTED = (
    *(SitegenError, click.ClickException, click.Abort, KeyboardInterrupt, SystemExit),
    *(ImportError, MemoryError, OSError, RuntimeError, SystemError),
)
"""Exceptions that may end a run; those of the second line are bugs if `describe` has no words."""


def run(command: Callable[[], object]) -> NoReturn:
    """Run a click command, and end the process with its exit code.

    Errors of the user or the machine are reported in one message. Any other exception is a bug and
    shows its traceback.
    """
    # click reports its own errors with exit code 1 for Ctrl-C, so its standalone mode is off.
    try:
        result = command()
        code, message = result if isinstance(result, int) else 0, ""
    except _REPORTED as error:
        if (ending := describe(error)) is None:
            raise
        code, message = ending
    if message:
        click.echo(plain(message), err=True)
    sys.exit(code)


def describe(error: BaseException) -> tuple[int, str] | None:
    """Return the exit code and the message for an exception; None if it is a bug."""
    if isinstance(error, SitegenError):
        return error.exit_code, f"error: {error}"
    if isinstance(error, click.ClickException):
        message = io.StringIO()
        error.show(message)
        return error.exit_code, message.getvalue().rstrip("\n")
    if isinstance(error, click.Abort):  # which click makes of KeyboardInterrupt
        error = error.__cause__ or KeyboardInterrupt()
    if isinstance(error, KeyboardInterrupt):
        error = SystemExit(128 + (error.args[0] if error.args else 2))
    if isinstance(error, SystemExit):
        if isinstance(error.code, str):
            return 1, error.code
        code = error.code or 0
        return code, f"{SIGNALS[code]}; finished work is kept" if code in SIGNALS else ""
    fault = import_fault(error)
    if (full := memory_full(error)) is not None:
        fault = f"{full}; close other programs, or ask for fewer or smaller samples"
    elif isinstance(error, OSError):  # raised where no better message exists
        path = f"{error.filename}: " if error.filename else ""
        fault = f"{path}{error.strerror or error}; check the file and the disk"
    return (PlatformError.exit_code, f"error: {fault}") if fault else None
