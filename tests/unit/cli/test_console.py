"""What a command shows: bars on a terminal, plain lines in a log, and silence when asked."""

import io
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import click
import pytest

from sitegen.cli.console import Console, PlainSteps, plain_training
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
    assert said.err == "rendering x: 3 steps\nrendering x: done in 0 s\n"
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


def test_silence_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes long is said where nothing else is; not when quiet, nor into a question."""
    said = threading.Event()
    monkeypatch.setattr("sitegen.cli.console.NOTICE_AFTER_S", 0.0)

    def say(line: str) -> None:
        click.echo(line)
        said.set()

    monkeypatch.setattr("sitegen.cli.console._say", say)
    with Console().slow_operation_notice("reading"):
        assert said.wait(30)
    assert capsys.readouterr().out == "reading …\n"
    monkeypatch.setattr("sitegen.cli.console.NOTICE_AFTER_S", 60.0)
    before = threading.active_count()
    console = Console()
    with console.slow_operation_notice("reading") as asking:
        assert threading.active_count() == before + 1

        def ask(question: str) -> str:
            waiting = console._notice
            assert waiting is None
            return question.upper()

        assert asking(ask)("what") == "WHAT"
        assert console._notice is not None
        console.note("something")
        assert console._notice is None
    with Console(quiet=True).slow_operation_notice("reading"):
        assert capsys.readouterr().out == "something\n"


def test_silence_is_broken_where_nobody_reads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard error that fails meanwhile makes no traceback: what is said next finds it out."""
    monkeypatch.setattr("sitegen.cli.console.NOTICE_AFTER_S", 0.0)

    def say(line: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("sitegen.cli.console._say", say)
    console = Console()
    with console.slow_operation_notice("reading"):
        assert console._notice is not None
        console._notice.join(30)
    assert capsys.readouterr() == ("", "")


def test_plain_lines_of_a_long_run() -> None:
    """A line every few seconds: step, loss, speed, and in two units at most how long is left."""
    seconds, lines = iter(range(0, 1000, 2)), list[str]()
    advance = PlainSteps("x", 6, lines.append, lambda: float(next(seconds))).advance
    for _ in range(6):
        advance()
    assert lines == [
        "x: 6 steps",
        "x: step 3 of 6, about 6 s left",
        "x: done in 12 s",
    ]
    now, said = [0.0], list[str]()
    show = plain_training("digits", said.append, lambda: now[0])
    for step in range(1, 101):
        now[0] = step * 0.7
        show(progress(step))
    assert [int(text.split()[2]) for text in said] == [1, 16, 31, 46, 61, 76, 91, 100]
    first = "digits: step 1 of 100, loss 0.1235, 64 images/s, about 99 s left"
    assert said[0] == first
    assert said[-1] == "digits: step 100 of 100, loss 0.1235, 64 images/s"
    show(progress(1200, 15_000))
    now[0] += 10
    show(progress(1201, 15_000))
    later = "digits: step 1,201 of 15,000, loss 0.1235, 64 images/s, about 3 h 50 min left"
    assert said[8:] == [later]
    for took, words in [
        (0.4, "0 s"),
        (99.4, "99 s"),
        (99.6, "2 min"),
        (5969, "99 min"),
        (5971, "1 h 40 min"),
        (11_100, "3 h 05 min"),
        (100 * 3600, "100 h 00 min"),
    ]:
        assert duration(took) == words


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
    return Progress(step, steps, 0.123456, 64.0, float(steps - step))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["digits: step 50 of 100, loss 0.1235, 64 images/s, about 50 s left"]),
        ({"terminal": True}, ["digits ━", " 50/100 loss 0.1235, 64 images/s, 50 s left"]),
        ({"terminal": True, "quiet": True}, []),
    ],
)
def test_training(
    options: dict[str, bool], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error: lines in a log, a bar with the same numbers on a terminal, or nothing."""
    with Console(**options).training("digits", 40, 100) as show:
        show(progress(50))
    out, err = capsys.readouterr()
    assert out == ""
    assert all(each in err for each in words)
    assert bool(err) == bool(words)
