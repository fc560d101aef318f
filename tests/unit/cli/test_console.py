"""What a command shows: bars on a terminal, plain lines in a log, and silence when asked."""

from __future__ import annotations

import io
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sitegen.cli.console import Console, plain_steps


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


def test_streams(capsys: pytest.CaptureFixture[str]) -> None:
    """Notes go to standard output, warnings to standard error, and warnings are counted."""
    console = Console()
    console.note("a note")
    console.warn("careful")
    console.warn("very careful")
    said = capsys.readouterr()
    assert said.out == "a note\n"
    assert said.err == "warning: careful\nwarning: very careful\n"
    assert console.warnings == 2


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Not a terminal: a line at the start and one at the end, no control characters."""
    with Console().rendering("rendering x", 3) as advance:
        for _ in range(3):
            advance()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "rendering x: 3 steps\nrendering x: done in 0 s\n"


def test_plain_lines_of_a_long_run() -> None:
    """Every five seconds: which step of how many, and about how long it will take."""
    seconds, lines = iter(range(0, 1000, 2)), list[str]()
    advance = plain_steps("x", 6, lines.append, clock=lambda: float(next(seconds)))
    for _ in range(6):
        advance()
    assert lines == [
        "x: 6 steps",
        "x: step 3 of 6, about 6 s left",
        "x: done in 12 s",
    ]


def test_quiet_and_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    """Progress, notes and details can be left out; warnings cannot. Details must be asked for."""
    console = Console(quiet=True)
    with console.rendering("x", 1) as advance:
        advance()
    console.note("a note")
    console.detail("a detail")
    Console().detail("a detail")
    assert capsys.readouterr() == ("", "")
    console.warn("careful")
    Console(verbose=True).detail("a detail")
    assert capsys.readouterr() == ("", "warning: careful\na detail\n")


@pytest.mark.parametrize("width", [40, 28])
def test_narrow_terminal(terminal: Terminal, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is longer than the terminal; the title is cut, the steps and the time are whole."""
    monkeypatch.setenv("COLUMNS", str(width))
    with terminal.console().rendering("rendering church-128-shared-initial-state", 1000) as advance:
        for _ in range(1000):
            advance()
    lines = [line for line in terminal.shown().splitlines() if line.strip()]
    assert max(map(len, lines)) <= width
    assert all(line.startswith("rendering") and "…" in line for line in lines)
    assert re.search(r"1000/1000 \d\d:\d\d", lines[-1])
    moves_up = re.findall(r"\x1b\[1A", terminal.getvalue())
    assert moves_up == []  # each step is drawn in one and the same line


def test_titles_are_not_markup(terminal: Terminal) -> None:
    """What looks like rich's markup is shown as it is."""
    with terminal.console().rendering("rendering [red]x[/red]", 1) as advance:
        advance()
    assert "rendering [red]x[/red]" in terminal.shown()


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colours(
    terminal: Terminal, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With NO_COLOR nothing is coloured; a terminal that cannot move its cursor gets lines."""
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    with terminal.console().rendering("x", 2) as advance:
        advance()
    coloured = re.compile(r"\x1b\[[0-9;]*[345]\d[0-9;]*m")
    assert coloured.search(terminal.getvalue())
    terminal.truncate(0)
    monkeypatch.setenv(variable, value)
    with terminal.console().rendering("x", 2) as advance:
        advance()
    assert not coloured.search(terminal.getvalue())
    assert ("\x1b" in terminal.getvalue()) is (variable == "NO_COLOR")


def test_bars_one_after_the_other(terminal: Terminal) -> None:
    """Each is shown once, under the ones before it; a finished one is not drawn again."""
    console = terminal.console()
    for name in ("first", "second"):
        with console.rendering(name, 1) as advance:
            advance()
        terminal.write("|")
    assert "first" in terminal.shown().partition("|")[0]
    assert "first" not in terminal.shown().partition("|")[2]
    assert "second" in terminal.shown().partition("|")[2]


def test_bars_at_the_same_time(terminal: Terminal) -> None:
    """Several threads have a bar each."""
    console = terminal.console()

    def show(name: str) -> None:
        with console.rendering(name, 50) as advance:
            for _ in range(50):
                advance()

    names = [f"figure-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(show, names))
    for name in names:
        assert re.search(rf"{name} .* 50/50 00:00", terminal.shown())


def test_bar_goes_away_on_failure(terminal: Terminal) -> None:
    """An error leaves the cursor visible and the display stopped."""
    console = terminal.console()

    def fail() -> None:
        with console.rendering("x", 2) as advance:
            advance()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert terminal.getvalue().rstrip("\n").endswith("\x1b[?25h")


def test_warning_beside_a_bar(terminal: Terminal) -> None:
    """A warning is a line of its own, not a part of the bar."""
    console = terminal.console()
    with console.rendering("x", 1) as advance:
        console.warn("careful")
        advance()
    assert "warning: careful" in [line.strip() for line in terminal.shown().splitlines()]
