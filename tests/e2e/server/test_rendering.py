"""Figures are rendered in a process of their own: it is told what to do, and never outlives us."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sitegen.builder.context import BuildContext, BuildOptions, prepare
from sitegen.core.errors import PlatformError, TargetError
from sitegen.core.progress import Advance
from sitegen.server import rendering
from sitegen.server.rendering import Dropped, RenderedApart
from tests.support.builders import CPU, INDEX, children, environment, temporaries, write_page
from tests.support.fakecli import RENDER
from tests.support.paths import ROOT
from tests.support.previewing import wait_for
from tests.support.reporters import Silent

SECOND = '\n{{ trajectories("tiny", seed=3, id="second") }}\n'


class Steps(Silent):
    """A reporter that counts the steps, and drops the figure at one of them."""

    def __init__(self, drop: int = 0) -> None:
        super().__init__()
        self.drop, self.steps = drop, 0

    @contextmanager
    def rendering(self, title: str, steps: int) -> Iterator[Advance]:
        """Count."""

        def advance() -> None:
            self.steps += 1
            if self.steps == self.drop:
                raise Dropped

        yield advance


@pytest.fixture
def context(config: Path) -> BuildContext:
    """A site with two figures."""
    write_page(config, INDEX + SECOND)
    return prepare(config, BuildOptions(CPU))


@pytest.fixture
def apart(config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenderedApart]:
    """What renders its figures, with the fake renderer."""
    monkeypatch.setattr(rendering, "COMMAND", ["-m", "tests.support.fakecli", RENDER])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    before = {*children()}
    apart = RenderedApart(config, BuildOptions(CPU))
    yield apart
    apart.rest()
    assert {*children()} <= before


def process_of(apart: RenderedApart) -> "subprocess.Popen[str]":
    """The process that it has."""
    assert apart._process is not None
    return apart._process


def test_one_process_for_all_until_it_rests(
    context: BuildContext, apart: RenderedApart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures of a site come out of one process, dropped ones between them, with all steps."""
    monkeypatch.setenv("FAKE_PAUSE", "0.5")  # so that it hears that a figure is dropped in time
    first, second = context.figures
    report = Steps()
    (record,) = apart(context, first, report).values()
    assert report.steps == len(record.levels) == 5
    process = process_of(apart)
    with pytest.raises(Dropped):
        apart(context, second, Steps(drop=1))
    store = context.store()
    assert store.get(second.request_digest) is None
    apart(context, second, Steps())
    assert store.get(second.request_digest) is not None
    assert process_of(apart) is process
    apart.rest()
    assert process.returncode is not None
    assert temporaries(context.site.root) == []


def test_another_site_by_now(context: BuildContext, apart: RenderedApart) -> None:
    """What the pages do not ask for any more is no failure; a mistake in them is told."""
    first, second = context.figures
    write_page(context.site.root / "site.toml", INDEX)
    with pytest.raises(Dropped):
        apart(context, second, Steps())
    apart(context, first, Steps())
    write_page(context.site.root / "site.toml", "{{ nothing() }}")
    with pytest.raises(Exception, match=r"pages/index\.md:1: .*'nothing' is undefined"):
        apart(context, second, Steps())


def test_failures_have_words(
    context: BuildContext, apart: RenderedApart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A figure that fails, and a process that is killed: in words, and the next one goes well."""
    first, second = context.figures
    monkeypatch.setenv("FAKE_FAIL", second.figure.id)
    with pytest.raises(TargetError, match=r"index\.md:\d+: second: the third frame went wrong"):
        apart(context, second, Steps())
    monkeypatch.setenv("FAKE_FAIL", "")

    class Killer(Steps):
        def detail(self, line: str) -> None:
            """Say nothing."""

        @contextmanager
        def rendering(self, title: str, steps: int) -> Iterator[Advance]:
            os.kill(process_of(apart).pid, signal.SIGKILL)
            yield lambda: None

    with pytest.raises(PlatformError, match=r"was killed \(SIGKILL\), perhaps because memory is"):
        apart(context, first, Killer())
    apart(context, second, Steps())
    apart(context, first, Steps())


@pytest.mark.parametrize("deaf", ["", "yes"])
def test_stopped_from_another_thread(
    context: BuildContext, apart: RenderedApart, monkeypatch: pytest.MonkeyPatch, deaf: str
) -> None:
    """Deep in a frame that takes a minute, it leaves off at once, also if it hears no signal."""
    monkeypatch.setenv("FAKE_PAUSE", "60")
    monkeypatch.setenv("FAKE_DEAF", deaf)
    ended = list[BaseException]()

    def render() -> None:
        with pytest.raises(TargetError) as told:
            apart(context, context.figures[0], Steps())
        ended.append(told.value)

    thread = threading.Thread(target=render)
    thread.start()
    wait_for(lambda: list(context.site.root.rglob(".sitegen-tmp-*")), "rendering")
    started = time.monotonic()
    apart.stop()
    thread.join(30)
    assert ended
    assert time.monotonic() - started < 10
    assert "stopped" in str(ended[0])
    assert deaf or temporaries(context.site.root) == []


def test_it_does_not_outlive_who_asked(context: BuildContext, tmp_path: Path) -> None:
    """Killed as a whole, the one who asked leaves no process behind that goes on."""
    told: dict[str, object] = {"device": "cpu", "config": str(context.site.root / "site.toml")}
    told |= {"precision": "float32", "offline": False}
    ask = {"figure": context.figures[0].request_digest}
    command = [sys.executable, "-m", "tests.support.fakecli", RENDER, json.dumps(told)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=environment(FAKE_PAUSE="60"),
        text=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(ask) + "\n")
        process.stdin.flush()
        wait_for(lambda: list(context.site.root.rglob(".sitegen-tmp-*")), "rendering")
        process.stdin.close()
        assert process.wait(30) == 143
    assert temporaries(context.site.root) == []
