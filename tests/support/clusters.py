"""A dask cluster on the loopback interface: a scheduler and workers, each a process of its own.

They are forked from a process that has read torch and dask once, so that another worker takes a
fraction of a second.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.support.preloaded"])

UNSEEN = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}

Spoil = Callable[[], None]


def other_source() -> None:
    """Let this worker's sitegen be of another version."""
    import sitegen.cluster.worker as module

    module.source_digest = lambda: "0123456789abcdef"


def no_sitegen() -> None:
    """Let this worker have no sitegen."""
    for name in [each for each in sys.modules if each.partition(".")[0] == "sitegen"]:
        del sys.modules[name]
    sys.modules["sitegen"] = None  # type: ignore[assignment]


def slowly() -> None:
    """Make this worker slow, so that it can be killed at work."""
    import sitegen.cluster.worker as module

    whole = module.compute_shard

    def compute_shard(*arguments: Any) -> module.Levels:
        time.sleep(0.5)
        return whole(*arguments)

    module.compute_shard = compute_shard  # type: ignore[assignment]


def key_error() -> None:
    """Make this worker's code raise a KeyError."""
    import sitegen.cluster.worker as module

    def compute_shard(*_: Any) -> Any:
        return dict[int, Any]()[20]

    module.compute_shard = compute_shard  # type: ignore[assignment]


def _schedule(port: int, told: Connection) -> None:
    async def run() -> None:
        from distributed import Scheduler

        async with Scheduler(host="127.0.0.1", port=port, **UNSEEN) as scheduler:
            told.send(scheduler.address)
            await scheduler.finished()

    _prepare()
    asyncio.run(run())


def _work(address: str, told: Connection, spoil: Spoil | None) -> None:
    async def run() -> None:
        from distributed import Worker

        async with Worker(address, nthreads=1, host="127.0.0.1", **UNSEEN) as worker:
            told.send(worker.address)
            await worker.finished()

    _prepare()
    if spoil is not None:
        spoil()
    asyncio.run(run())


def _prepare() -> None:
    """Say nothing, and end with the process of the tests, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    for name in logging.root.manager.loggerDict:
        if name.startswith("distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _command(folder: Path, arguments: list[str], output: Path) -> None:
    """Run sitegen's command line in this process, which ends with its exit code."""
    from sitegen.__main__ import main

    os.chdir(folder)
    with output.open("wb", buffering=0) as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = ["sitegen", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()


def command(folder: Path, arguments: list[str], output: Path) -> BaseProcess:
    """The command line, at work in a process of its own."""
    process = _SERVER.Process(target=_command, args=(folder, arguments, output))
    process.start()
    return process


@dataclass
class Processes:
    """A scheduler and its workers, by their addresses."""

    address: str = ""
    scheduler: BaseProcess | None = None
    workers: dict[str, BaseProcess] = field(default_factory=dict)

    def start(self, port: int = 0) -> str:
        """Start the scheduler; its address."""
        self.scheduler, self.address = _begin(_schedule, port)
        return self.address

    def join(self, spoil: Spoil | None = None) -> str:
        """Start a worker; its address."""
        process, address = _begin(_work, self.address, spoil)
        self.workers[address] = process
        return address

    def kill(self, address: str) -> None:
        """Kill a worker."""
        process = self.workers.pop(address)
        process.kill()
        process.join()

    def tell(self, address: str, number: signal.Signals) -> None:
        """Send a worker a signal."""
        pid = self.workers[address].pid
        assert pid is not None
        os.kill(pid, number)

    def end(self) -> None:
        """Kill all that is left."""
        for address in list(self.workers):
            self.kill(address)
        if self.scheduler is not None:
            self.scheduler.kill()
            self.scheduler.join()


def _begin(target: Callable[..., None], first: Any, *more: Any) -> tuple[BaseProcess, str]:
    here, there = _SERVER.Pipe(duplex=False)
    process = _SERVER.Process(target=target, args=(first, there, *more), daemon=True)
    process.start()
    there.close()
    if not here.poll(60):
        process.kill()
        raise TimeoutError("a process of the cluster did not start")
    return process, here.recv()


@contextmanager
def cluster(count: int) -> Iterator[Processes]:
    """A scheduler with so many workers."""
    processes = Processes()
    try:
        processes.start()
        for _ in range(count):
            processes.join()
        yield processes
    finally:
        processes.end()
