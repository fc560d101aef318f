"""A dask cluster on the loopback interface: a scheduler and workers, each a process of its own.

They are forked from a process that has read torch and dask once, so that another worker takes a
fraction of a second.
"""

import asyncio
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.support.preloaded"])

UNSEEN = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}

Change = Callable[[], None]


def other_version() -> None:
    """Let this worker's sitegen have another version."""
    import sitegen.cluster as module

    versions = module.versions()
    module.versions = lambda: {**versions, "sitegen-diffusion": "9.9"}


def with_bfloat16() -> None:
    """Let this worker's processor multiply in bfloat16."""
    import sitegen.core.compute as module

    module.has_bfloat16 = lambda device: True


def without_bfloat16() -> None:
    """Let this worker's processor not multiply in bfloat16."""
    import sitegen.core.compute as module

    module.has_bfloat16 = lambda device: False


def slowly() -> None:
    """Make this worker slow, so that it can be killed while it computes."""
    import sitegen.cluster as module

    compute_part = module.compute_part

    def slow(*arguments: Any, **options: Any) -> module.Levels:
        time.sleep(0.5)
        return compute_part(*arguments, **options)

    module.compute_part = slow


def key_error() -> None:
    """Make this worker's code raise a KeyError."""
    import sitegen.cluster as module

    def compute_part(*_: Any, **__: Any) -> Any:
        return dict[int, Any]()[20]

    module.compute_part = compute_part


def _schedule(pipe: Connection) -> None:
    async def run() -> None:
        from distributed import Scheduler

        async with Scheduler(host="127.0.0.1", port=0, **UNSEEN) as scheduler:
            pipe.send(scheduler.address)
            await scheduler.finished()

    _prepare()
    asyncio.run(run())


def _work(pipe: Connection, address: str, change: Change | None) -> None:
    async def run() -> None:
        from distributed import Worker

        async with Worker(address, nthreads=1, host="127.0.0.1", **UNSEEN) as worker:
            pipe.send(worker.address)
            await worker.finished()

    _prepare()
    if change is not None:
        change()
    asyncio.run(run())


def _prepare() -> None:
    """Log nothing, and end with the process of the tests, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    for name in logging.root.manager.loggerDict:
        if name.startswith("distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@dataclass
class Processes:
    """A scheduler and its workers, by their addresses."""

    address: str
    scheduler: BaseProcess
    workers: dict[str, BaseProcess] = field(default_factory=dict)

    def join(self, change: Change | None = None) -> str:
        """Start a worker, and return its address."""
        process, address = _begin(_work, self.address, change)
        self.workers[address] = process
        return address

    def kill(self, address: str) -> None:
        """Kill a worker."""
        process = self.workers.pop(address)
        process.kill()
        process.join()


def _begin(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, str]:
    ours, theirs = _SERVER.Pipe(duplex=False)
    process = _SERVER.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    if not ours.poll(60):
        process.kill()
        raise TimeoutError("a process of the cluster did not start")
    return process, ours.recv()


@contextmanager
def cluster(*changes: Change | None) -> Iterator[Processes]:
    """A scheduler with a worker for each change, None for a usual one."""
    process, address = _begin(_schedule)
    processes = Processes(address, process)
    try:
        for change in changes:
            processes.join(change)
        yield processes
    finally:
        for address in list(processes.workers):
            processes.kill(address)
        process.kill()
        process.join()
