"""What a command shows: bars on a terminal, plain lines in a log, and silence when asked."""

import io
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sitegen.cli.console import Console
from sitegen.core.progress import duration
from sitegen.generative.training.train import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and keeps what it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._monkeypatch = monkeypatch

    def console(self) -> Console:
        """A console that finds it as standard error, from within the test's own call."""
        self._monkeypatch.setattr(sys, "stderr", self)
        return Console()

    def isatty(self) -> bool:
        """As a terminal."""
        return True

    def shown(self) -> str:
        """What was written, without colours and cursor movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue()).replace("\r", "\n")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal 80 columns wide."""
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    return Terminal(monkeypatch)


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A line at start and end, notes on standard output; only warnings stay when quiet."""
    with Console().rendering("rendering x", 3) as advance:
        for _ in range(3):
            advance()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "rendering x: 3 steps\nrendering x: 3 steps in 0 s\n"
    console = Console(quiet=True)
    with console.rendering("x", 1) as advance:
        advance()
    console.note("a note")
    console.detail("a detail")
    Console().detail("a detail")
    assert capsys.readouterr() == ("", "")
    for _ in range(2):
        console.warn("careful")
    assert console.warnings == 2
    Console().note("a note")
    Console(verbose=True).detail("a detail")
    told = ("a note\n", "warning: careful\nwarning: careful\na detail\n")
    assert capsys.readouterr() == told


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (99.6, "2 min"), (5971, "1 h 40 min"), (11_100, "3 h 05 min")],
)
def test_duration(seconds: float, text: str) -> None:
    """Two units at most."""
    assert duration(seconds) == text


def test_bars(terminal: Terminal) -> None:
    """Each is shown once, several threads have theirs, and a failure leaves the cursor shown."""
    console = terminal.console()
    for name in ("first [red]x[/red]", "second"):  # a title is no markup of rich's
        with console.rendering(name, 1) as advance:
            advance()
        terminal.write("|")
    assert "first [red]x[/red]" in terminal.shown().partition("|")[0]
    assert "first" not in terminal.shown().partition("|")[2]
    assert "second" in terminal.shown().partition("|")[2]

    def show(name: str) -> None:
        with console.rendering(name, 50) as advance:
            for _ in range(50):
                advance()

    names = [f"figure-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(show, names))
    for name in names:
        assert re.search(rf"{name} .* 50/50 00:00", terminal.shown())

    def fail() -> None:
        with console.rendering("x", 2):
            console.warn("careful")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert "warning: careful" in [line.strip() for line in terminal.shown().splitlines()]
    assert terminal.getvalue().rstrip("\n").endswith("\x1b[?25h")


def progress(step: int, steps: int = 100) -> Progress:
    """Where a run stands that takes a second a step."""
    return Progress(step, steps, 0.123456, 64.0)


def test_training(capsys: pytest.CaptureFixture[str], terminal: Terminal) -> None:
    """Lines in a log, a bar with the same numbers on a terminal, or nothing."""
    with Console(quiet=True).training("digits", 40, 100) as show:
        show(progress(50))
    assert capsys.readouterr() == ("", "")
    with Console().training("digits", 40, 100) as show:
        show(progress(100))
    assert "digits: step 100 of 100, loss 0.1235, 64 images/s" in capsys.readouterr().err
    with terminal.console().training("digits", 40, 100) as show:
        show(progress(50))
    assert re.search(r"digits: loss 0.1235, 64 images/s .* 50/100", terminal.shown())
