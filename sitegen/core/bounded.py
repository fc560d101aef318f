"""Functions that run an author's templates, in a process with a limit on time.

Pages and templates are the author's own code. One that never ends must not take the command down
with it. Time is the time of a processor, so a busy machine changes nothing.
"""

import contextlib
import gc
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from sitegen.core import worker
from sitegen.core.errors import ConfigError, TargetError
from sitegen.core.worker import UnexpectedError, Worker, WorkerEnded, send

SECONDS = 20.0
"""Seconds of a processor that one page may take."""
_GRACE = 2.0
"""Seconds of a processor that the worker has to report the line, before the kernel kills it."""
_BLOCKED = 300.0
"""Seconds that the worker may take otherwise, to start or while other programs run."""


class TimeUp(Exception):
    """A page takes longer than `SECONDS`."""


def too_long() -> str:
    """Describe a page that takes too long."""
    return f"takes more than {SECONDS:g} s, and was stopped; a loop or a macro may never end"


def begin_page(name: str) -> None:
    """Note that the page `name` is rendered from here on; its time starts now."""
    if send(name):
        _set_timer(SECONDS)


def bounded(function: Callable[..., Any], *args: object) -> Any:
    """Return what the function returns in the worker; it calls `begin_page` for each page.

    Raises ConfigError that names the page, and the line where that is known, for a page that takes
    too long; TargetError after `stop`; else as `Worker.call`.
    """
    page = "the pages"

    def note(name: str) -> None:
        nonlocal page
        page = name

    stopped = _stops
    try:
        return _worker.call(_limited, function, *args, receive=note, timeout=SECONDS + _BLOCKED)
    except TimeoutError:
        raise ConfigError(f"{page}: {too_long()}") from None
    except UnexpectedError as error:
        error.args = (f"{page}: {error}",)
        raise
    except WorkerEnded as error:
        if stopped != _stops:
            raise TargetError(f"{page}: rendering was stopped") from None
        if "SIGVTALRM" in error.cause:
            raise ConfigError(f"{page}: {too_long()}") from None
        words = f"the process that rendered it {error.cause}; it may need less memory or nesting"
        raise ConfigError(f"{page}: {words}") from None


def stop() -> None:
    """Stop what `bounded` is running, from any thread."""
    global _stops
    _stops += 1
    _worker.stop()


def close() -> None:
    """End the worker, if there is one."""
    _worker.close()


def _limited(function: Callable[..., Any], *args: object) -> Any:
    _set_timer(SECONDS)
    try:
        return function(*args)
    except TimeUp:
        signal.raise_signal(signal.SIGVTALRM)  # ends this process, as the kernel would
        raise
    finally:
        _set_timer(0)


def _set_timer(seconds: float) -> None:
    """Raise TimeUp after seconds of a processor, and let the kernel end what does not hear that.

    0 ends both.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds + _GRACE if seconds else 0)


def _raise_time_up(_number: int, _frame: FrameType | None) -> None:
    raise TimeUp


def _set_limits() -> None:
    """Let SIGPROF raise TimeUp, and other signals end the process without a core dump.

    An exception is lost where it is raised in a callback of the garbage collector, so those that
    were registered before a fork are removed.
    """
    gc.callbacks.clear()
    for name in ("SIGTERM", "SIGHUP", "SIGVTALRM"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, _raise_time_up)
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


_worker = Worker(_set_limits, lambda: worker.start_method())
_stops = 0
