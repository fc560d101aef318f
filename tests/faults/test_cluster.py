"""The workers of a cluster: killed, slow, unfit; a scheduler that goes away, or never was."""

import contextlib
import os
import re
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitegen.builder.context import BuildOptions
from sitegen.builder.pipeline import Summary, build
from sitegen.builder.render import FigureRenderer
from sitegen.cluster import client as clients
from sitegen.cluster.client import open_cluster
from sitegen.cluster.worker import Checkpoint
from sitegen.core.errors import (
    ConfigError,
    PlatformError,
    RefusedError,
    SitegenError,
    TargetError,
)
from sitegen.generative.process.noise import Branching, Interpolated
from sitegen.models.registry import model_source
from sitegen.sampling import trajectory
from sitegen.sampling.models import Trajectory
from sitegen.sampling.provider import ModelProvider
from tests.support import clusters
from tests.support.builders import CPU, fake_encode
from tests.support.clusters import Processes
from tests.support.previewing import WAIT_S, wait_for
from tests.support.reporters import Silent
from tests.support.tinymodel import write_ddpm, write_model

LEVELS = 24
PAGE = "Words.\n\n{{ trajectories('tiny', count=20, seed=5) }}\n"
SITE = """title = "A title"
[models.tiny]
path = "models/tiny"
"""


@dataclass
class Author:
    """A site, which is built in one cluster or none, always with shards of eight samples."""

    root: Path
    report: Silent = field(default_factory=Silent)

    def build(self, address: str | None = None, report: Silent | None = None) -> Summary:
        """Build it from nothing but its store; on the processors of the workers."""
        self.report = report or Silent()
        asked = BuildOptions(CPU, distributed=address, asked=("cpu", "float32"))
        return build(self.root / "site.toml", asked, FigureRenderer, self.report, fake_encode)

    def forget(self) -> None:
        """Remove what was built."""
        for name in ("build", ".sitegen"):
            shutil.rmtree(self.root / name, ignore_errors=True)

    def made(self) -> Mapping[str, bytes]:
        """The site, and what the store has rendered, byte for byte."""
        folders = (
            self.root / "build",
            *(self.root / ".sitegen" / n for n in ("objects", "records")),
        )
        files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network sees eight images at a time, so that a figure has several shards."""
    monkeypatch.setattr(trajectory, "PIXELS_AT_ONCE", 1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with one figure, built here, and beside its model a DDPM."""
    root = tmp_path_factory.mktemp("site")
    write_model(root / "models/tiny", levels=LEVELS)
    write_ddpm(root / "models/noise", levels=LEVELS)
    (root / "pages").mkdir()
    (root / "pages/index.md").write_text(PAGE)
    (root / "site.toml").write_text(SITE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trajectory, "PIXELS_AT_ONCE", 1)
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
    """What a local build makes of it."""
    return Author(models).made()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Processes]:
    """A cluster of three workers, all well."""
    with clusters.cluster(3) as processes:
        yield processes


@pytest.fixture
def three(cluster: Processes) -> Processes:
    """The same, with as many workers whatever a test before did to them."""
    while len(cluster.workers) < 3:
        cluster.join()
    return cluster


def refused(author: Author, error: type[SitegenError], words: str, *args: Any) -> None:
    """Build, which ends in these words, and leaves nothing half made."""
    before = author.made()
    with pytest.raises(error, match=words):
        author.build(*args)
    assert author.made() == before
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


def test_samples_have_the_same_bits_in_a_cluster(models: Path, three: Processes) -> None:
    """Grids, trees, noise of another's making, DDPM and DDIM, in shards: bit for bit as here."""
    sources = {each.name: model_source(each.name, each) for each in (models / "models").iterdir()}
    asked = Silent(), ("cpu", "float32")
    cluster = open_cluster(three.address, *asked)
    elsewhere = FigureRenderer(sources, cluster.compute_target, cluster.executor)
    try:
        for here, there in zip(
            _trajectories(FigureRenderer(sources, CPU)), _trajectories(elsewhere), strict=True
        ):
            both = [list(each.steps) for each in (here, there)]
            assert len(both[0]) == len(both[1]) > 5
            for one, other in zip(*both, strict=True):
                assert one.level == other.level
                assert torch.equal(one.state, other.state)
                assert torch.equal(one.mean, other.mean)
    finally:
        cluster.close()


def _trajectories(models: ModelProvider) -> Iterator[Trajectory]:
    tiny, noise = models.sampler("tiny"), models.sampler("noise")
    shape = tiny.card.shape
    states = tiny.start(3, range(20))
    yield tiny.begin(3, range(20), 0.02)
    yield tiny.run(states[:1], Branching(3, (20, 10, 5, 2), shape))
    points = (*(((0, 0, 0.0),) * 15), *((number, 1, 0.3) for number in range(5)))
    yield tiny.run(states, Interpolated(3, points, shape))
    yield noise.begin(3, range(10))
    yield noise.ddim(7).begin(3, range(17))


def test_any_number_of_workers_gives_the_same_bytes(
    author: Author, local: Mapping[str, bytes]
) -> None:
    """Three workers, one of which is killed at work, then two, then one: a local build's."""
    with clusters.cluster(0) as slow:
        for _ in range(3):
            slow.join(clusters.slowly)
        killed: list[str] = []

        def kill(busy: str) -> None:
            slow.kill(busy)
            killed.append(busy)

        with when_busy(slow, kill):
            author.build(slow.address)
        assert len(killed) == 1
        assert author.made() == local
        assert f"3 workers at {slow.address} (cpu, float32)" in author.report.lines
        author.forget()
        author.build(slow.address)
        assert author.made() == local
        slow.kill(next(iter(slow.workers)))
        author.forget()
        author.build(slow.address)
        assert author.made() == local
        assert f"1 worker at {slow.address} (cpu, float32)" in author.report.lines
        assert author.build(slow.address).rendered == ()


def test_only_worker_is_killed_and_another_comes(
    author: Author, local: Mapping[str, bytes]
) -> None:
    """With its only worker all that a build had in the cluster is lost; one that comes goes on."""
    with clusters.cluster(0) as alone:
        only = alone.join(clusters.slowly)

        def replace_it(busy: str) -> None:
            alone.kill(busy)
            alone.join()

        with when_busy(alone, replace_it):
            author.build(alone.address)
        assert only not in alone.workers
        assert author.made() == local


def test_slow_worker_is_waited_for(
    author: Author, three: Processes, local: Mapping[str, bytes]
) -> None:
    """A worker that stands still for a while costs time, and no byte."""

    def pause(busy: str) -> None:
        three.tell(busy, signal.SIGSTOP)
        threading.Timer(0.5, three.tell, (busy, signal.SIGCONT)).start()

    with when_busy(three, pause):
        author.build(three.address)
    assert author.made() == local


def test_incompatible_workers_are_refused_and_others_go_on(
    author: Author, local: Mapping[str, bytes]
) -> None:
    """A worker with another sitegen, or without one, is reported and not used."""
    words = {
        clusters.other_source: r"has sitegen .* \(source 01234567\) instead of",
        clusters.no_sitegen: "has no sitegen",
    }
    with clusters.cluster(1) as mixed:
        unfit = {mixed.join(spoil): said for spoil, said in words.items()}
        author.build(mixed.address)
    assert author.made() == local
    told = "\n".join(author.report.lines)
    for address, said in unfit.items():
        assert re.search(f"warning: worker {address} is not used: {said}", told)


def test_worker_whose_code_fails(author: Author, local: Mapping[str, bytes]) -> None:
    """Dask repeats its shards; if no other worker takes them, the build ends with the exception."""
    with clusters.cluster(0) as odd:
        odd.join(clusters.key_error)
        words = "a worker failed to compute a shard of tiny: KeyError: 20"
        refused(author, TargetError, words, odd.address)


def test_late_worker_of_another_version(author: Author) -> None:
    """One that joins a build that has begun computes nothing, and its versions are reported."""
    with clusters.cluster(0) as cluster:
        cluster.join(clusters.slowly)

        def exchange(busy: str) -> None:
            cluster.kill(busy)
            cluster.join(clusters.other_source)

        with when_busy(cluster, exchange):
            words = "worker tcp://.* has sitegen .* instead"
            refused(author, RefusedError, words, cluster.address)


def test_checkpoint_that_changed_on_its_way(models: Path) -> None:
    """A worker loads only the weights that the build's keys name."""
    source = model_source("tiny", models / "models/tiny")
    data = np.fromfile(source.weights, np.uint8)
    data[-1] ^= 1
    digest = source.weights_sha256
    sent = Checkpoint("tiny", source.card, source.weights.name, digest, data)
    with pytest.raises(RefusedError, match="the checkpoint of tiny changed on its way"):
        sent.model(CPU)


def test_no_worker_fits_or_there_is_none(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no worker can be used, the build ends in words, soon."""
    monkeypatch.setattr(clients, "PATIENCE_S", 0.5)
    with clusters.cluster(0) as empty:
        refused(author, PlatformError, "has no worker for 0 s; start workers", empty.address)
        empty.join(clusters.other_source)
        words = "no worker at .* is compatible:\ntcp://.* has sitegen"
        refused(author, RefusedError, words, empty.address)


def test_scheduler_goes_away(author: Author) -> None:
    """When the scheduler dies in the middle, the old site stays and the build says what to do."""
    with clusters.cluster(0) as cluster:
        cluster.join(clusters.slowly)
        author.build()
        (author.root / "pages/index.md").write_text(PAGE.replace("seed=5", "seed=6"))
        assert cluster.scheduler is not None
        scheduler = cluster.scheduler
        with when_busy(cluster, lambda _: scheduler.kill()):
            refused(author, PlatformError, "the scheduler at .* went away", cluster.address)


def test_scheduler_stands_still(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is there and does not answer any more ends the build after `SILENT_S` seconds."""
    monkeypatch.setattr(clients, "SILENT_S", 2.0)
    with clusters.cluster(0) as cluster:
        cluster.join(clusters.slowly)
        process = cluster.scheduler
        assert process is not None
        assert process.pid is not None
        pid = process.pid
        try:
            with when_busy(cluster, lambda _: os.kill(pid, signal.SIGSTOP)):
                refused(author, PlatformError, "does not answer for 2 s", cluster.address)
        finally:
            os.kill(pid, signal.SIGCONT)


def test_nobody_answers(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that nobody answers at, or somebody else, is told."""
    monkeypatch.setattr(clients, "CONNECT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        refused(author, PlatformError, f"no dask scheduler answers at {address}", address)
    refused(author, PlatformError, "no dask scheduler answers at", "tcp://127.0.0.1:1")
    with _talkative() as other:
        refused(author, PlatformError, f"no dask scheduler answers at {other}", other)
    refused(author, PlatformError, "cannot read nowhere.json: No such file", "nowhere.json")
    (author.root / "other.json").write_text("[1]")
    other = str(author.root / "other.json")
    refused(author, PlatformError, "other.json: not a scheduler file", other)
    refused(author, ConfigError, "should be the address of a dask scheduler", "http://there")


@contextlib.contextmanager
def _talkative() -> Iterator[str]:
    """A server that says something else than a scheduler would."""

    def talk() -> None:
        with contextlib.suppress(OSError):
            visitor, _ = listener.accept()
            visitor.sendall(b"SSH-2.0-OpenSSH_9.6\r\n" * 40)
            visitor.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    thread.join()


def test_ctrl_c_leaves_the_cluster_clean(author: Author, three: Processes) -> None:
    """Ctrl-C ends a build with 130 and its words; no key, task or client stays in the cluster."""
    from distributed import Client

    (author.root / "pages/index.md").write_text(PAGE.replace("20", "4000"))
    output = author.root / "said"
    wished = ["build", "--distributed", three.address, "--device", "cpu", "--precision", "float32"]
    process = clusters.command(author.root, wished, output)
    try:
        wait_for(
            lambda: output.exists() and "worker" in output.read_text(), "the words of a worker"
        )
        assert process.pid is not None
        os.kill(process.pid, signal.SIGINT)
        process.join(WAIT_S)
        assert process.exitcode == 130
        assert output.read_text().splitlines()[-1] == "interrupted; finished work is kept"
    finally:
        process.kill()
    with Client(three.address, set_as_default=False) as client:
        wait_for(lambda: not any(client.has_what().values()), "forgetting")
        assert _tasks(client) == ([], 1)
    assert not list((author.root / ".sitegen").glob("work/*"))


def _tasks(client: Any) -> tuple[list[str], int]:
    """The tasks that a scheduler knows, and how many clients but itself."""

    def known(dask_scheduler: Any) -> tuple[list[str], int]:
        names = [name for name in dask_scheduler.clients if name != "fire-and-forget"]
        return list(map(str, dask_scheduler.tasks)), len(names)

    found: tuple[list[str], int] = client.run_on_scheduler(known)
    return found
