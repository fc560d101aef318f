"""Questions on a terminal: asked again until answered, and left at once by Ctrl-C."""

from __future__ import annotations

import os
import pty
import sys

import pytest

from tests.support.builders import environment

ASK = """
import sys
from pathlib import Path
import click
from sitegen.cli.asking import ask
from sitegen.cli.exits import run
kinds = {"path": click.Path(exists=True, path_type=Path), "float": click.FloatRange(0, 1)}
kinds["choice"] = click.Choice(["ihdm", "ddpm"])
run(lambda: print("got", ask("which", kinds.get(sys.argv[1], int), *sys.argv[2:])))
"""


def talk(words: list[str], *answers: str) -> tuple[int, str]:
    """Run a question on a terminal; an answer a prompt. The exit code and what was shown."""
    told, left = [b""], list(answers)

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 1024)
        told[0] += data
        if data.endswith(b": ") and left:
            os.write(descriptor, left.pop(0).encode())
        return data

    for key, value in environment().items():
        os.environ.setdefault(key, value)
    status = pty.spawn([sys.executable, "-c", ASK, *words], read)
    assert not left
    return os.waitstatus_to_exitcode(status), told[0].decode()


@pytest.mark.parametrize(
    ("words", "answers", "got"),
    [
        (["path"], ["not-there\n", "\n", "/\n"], "/"),
        (["int", "7"], ["x\n", "\n"], "7"),
        (["float"], ["nan\n", "2\n", "0.5\n"], "0.5"),
        (["choice"], ["none\n", "ddpm\n"], "ddpm"),
    ],
)
def test_asked_until_it_is_answered(words: list[str], answers: list[str], got: str) -> None:
    """A wrong answer is told, and the question comes again."""
    code, told = talk(words, *answers)
    assert code == 0
    assert told.endswith(f"got {got}\r\n")


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_left_by_a_key(key: str) -> None:
    """Ctrl-C and Ctrl-D in the moment in which the prompt appears: one line, and 130."""
    for _ in range(8):
        code, told = talk(["int"], key)
        assert code == 130
        assert told.splitlines()[1:] == ["interrupted; what was finished is kept"]
