"""Entry point of `sitegen` and `python -m sitegen`."""

import gc
import os
import sys
import threading
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; every failure has one message and its exit code."""
    gc.set_threshold(100_000)  # imported modules stay; looking for garbage in them takes long
    try:
        from sitegen.cli.exits import SIGNALS, run
        from sitegen.core.signals import interrupt_on_signals

        interrupt_on_signals()
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        run(_command)
    except SystemExit as end:
        if end.code in SIGNALS and any(
            not thread.daemon and thread != threading.main_thread()
            for thread in threading.enumerate()
        ):
            # Python would wait for a thread in a long step of a network. Its bar, which hides the
            # cursor, has taken the place of sys.stderr.
            if sys.__stderr__ and sys.__stderr__.isatty():
                sys.__stderr__.write("\x1b[?25h")
                sys.__stderr__.flush()
            sys.stdout.flush()
            os._exit(int(end.code))
        raise


def _command() -> object:
    from sitegen.cli.main import cli

    return cli.main(prog_name="sitegen", standalone_mode=False)


if __name__ == "__main__":
    main()
