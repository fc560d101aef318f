"""Progress of a training run: plain lines at a calm pace, a bar on a terminal."""

from __future__ import annotations

import pytest

from sitegen.cli.train_view import line, plain_lines, training_shown
from sitegen.core.progress import duration
from sitegen.ihdm.training.train import Progress


def progress(step: int, steps: int = 100) -> Progress:
    """Where a run stands that takes a second a step."""
    return Progress(step, steps, 0.123456, 64.0, float(steps - step))


def test_line() -> None:
    """Step of steps, loss, images a second, time left; at the end none is left."""
    assert line(progress(1200, 15_000)) == (
        "step 1,200 of 15,000, loss 0.1235, 64 images/s, about 3 h 50 min left"
    )
    assert line(progress(100)) == "step 100 of 100, loss 0.1235, 64 images/s"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (99.4, "99 s"),
        (99.6, "2 min"),
        (5969, "99 min"),
        (5971, "1 h 40 min"),
        (11_100, "3 h 05 min"),
        (100 * 3600, "100 h 00 min"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    """Two units at most."""
    assert duration(seconds) == words


def test_plain_lines_are_ten_seconds_apart() -> None:
    """The first and the last progress are told at once, the rest every ten seconds."""
    now, said = [0.0], list[str]()
    show = plain_lines("digits", said.append, lambda: now[0])
    for step in range(1, 101):
        now[0] = step * 0.7
        show(progress(step))
    steps = [int(text.split()[2]) for text in said]
    assert steps == [1, 16, 31, 46, 61, 76, 91, 100]
    assert all(text.startswith("digits: step ") for text in said)


def test_plain_lines_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal there are lines and nothing that moves."""
    with training_shown("digits", 0, 100, terminal=False) as show:
        show(progress(1))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"digits: {line(progress(1))}\n"


def test_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal gets a bar with the same numbers."""
    with training_shown("digits", 40, 100, terminal=True) as show:
        show(progress(50))
    out, err = capsys.readouterr()
    assert out == ""
    for words in ("digits", "50/100", "loss 0.1235", "64 images/s", "50 s left"):
        assert words in err


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet(capsys: pytest.CaptureFixture[str], terminal: bool) -> None:
    """Nothing is shown where nothing should be."""
    with training_shown("digits", 0, 100, terminal=terminal, quiet=True) as show:
        show(progress(1))
    assert capsys.readouterr() == ("", "")
