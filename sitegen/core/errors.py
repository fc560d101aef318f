"""Errors that users see, and the exit code of each class.

    SitegenError            base class; never raised itself
    ├── TargetError      1  a figure, a page or another target could not be made
    │   └── PlugInError  1  because code of another package or the author failed
    ├── ConfigError      2  the command line, site.toml or a page asks for something impossible
    ├── RefusedError     3  an input is unsafe, damaged or does not fit
    ├── PlatformError    4  the machine lacks something: an encoder, disk, memory, a device
    ├── LockedError      5  another sitegen is running in this site
    └── PublishError     6  publishing was refused

A message says what is wrong, where (file and line if there is one) and what to do about it.
"""

from collections.abc import Sequence

FAULTS = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError),
    *(MemoryError, OSError, RuntimeError, SyntaxError, TypeError, ValueError),
)
"""Exceptions of Python that faulty code or data raise, or a machine that lacks something."""


class SitegenError(Exception):
    """Base class of all errors that are shown to the user without a traceback."""

    exit_code = 1


class TargetError(SitegenError):
    """A figure, page or other target could not be made."""

    exit_code = 1


class PlugInError(TargetError):
    """Code of another package, or the author's, failed; `trace` is its traceback if known."""

    trace: str = ""


class ConfigError(SitegenError):
    """The command line, `site.toml` or a page asks for something impossible.

    `problems` lists the individual problems, if they are known.
    """

    exit_code = 2
    problems: tuple[object, ...] = ()


class RefusedError(SitegenError):
    """An input file is unsafe, damaged or does not belong to this site."""

    exit_code = 3


class PlatformError(SitegenError):
    """The machine lacks something: an encoder, disk space, memory, a device."""

    exit_code = 4


class LockedError(SitegenError):
    """Another sitegen holds the lock of this site."""

    exit_code = 5


class PublishError(SitegenError):
    """Publishing was refused before anything was changed."""

    exit_code = 6


def error_class(error: SitegenError) -> type[SitegenError]:
    """Return the class of this module that an error belongs to, the nearest one.

    A subclass from elsewhere, such as a plug-in, may take other arguments than a message.
    """
    return next(parent for parent in type(error).__mro__ if parent.__module__ == __name__)


def with_message(error: SitegenError, message: str) -> SitegenError:
    """Return an error of the same class of this module with another message."""
    return error_class(error)(message)


def together(errors: Sequence[SitegenError]) -> SitegenError:
    """Return one error with the messages of all, a line each, and the class of the first."""
    if len(errors) == 1:
        return errors[0]
    return with_message(errors[0], "\n".join(map(str, errors)))
