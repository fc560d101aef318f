"""Workers of a cluster that are killed, late or unfit; a scheduler that goes away, or is none."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sitegen import cluster as clients
from sitegen.builder.pipeline import Summary, build
from sitegen.builder.plan import BuildOptions
from sitegen.builder.render import FigureRenderer
from sitegen.cluster import open_cluster
from sitegen.core.errors import ConfigError, PlatformError, RefusedError, SitegenError
from sitegen.generative.maths.address import Address
from sitegen.models.registry import model_source
from sitegen.sampling import trajectory
from sitegen.sampling.tiles import tiles_of
from tests.support import clusters
from tests.support.builders import CPU, children, environment, fake_encode
from tests.support.clusters import Processes
from tests.support.previewing import WAIT_S, wait_for
from tests.support.reporters import Silent
from tests.support.tinymodel import write_ddpm, write_model

LEVELS = 12
PAGE = """Words.

{{ trajectories('tiny', count=20, seed=5) }}

{{ trajectories('tiny', count=9, seed=6) }}
"""
SITE = """title = "A title"
[models.tiny]
path = "models/tiny"
"""


@dataclass
class Author:
    """A site, which is built in one cluster or none, always with parts of eight samples."""

    root: Path
    report: Silent = field(default_factory=Silent)

    def build(self, address: str | None = None, jobs: int = 1) -> Summary:
        """Build it from nothing but its store."""
        self.report = Silent()
        options = BuildOptions(CPU, distributed=address, jobs=jobs, asked=("cpu", "float32"))
        return build(self.root / "site.toml", options, FigureRenderer, self.report, fake_encode)

    def files(self) -> Mapping[str, bytes]:
        """The site, and the store's objects and records, byte for byte."""
        store = self.root / ".sitegen"
        folders = (self.root / "build", store / "objects", store / "records")
        paths = (path for folder in folders for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network sees eight images at a time, so that a figure has several parts."""
    monkeypatch.setattr(trajectory, "PIXELS_IN_PART", 1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with one figure, built here, and a DDPM."""
    root = tmp_path_factory.mktemp("site")
    write_model(root / "models/tiny", levels=LEVELS)
    write_ddpm(root / "models/noise", levels=LEVELS)
    (root / "pages").mkdir()
    (root / "pages/index.md").write_text(PAGE)
    (root / "site.toml").write_text(SITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trajectory, "PIXELS_IN_PART", 1)
        Author(root).build()
    return root


@pytest.fixture
def author(models: Path, tmp_path: Path) -> Author:
    """The site, not built yet."""
    for name in ("models", "pages"):
        shutil.copytree(models / name, tmp_path / name)
    shutil.copy(models / "site.toml", tmp_path)
    return Author(tmp_path)


@pytest.fixture
def local(models: Path) -> Mapping[str, bytes]:
    """The files of a local build."""
    return Author(models).files()


def refused(author: Author, error: type[SitegenError], message: str, address: str) -> None:
    """Build, which fails with a message, and leaves nothing half made."""
    before = author.files()
    with pytest.raises(error, match=message):
        author.build(address)
    assert author.files() == before
    assert not list((author.root / ".sitegen").glob("work/*"))


@contextlib.contextmanager
def when_busy(processes: Processes, act: Callable[[str], object]) -> Iterator[None]:
    """Call `act` with the address of a worker as soon as one computes a task of the block."""
    from distributed import Client

    def watch() -> None:
        with Client(processes.address, set_as_default=False) as client:
            busy: list[str] = []
            while not busy and not ended.wait(0.02):
                busy = [address for address, tasks in client.processing().items() if tasks]
        if busy:
            act(busy[0])

    ended = threading.Event()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("name", ["tiny", "noise"])
def test_samples_have_the_same_bits_in_a_cluster(models: Path, name: str) -> None:
    """Heat dissipation and DDPM, in parts of eight, and a tile: bit for bit as here."""
    sources = {name: model_source(name, models / "models" / name)}
    with (
        clusters.cluster(None, None) as two,
        open_cluster(two.address, Silent(), ("cpu", "float32")) as cluster,
    ):
        levels, pictures = [], []
        for provider in (
            FigureRenderer(sources, CPU),
            FigureRenderer(sources, cluster.compute_target, cluster.executor),
        ):
            sampler = provider.sampler(name)
            levels.append(list(sampler.begin(3, range(20), 0.02).seen("state")))
            pictures.append(tiles_of(sampler, 0).at(Address.parse("2.01")).picture)
    assert len(levels[0]) == len(levels[1]) > 5
    for here, there in zip(*levels, strict=True):
        assert here[0] == there[0]
        assert np.array_equal(here[1], there[1])
    assert np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize("workers", [2, 1])
def test_workers_that_are_killed(author: Author, local: Mapping[str, bytes], workers: int) -> None:
    """One of two, or the only one while another joins: the bytes are those of a local build."""
    with clusters.cluster(*[clusters.slowly] * workers) as processes:
        killed: list[str] = []

        def kill(busy: str) -> None:
            killed.append(busy)
            processes.kill(busy)
            processes.join()

        with when_busy(processes, kill):
            author.build(processes.address)
    assert len(killed) == 1
    assert author.files() == local


def test_workers_of_this_machine(author: Author, local: Mapping[str, bytes]) -> None:
    """`--distributed local` starts workers beside another cluster; they end with the build."""
    resource_tracker.ensure_running()  # a process of Python's own, which stays
    before = set(children())
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # another cluster has this port, dask's usual one
            stack.enter_context(socket.create_server(("127.0.0.1", 8787)))
        author.build("local")
    assert author.files() == local
    wait_for(lambda: set(children()) <= before, "the end of the workers")


def test_figures_at_the_same_time(author: Author, local: Mapping[str, bytes]) -> None:
    """Four threads that sample at once make the bytes of one."""
    author.build(jobs=4)
    assert author.files() == local


def test_workers_with_another_version(author: Author) -> None:
    """They are an error that names worker and versions."""
    message = r"worker tcp://\S+: sitegen-diffusion is 9.9 there, not .*; install the same version"
    with clusters.cluster(None, clusters.other_version) as mixed:
        refused(author, RefusedError, message, mixed.address)


def test_workers_with_other_processors() -> None:
    """With `--precision auto` they would compute otherwise; the error names the option to add."""
    message = "on cpu in bfloat16 and cpu in float32, and .*; build with --precision float32, which"
    with (
        clusters.cluster(clusters.with_bfloat16, clusters.without_bfloat16) as mixed,
        pytest.raises(RefusedError, match=message),
        open_cluster(mixed.address, Silent(), ("cpu", "auto")),
    ):
        pass


def test_a_worker_with_another_version_that_joins_later(author: Author) -> None:
    """It is refused, too, though it was not there when versions were compared."""
    message = "sitegen-diffusion is 9.9 there, not .*; install the same version on each worker"
    with clusters.cluster(clusters.slowly) as cluster:

        def replace(busy: str) -> None:
            cluster.join(clusters.other_version)
            cluster.kill(busy)

        with when_busy(cluster, replace), pytest.raises(RefusedError, match=message):
            author.build(cluster.address)


def test_a_worker_whose_code_fails(author: Author) -> None:
    """The build ends with the exception."""
    with clusters.cluster(clusters.key_error) as cluster:
        message = "a worker failed to compute a part of tiny: KeyError: 20"
        refused(author, PlatformError, message, cluster.address)


def test_there_is_no_worker(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, and after the only one was killed, the build ends soon."""
    monkeypatch.setattr(clients, "PATIENCE_S", 0.5)
    with clusters.cluster() as empty:
        refused(author, PlatformError, "has had no worker for 0 s; start some", empty.address)
    with clusters.cluster(clusters.slowly) as cluster, when_busy(cluster, cluster.kill):
        refused(author, PlatformError, "has had no worker for 0 s", cluster.address)


def test_the_scheduler_is_gone(author: Author) -> None:
    """Killed in the middle of a build: the old site stays."""
    with clusters.cluster(clusters.slowly) as cluster:
        pid = cluster.scheduler.pid
        assert pid is not None
        with when_busy(cluster, lambda _: os.kill(pid, signal.SIGKILL)):
            refused(author, PlatformError, "the scheduler at .* went away", cluster.address)


def test_the_scheduler_stands_still(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that was stopped in the middle of a build is not waited for without end."""
    monkeypatch.setattr(clients, "PATIENCE_S", 2.0)
    with clusters.cluster(clusters.slowly) as cluster:
        pid = cluster.scheduler.pid
        assert pid is not None
        with when_busy(cluster, lambda _: os.kill(pid, signal.SIGSTOP)):
            refused(author, PlatformError, "the scheduler at .* went away", cluster.address)
        os.kill(pid, signal.SIGCONT)


def test_no_scheduler_answers(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent server, one that sends rubbish, none, and what is no address."""
    monkeypatch.setattr(clients, "CONNECT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        refused(author, PlatformError, f"no dask scheduler answers at {address}", address)
    refused(author, PlatformError, "no dask scheduler answers at", "tcp://127.0.0.1:1")
    for rubbish in (b"SSH-2.0-OpenSSH_9.6\r\n" * 40, b"\xff" * 4096, b"HTTP/1.1 400 Bad\r\n\r\n"):
        with _server(rubbish) as address:
            refused(author, PlatformError, f"no dask scheduler answers at {address}", address)
    refused(author, ConfigError, "should be the address of a dask scheduler", "http://there")


@contextlib.contextmanager
def _server(answer: bytes) -> Iterator[str]:
    """A server of something else than dask."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            visitor, _ = listener.accept()
            visitor.sendall(answer)
            visitor.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    thread.join()


def test_ctrl_c_leaves_the_cluster_clean(author: Author) -> None:
    """Ctrl-C ends a build with 130; no key, task or client stays in the cluster."""
    from distributed import Client

    command = [sys.executable, "-m", "sitegen", "build", "--device", "cpu", "--distributed"]
    with clusters.cluster(clusters.slowly) as cluster:
        pipe: Any = subprocess.PIPE
        with (
            subprocess.Popen(
                [*command, cluster.address],
                cwd=author.root,
                env=environment(),
                stderr=pipe,
                text=True,
            ) as process,
            Client(cluster.address, set_as_default=False) as client,
        ):
            wait_for(lambda: any(client.processing().values()), "a task")
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=WAIT_S)
            assert process.returncode == 130
            assert errors.splitlines()[-1] == "interrupted; finished work is kept"
            wait_for(lambda: not any(client.has_what().values()), "forgetting")
            assert client.run_on_scheduler(_tasks) == ([], 1)
    assert not list((author.root / ".sitegen").glob("work/*"))


def _tasks(dask_scheduler: Any) -> tuple[list[str], int]:
    """The tasks that a scheduler has, and its number of clients."""
    names = [name for name in dask_scheduler.clients if name != "fire-and-forget"]
    return list(map(str, dask_scheduler.tasks)), len(names)
