"""Asking on a terminal, where Ctrl-C is heard at every moment.

A signal that comes just before Python's own `input` begins to wait is noted, and acted on only
after the next key. So we wait for the line and for signals together, and read when it is there.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import Any

import click


def ask(words: str, kind: Any, offer: Any = None) -> Any:
    """Ask until the answer is one of click's type `kind`; Enter alone takes the offer, if any.

    Raises click.Abort where the terminal goes away, and what a signal raises.
    """
    wanted = click.types.convert_type(kind, offer)
    choices = f" ({', '.join(wanted.choices)})" if isinstance(wanted, click.Choice) else ""
    offered = "" if offer is None else f" [{offer}]"
    while True:
        answer = _line(f"{words}{choices}{offered}: ")
        if not answer and offer is None:
            continue
        try:
            return _number(wanted.convert(answer or offer, None, None))
        except click.UsageError as error:
            click.echo(f"Error: {error.message}")


def _number(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        raise click.UsageError("NaN is not a number to compute with.")
    return value


def _line(prompt: str) -> str:
    """Read a line from standard input."""
    try:
        click.echo(prompt, nl=False)
        with _signals() as signals:
            while sys.stdin not in select.select([sys.stdin, signals], [], [])[0]:
                os.read(signals, 64)
            return input()
    except BaseException as error:
        click.echo()  # what is said now begins a line
        if isinstance(error, EOFError):
            raise click.Abort from None
        raise


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A descriptor that can be read as soon as a signal has come."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
