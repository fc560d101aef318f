"""Where `sitegen` and `python -m sitegen` start.

Signals are caught before anything slow is imported: Ctrl-C ends in one line also while Python is
still reading the program.
"""

from __future__ import annotations

from typing import NoReturn

from sitegen.cli.exits import run


def main() -> NoReturn:
    """Run the command line; every failure has one message and its exit code."""
    run(_command)


def _command() -> object:
    from sitegen.cli.main import cli

    return cli.main(prog_name="sitegen", standalone_mode=False)


if __name__ == "__main__":
    main()
