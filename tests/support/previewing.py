"""A preview that runs in this process, and requests as a browser sends them."""

import contextlib
import http.client
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sitegen.builder.pipeline import build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import Encode, RendererFactory
from sitegen.cli.exits import describe
from sitegen.core.errors import PlatformError
from sitegen.server import rendering
from sitegen.server.app import Server, listening, serve
from sitegen.server.preview import Preview
from tests.support.builders import CPU, FakeRenderer, environment, fake_encode
from tests.support.reporters import Silent

WAIT_S = 150.0  # far more than is needed, for a machine that is busy


def wait_for(true: Callable[[], object], what: str = "it") -> None:
    """Wait until something holds; fail when it does not within a fair time."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Running:
    """A preview, its server, and the renderer that its thread uses."""

    preview: Preview
    renderer: FakeRenderer
    report: Silent
    port: int

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> Answer:
        """Request a path exactly as it is written."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            received = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, received, answer.read())

    def page(self, path: str = "/") -> str:
        """The text of a page."""
        return self.ask(path).body.decode()

    def wait_until_settled(self) -> None:
        """Wait until all is rendered and the built folder is as after a build."""
        wait_for(lambda: self.preview.settled, "settling")


class BuildThread(rendering.BuildProcess):
    """The build of a preview as a thread."""

    def __init__(
        self,
        config: Path,
        options: BuildOptions,
        renderer: RendererFactory,
        encode: Encode | None,
    ) -> None:
        self.progress, self._stopped, self._ended = "", False, (0, "")
        arguments = config, options, renderer, self, encode
        self._thread = threading.Thread(target=self._work, args=arguments, name="torch")
        self._thread.start()

    def _work(self, *arguments: Any) -> None:
        try:
            build(*arguments)
        except Exception as error:
            code, message = describe(error) or (1, f"{type(error).__name__}: {error}")
            self._ended = code, message.removeprefix("error: ")

    warnings, quiet = 0, True

    def note(self, line: str) -> None:
        """Omit it."""

    detail = warn = note

    @contextlib.contextmanager
    def rendering(self, title: str, steps: int | None) -> Iterator[Callable[[], None]]:
        """Keep the number of the step as the progress; a step of a build that was stopped fails."""
        count = 0

        def advance() -> None:
            nonlocal count
            count += 1
            self.progress = f"{title}: step {count} of {steps}"
            if self._stopped:
                raise PlatformError("stopped")

        yield advance

    def is_running(self) -> bool:
        """Return whether it has not ended."""
        return self._thread.is_alive()

    def end(self) -> tuple[int, str]:
        """End it at its next step."""
        self._stopped = True
        self._thread.join()
        return self._ended


@contextlib.contextmanager
def serving(
    *words: str | Path, module: str = "tests.support.fakecli", **changes: str
) -> Iterator[subprocess.Popen[str]]:
    """Start `sitegen serve`, with the fake renderer by default; it does not outlive the block."""
    command = [sys.executable, "-m", module, "serve", *map(str, words)]
    env, pipe = environment(**changes), subprocess.PIPE
    with subprocess.Popen(
        command, env=env, stdout=pipe, stderr=pipe, text=True, cwd="/"
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def port_of(process: subprocess.Popen[str]) -> int:
    """The port that `serve` prints in its first line."""
    assert process.stdout is not None
    match = re.fullmatch(r".*http://127\.0\.0\.1:(\d+)/.*\n", process.stdout.readline())
    assert match is not None
    return int(match[1])


def port_to_return_to() -> int:
    """Return a free port that stays free: one below those that systems give to other programs."""
    while True:
        port = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def running(
    config: Path,
    renderer: FakeRenderer | None = None,
    port: int = 0,
    encode: Encode | None = fake_encode,
) -> Iterator[Running]:
    """Serve the site of `config` for the block, at a free port if none is named.

    encode: None for clips that can be played
    """
    renderer, report = renderer or FakeRenderer(), Silent()
    start = partial(BuildThread, config.absolute(), BuildOptions(CPU), renderer, encode)
    preview = Preview(config, BuildOptions(CPU), start, report)
    with listening(port) as listener:
        port = listener.getsockname()[1]
        preview.refresh()
        server = Server(preview)
        thread = threading.Thread(target=serve, args=(server, preview, listener))
        thread.start()
        try:
            yield Running(preview, renderer, report, port)
        finally:
            server.should_exit = True
            thread.join(WAIT_S)
            assert not thread.is_alive()
