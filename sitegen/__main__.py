"""Where `sitegen` and `python -m sitegen` start.

Signals are caught before anything else is imported, also of Python's own: Ctrl-C ends in one line
while the program is still being read. Before that there is only Python's start, which is not ours.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` would read `enum` first, for long
import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # which spares us `typing`
    from types import FrameType
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; every failure has one message and its exit code."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _leave)
    from sitegen.cli.exits import run

    run(_command)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """End at once; nothing has been begun yet."""
    os.write(2, b"interrupted; finished work is kept\n")
    os._exit(128 + number)


def _command() -> object:
    import gc

    gc.set_threshold(100_000)  # what is imported stays; looking for garbage in it takes long
    from sitegen.cli.main import cli

    return cli.main(prog_name="sitegen", standalone_mode=False)


if __name__ == "__main__":
    main()
