"""Figures are rendered in a process of their own, which is reused and never outlives its parent."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sitegen.builder.context import BuildContext, BuildOptions, prepare
from sitegen.config.loader import load_site
from sitegen.core import worker
from sitegen.core.errors import PlatformError, TargetError
from sitegen.core.progress import Advance
from sitegen.core.worker import UnexpectedError
from sitegen.server.rendering import Cancelled, SubprocessRenderer
from tests.support.builders import (
    CPU,
    INDEX,
    FakeRenderer,
    environment,
    temporaries,
    write_page,
)
from tests.support.paths import ROOT
from tests.support.previewing import WAIT_S, wait_for
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
                raise Cancelled

        yield advance


@pytest.fixture
def context(config: Path) -> BuildContext:
    """A site with two figures."""
    write_page(config, INDEX + SECOND)
    return prepare(load_site(config), BuildOptions(CPU))


Make = Callable[[FakeRenderer], SubprocessRenderer]


@pytest.fixture
def make(config: Path) -> Iterator[Make]:
    """Makes what renders its figures; its process has ended after the test."""
    made = list[SubprocessRenderer]()

    def make(renderer: FakeRenderer) -> SubprocessRenderer:
        made.append(SubprocessRenderer(config, BuildOptions(CPU), renderer))
        return made[-1]

    yield make
    for apart in made:
        pid = apart.pid
        apart.shutdown()
        assert pid is None or not Path(f"/proc/{pid}").exists()


def test_one_process_for_all_until_it_rests(context: BuildContext, make: Make) -> None:
    """One process renders all figures; one that is dropped ends it, and leaves no temporary."""
    apart = make(FakeRenderer(pause=0.2))
    first, second = context.figures
    report = Steps()
    (record,) = apart(context, first, report).values()
    assert report.steps == len(record.levels) == 5
    pid = apart.pid
    apart(context, first, Steps())
    assert apart.pid == pid
    with pytest.raises(Cancelled):
        apart(context, second, Steps(drop=1))
    assert apart.pid is None
    store = context.store()
    assert store.get(second.key) is None
    assert temporaries(context.site.root) == []
    apart(context, second, Steps())
    assert store.get(second.key) is not None
    apart.shutdown()
    assert apart.pid is None
    assert temporaries(context.site.root) == []


def test_another_site_by_now(context: BuildContext, make: Make) -> None:
    """A figure that the pages no longer have is no failure; a mistake in them is reported."""
    apart = make(FakeRenderer())
    first, second = context.figures
    write_page(context.site.root / "site.toml", INDEX)
    with pytest.raises(Cancelled):
        apart(context, second, Steps())
    apart(context, first, Steps())
    write_page(context.site.root / "site.toml", "{{ nothing() }}")
    with pytest.raises(Exception, match=r"pages/index\.md:1: .*'nothing' is undefined"):
        apart(context, second, Steps())


class Broken(FakeRenderer):
    """A renderer with a bug, in an exception that cannot be pickled."""

    def render_job(self, figure: object) -> None:  # type: ignore[override]
        """Fail."""

        class Local(Exception):
            pass

        raise Local("no such thing")


def test_failures_have_words(context: BuildContext, make: Make) -> None:
    """A figure that fails, a bug, and a process that is killed: in words; the next one works."""
    first, second = context.figures
    apart = make(FakeRenderer(fail=second.figure.id))
    with pytest.raises(TargetError, match=r"index\.md:\d+: second: the third frame went wrong"):
        apart(context, second, Steps())
    with pytest.raises(UnexpectedError, match="Local: no such thing"):
        make(Broken())(context, second, Steps())

    class Killer(Steps):
        def detail(self, line: str) -> None:
            """Say nothing."""

        @contextmanager
        def rendering(self, title: str, steps: int) -> Iterator[Advance]:
            assert apart.pid is not None
            os.kill(apart.pid, signal.SIGKILL)
            yield lambda: None

    with pytest.raises(PlatformError, match=r"was killed \(SIGKILL\), perhaps because memory is"):
        apart(context, first, Killer())
    apart(context, first, Steps())


@pytest.mark.parametrize("deaf", [False, True])
def test_stopped_from_another_thread(
    context: BuildContext, make: Make, deaf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deep in a frame that takes an hour, it stops at once, even if it ignores the signal.

    If it does not, it removes its temporary files in the time that it is given, here a longer one.
    """
    if not deaf:
        monkeypatch.setattr(worker, "TERMINATE_SECONDS", 20.0)
    apart, steps = make(FakeRenderer(pause=3600, soon=1, deaf=deaf)), Steps()
    ended = list[BaseException]()

    def render() -> None:
        with pytest.raises(TargetError) as told:
            apart(context, context.figures[0], steps)
        ended.append(told.value)

    thread = threading.Thread(target=render)
    thread.start()
    wait_for(lambda: steps.steps == 1, "a first frame")
    assert temporaries(context.site.root)
    apart.stop()
    thread.join(WAIT_S)
    assert ended
    assert "stopped" in str(ended[0])
    assert deaf or temporaries(context.site.root) == []


PARENT = """
import sys
from pathlib import Path
from sitegen.builder.context import BuildOptions, prepare
from sitegen.config.loader import load_site
from sitegen.server.rendering import SubprocessRenderer
from tests.support.builders import CPU, FakeRenderer
from tests.support.reporters import Silent

if __name__ == "__main__":
    config, options = Path(sys.argv[1]), BuildOptions(CPU)
    context = prepare(load_site(config), options)
    apart = SubprocessRenderer(config, options, FakeRenderer(pause=60))
    apart(context, context.figures[0], Silent())
"""


def test_it_does_not_outlive_its_parent(context: BuildContext, tmp_path: Path) -> None:
    """When the parent is killed, its process removes its temporaries and ends."""
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    command = [sys.executable, str(program), str(context.site.root / "site.toml")]
    root = context.site.root
    with subprocess.Popen(command, env=environment(PYTHONPATH=str(ROOT))) as process:
        wait_for(lambda: list(root.rglob(".sitegen/work/*")), "rendering")
        process.kill()
    wait_for(lambda: temporaries(root) == [], "its end")
