"""Where `sitegen` and `python -m sitegen` start."""

import gc
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; every failure has one message and its exit code."""
    gc.set_threshold(100_000)  # what is imported stays; looking for garbage in it takes long
    try:
        from sitegen.cli.exits import run
        from sitegen.core.signals import interrupt_on_signals

        interrupt_on_signals()
    except KeyboardInterrupt:
        sys.exit(130)
    run(_command)


def _command() -> object:
    from sitegen.cli.main import cli

    return cli.main(prog_name="sitegen", standalone_mode=False)


if __name__ == "__main__":
    main()
