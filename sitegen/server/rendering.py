"""Figures are rendered in a process of their own, which ends when there is nothing to render.

So the preview holds no model and no torch but while it renders. The process (this file, run as a
program) is told in lines of JSON on its input which figures are wanted, and tells on its output how
far it is. It ends when its input does, so it does not outlive the preview.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn, Protocol

from sitegen.builder.context import BuildContext, BuildOptions, Records, prepare
from sitegen.builder.executor import Renderer, RendererFactory
from sitegen.builder.pipeline import render_missing
from sitegen.builder.plan import PlannedFigure
from sitegen.core import errors
from sitegen.core.compute import ComputeTarget
from sitegen.core.errors import PlatformError, SitegenError, TargetError, error_class
from sitegen.core.installed import memory_full, not_installed
from sitegen.core.progress import Advance, Reporter
from sitegen.core.signals import catch_signals
from sitegen.models.registry import ModelSource


class Rendering(Protocol):
    """Renders figures into the store of a site."""

    def __call__(self, context: BuildContext, planned: PlannedFigure, report: Reporter) -> Records:
        """Render one; the lock of the site is held. Dropped from `report` makes it leave off.

        Raises as `render_missing` does.
        """

    def stop(self) -> None:
        """Leave off soon, whatever is under way; from any thread."""

    def rest(self) -> None:
        """Let go of what it holds; nothing is under way."""


GRACE_S = 0.8
"""How long a process that is not wanted any more has to tidy up."""

COMMAND = ["-P", "-m", "sitegen.server.rendering"]
"""What Python is to run for it."""


class Dropped(Exception):
    """What is being rendered is not wanted any more."""


class RenderedHere:
    """Rendering in this process, which keeps the models that it has loaded."""

    def __init__(self, renderer: RendererFactory) -> None:
        self._renderer = _KeptRenderer(renderer)

    def __call__(self, context: BuildContext, planned: PlannedFigure, report: Reporter) -> Records:
        """Render a figure."""
        options = replace(context.options, only=(), strict=False)
        alone = replace(context, figures=(planned,), options=options)
        return render_missing(alone, {}, self._renderer, report)

    def stop(self) -> None:
        """It leaves off at the next frame, when the report says so."""

    def rest(self) -> None:
        """Keep everything."""


class RenderedApart:
    """Rendering in a process of its own for the site of `config`."""

    def __init__(self, config: Path, options: BuildOptions) -> None:
        self._about = {"config": str(config.absolute()), "offline": options.offline}
        self._about |= vars(options.compute_target)
        self._process: subprocess.Popen[str] | None = None
        self._unwanted: subprocess.Popen[str] | None = None

    def __call__(self, context: BuildContext, planned: PlannedFigure, report: Reporter) -> Records:
        """Render a figure, and find it in the store."""
        process = self._process = self._process or _started(self._about)
        with contextlib.ExitStack() as unless_done:
            unless_done.callback(self.rest)
            _ask(process, {"figure": planned.request_digest})
            done = _followed(process, report)
            if done is None:
                raise _stopped() if process is self._unwanted else _ended(process)
            unless_done.pop_all()
        record = context.store(report.warn).get(planned.request_digest) if done else None
        if record is None:  # not wanted any more, here or there
            raise Dropped
        return {planned.request_digest: record}

    def stop(self) -> None:
        """End the process, without waiting for it.

        While it imports a module in C, that module's code may swallow what its signal raises.
        """
        if (process := self._process) is not None:
            self._unwanted = process
            process.terminate()
            killed = threading.Timer(GRACE_S, process.kill)
            killed.daemon = True
            killed.start()

    def rest(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _started(about: Mapping[str, object]) -> "subprocess.Popen[str]":
    ways = os.pathsep.join([_PACKAGES, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        return subprocess.Popen(
            [sys.executable, *COMMAND, json.dumps(about)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": ways},
            text=True,
            start_new_session=True,  # Ctrl-C is for us, who then end it
        )
    except OSError as error:
        raise PlatformError(
            f"no process can be started to render in: {error.strerror}; close other programs, or "
            "raise the limit (`ulimit -u`)"
        ) from None


_PACKAGES = str(Path(__file__).parents[2])


def _ask(process: "subprocess.Popen[str]", words: Mapping[str, object]) -> None:
    """Write a line; a process that has ended takes none, as is seen when it answers nothing."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.write(json.dumps(words) + "\n")
        process.stdin.flush()


def _followed(process: "subprocess.Popen[str]", report: Reporter) -> bool | None:
    """Tell what a process tells of a figure, to its end: whether it is done, None where it broke.

    Where `report` drops the figure, the process is told so, and asked no more.
    """
    assert process.stdout is not None
    wanted = True
    with contextlib.ExitStack() as bars:
        steps: list[Advance] = []
        for line in process.stdout:
            ((what, value),) = json.loads(line).items()
            if what in ("done", "dropped"):
                return what == "done" and wanted
            if what == "error":
                raise getattr(errors, value[0])(value[1])
            if wanted:
                try:
                    _told(what, value, report, steps, bars)
                except Dropped:
                    wanted = False
                    _ask(process, {"drop": True})
    return None


def _told(
    what: str, value: Any, report: Reporter, steps: list[Advance], bars: contextlib.ExitStack
) -> None:
    """Tell the report one thing; `steps` has what shows a step of the last figure."""
    if what == "steps":
        steps[:] = [bars.enter_context(report.rendering(*value))]
    elif what == "advance":
        steps[0]()
    else:
        getattr(report, what)(value)


def _stopped() -> SitegenError:
    return TargetError("the process that rendered was stopped")


def _ended(process: "subprocess.Popen[str]") -> SitegenError:
    code = process.wait()
    if code < 0:
        name = signal.Signals(-code).name
        return PlatformError(
            f"the process that rendered was killed ({name}), perhaps because memory is full; close "
            "other programs, or ask for fewer or smaller samples"
        )
    return TargetError(f"the process that rendered ended with exit code {code}, see the terminal")


class _KeptRenderer:
    """Makes a renderer, and keeps it with its loaded models while their files stay the same."""

    def __init__(self, make: RendererFactory) -> None:
        self._make = make
        self._of: object = None
        self._renderer: Renderer | None = None

    def __call__(
        self, sources: Mapping[str, ModelSource], compute_target: ComputeTarget
    ) -> Renderer:
        here = {name: each for name, each in sources.items() if each.available}.items()
        digests = {n: (m.card.digest, m.weights_sha256, m.prior_sha256, m.weights) for n, m in here}
        of = compute_target, digests
        if self._renderer is None or of != self._of:
            self._renderer = self._of = None  # let go of the old models first
            self._renderer, self._of = self._make(sources, compute_target), of
        return self._renderer


class _Telling:
    """A reporter that writes lines of JSON; a step that is not wanted any more is the last."""

    warnings, quiet = 0, False

    def __init__(self, tell: Callable[[str, object], None], dropped: threading.Event) -> None:
        self._tell, self._dropped = tell, dropped
        self.note, self.detail, self.warn = (
            partial(tell, what) for what in ("note", "detail", "warn")
        )

    @contextlib.contextmanager
    def rendering(self, title: str, steps: int) -> Iterator[Advance]:
        self._tell("steps", [title, steps])

        def advance() -> None:
            self._tell("advance", None)
            if self._dropped.is_set():
                raise Dropped

        yield advance

    @contextlib.contextmanager
    def computing(self, title: str) -> Iterator[Advance]:
        yield lambda: None


def words(error: Exception, root: Path) -> str:
    """Say what went wrong: as a command would, or for what it would not with a place below `root`.

    The last place of the author's in the traceback is named: templates of a theme are in it.
    """
    if isinstance(error, SitegenError):
        return str(error)
    if (told := not_installed(error) or memory_full(error)) is not None:
        return told
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(root)]
    place = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    return f"{place}{type(error).__name__}: {error}"


def main(renderer: RendererFactory) -> NoReturn:
    """Render what the lines of the input ask for, until it ends."""
    catch_signals()
    about = json.loads(sys.argv[-1])
    config, target = Path(about["config"]), ComputeTarget(about["device"], about["precision"])
    options = BuildOptions(target, offline=about["offline"])
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer

    def tell(what: str, value: object) -> None:
        out.write(json.dumps({what: value}) + "\n")
        out.flush()

    with contextlib.suppress(BrokenPipeError):
        _serve(Asked(), config, options, RenderedHere(renderer), tell)
    raise SystemExit(0)


def _serve(
    asked: "Asked",
    config: Path,
    options: BuildOptions,
    render: Rendering,
    tell: Callable[[str, object], None],
) -> None:
    """Answer each request, one after the other."""
    known: dict[str, tuple[BuildContext, PlannedFigure]] = {}

    def told(_kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, Dropped):
            tell("dropped", None)
        elif isinstance(error, Exception) and not isinstance(error, BrokenPipeError):
            if not isinstance(error, SitegenError):
                tell("detail", "".join(traceback.format_exception(error)))
            kind = error_class(error) if isinstance(error, SitegenError) else TargetError
            tell("error", [kind.__name__, words(error, config.parent)])
        else:
            return False
        return True

    for figure in asked:
        with contextlib.ExitStack() as block:
            block.push(told)
            if figure not in known:
                context = prepare(config, options)
                known = {each.request_digest: (context, each) for each in context.figures}
            if figure not in known:
                raise Dropped  # the site is another by now
            render(*known[figure], _Telling(tell, asked.dropped))
            tell("done", None)


class Asked:
    """The figures that are asked for, in their order; they end when the input does.

    dropped: set when the one that is under way is not wanted any more
    """

    def __init__(self) -> None:
        self.dropped = threading.Event()
        self._figures: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def __iter__(self) -> Iterator[str]:
        while True:
            yield self._figures.get()

    def _listen(self) -> None:
        for line in io.FileIO(0, closefd=False):  # which has no lock that would hold up the end
            asked = json.loads(line)
            if "figure" in asked:
                self.dropped.clear()
                self._figures.put(asked["figure"])
            else:
                self.dropped.set()
        os.kill(os.getpid(), signal.SIGTERM)  # whoever asked has left


if __name__ == "__main__":
    from sitegen.builder.renderer import FigureRenderer

    main(FigureRenderer)
