"""Functions that run in another process, which can be stopped at any time.

The process starts with the first call and is reused by the next ones. Arguments, messages and
results are pickled; an error crosses as its fields, so that classes of plug-ins need not be
pickled.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any

from sitegen.core.errors import (
    ConfigError,
    PlatformError,
    SitegenError,
    describe_os_error,
    error_class,
)
from sitegen.core.installed import import_fault, memory_full
from sitegen.core.source import raised_at

TERMINATE_SECONDS = 0.8
"""Seconds that a worker has to remove its temporary files before it is killed."""


class WorkerEnded(Exception):
    """The process ended before it answered; `code` is its exit code, negative for a signal."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"ended with exit code {code}")
        self.code = code

    @property
    def cause(self) -> str:
        """The signal or the exit code, in words."""
        if self.code is not None and self.code < 0:
            return f"was killed ({signal.Signals(-self.code).name})"
        return f"ended with exit code {self.code}"


class UnexpectedError(Exception):
    """An exception in the worker that is not a SitegenError; its traceback is a note."""


class Worker:
    """Runs functions in a process. `setup` is called there first.

    method: returns how to start the process, "fork" or "spawn"
    """

    def __init__(self, setup: Callable[[], None], method: Callable[[], str]) -> None:
        self._setup, self._method = setup, method
        self._busy = threading.Lock()
        self._process: Any = None
        self._pipe: Any = None

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return None if self._process is None else self._process.pid

    def call(
        self,
        function: Callable[..., Any],
        *args: object,
        receive: Callable[[Any], None] = lambda message: None,
        timeout: float | None = None,
    ) -> Any:
        """Return what the function returns in the worker.

        receive: called with each message that the function passes to `send`
        timeout: seconds to wait for the next message or the result

        Raises SitegenError with the exit code and words of the one raised there, UnexpectedError
        for other exceptions, TimeoutError, and WorkerEnded. After all but the first two, and after
        an exception of `receive`, the process is stopped.
        """
        with self._busy, contextlib.ExitStack() as unanswered:
            pipe = self._started()
            unanswered.callback(self._end)
            try:
                pipe.send((function, args))
                while pipe.poll(timeout):
                    kind, value = pipe.recv()
                    if kind == "message":
                        receive(value)
                        continue
                    unanswered.pop_all()
                    if kind == "result":
                        return value
                    raise _exception(*value)
            except (EOFError, ConnectionError):
                raise WorkerEnded(self._exit_code()) from None
            raise TimeoutError

    def stop(self, *, tidy: bool = False) -> None:
        """Stop the process from any thread, without waiting for it.

        tidy: let it remove its temporary files first
        """
        process = self._process
        if process is None:
            return
        if not tidy:
            process.kill()
            return
        process.terminate()
        killed = threading.Timer(TERMINATE_SECONDS, process.kill)
        killed.daemon = True
        killed.start()

    def close(self) -> None:
        """End the process, and wait for its end; not while a call is running."""
        with self._busy:
            self._end()

    def _started(self) -> Any:
        if self._pipe is not None and self._process.is_alive():
            return self._pipe
        self._end()
        context: Any = multiprocessing.get_context(self._method())
        try:
            pipe, other = context.Pipe()
            process = context.Process(target=_work, args=(other, pipe, self._setup))
            with _inherited():
                process.start()
        except BrokenPipeError:  # of the output, which is flushed first
            raise
        except OSError as error:
            raise PlatformError(
                f"no process can be started: {error.strerror}; close other programs, or raise the "
                "limits (`ulimit -u`, `ulimit -n`)"
            ) from None
        other.close()
        self._process, self._pipe = process, pipe
        Finalize(None, self._end, exitpriority=1)  # with this process, which may be a worker itself
        return pipe

    def _exit_code(self) -> int | None:
        self._process.join(TERMINATE_SECONDS)
        code: int | None = self._process.exitcode
        return code

    def _end(self) -> None:
        process, self._process = self._process, None
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.terminate()
            process.join(TERMINATE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()


@contextlib.contextmanager
def _inherited() -> Iterator[None]:
    """Block SIGINT, which is for the parent only, and imports from the current folder."""
    mask = getattr(signal, "pthread_sigmask", None)  # Windows has none
    blocked = mask(signal.SIG_BLOCK, {signal.SIGINT}) if mask else None
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if mask:
            mask(signal.SIG_SETMASK, blocked)
        if before is None:
            del os.environ["PYTHONSAFEPATH"]


_sender: "Connection[Any, Any] | None" = None
"""The pipe to the parent, in a worker."""


def send(message: object) -> bool:
    """Send a message to the parent; return False in a process that is not a worker."""
    if _sender is None:
        return False
    _sender.send(("message", message))
    return True


def _work(pipe: "Connection[Any, Any]", other: "Connection[Any, Any]", setup: Any) -> None:
    """Answer calls until the parent closes its end of the pipe."""
    global _sender
    other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    setup()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _sender = pipe
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            function, args = pipe.recv()
            with contextlib.ExitStack() as call:
                call.push(lambda _kind, error, _trace: _answered(pipe, error))
                pipe.send(("result", function(*args)))


def _answered(pipe: "Connection[Any, Any]", error: BaseException | None) -> bool:
    """Send an exception of a call, unless it ends this process."""
    if not isinstance(error, Exception) or isinstance(error, ConnectionError):
        return False
    pipe.send(("error", _failure(error)))
    return True


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _failure(error: Exception) -> tuple[type[Exception], str, tuple[object, ...]]:
    """Return an exception as its class in `core.errors`, its message, and its problems or trace."""
    if isinstance(error, SitegenError):
        problems = getattr(error, "problems", ())
        plain = tuple(str(each) if isinstance(each, Exception) else each for each in problems)
        return error_class(error), str(error), plain
    if (words := import_fault(error) or memory_full(error)) is not None:
        return PlatformError, words, ()
    if isinstance(error, OSError):
        return PlatformError, describe_os_error(error), ()
    trace = "".join(traceback.format_exception(error))
    return UnexpectedError, f"{type(error).__name__}: {error}{raised_at(error)}", (trace,)


def _exception(kind: type[Exception], message: str, details: tuple[object, ...]) -> Exception:
    error = kind(message)
    if isinstance(error, ConfigError):
        error.problems = details
    elif isinstance(error, UnexpectedError):
        error.add_note(str(details[0]))
    return error
