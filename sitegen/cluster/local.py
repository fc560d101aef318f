"""A cluster of processes on this machine, each with its share of the cores, or with a GPU."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from typing import Any

from sitegen.cluster.client import Cluster, connect, require_dask
from sitegen.core.progress import Reporter

CLOSE_S = 5.0
"""Seconds to wait until the scheduler has removed its workers."""


def start(count: int, device: str, threads: int | None = None) -> Any:
    """Start a scheduler and `count` workers on the loopback interface; `close()` stops them.

    Each worker has `threads` threads, by default an equal share of the cores. On GPUs each worker
    sees one of them, in turn. Raises PlatformError if dask is missing.
    """
    require_dask()
    from distributed import Nanny, Scheduler, SpecCluster

    threads = threads or max(1, (os.cpu_count() or 1) // count)
    unseen = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    shared: dict[str, Any] = {"nthreads": threads, "host": "127.0.0.1", "memory_limit": 0, **unseen}
    shared |= {"silence_logs": logging.CRITICAL, "preload": ["sitegen.cluster.ignore_sigint"]}
    gpus = _gpus() if device.startswith("cuda") else []
    workers = {
        number: {"cls": Nanny, "options": {**shared, "env": environment(number, threads, gpus)}}
        for number in range(count)
    }
    options = {"host": "127.0.0.1", "port": 0, **unseen}
    return SpecCluster(workers=workers, scheduler={"cls": Scheduler, "options": options})


def open_cluster(address: str, report: Reporter, asked: tuple[str, str], jobs: int = 1) -> Cluster:
    """Return the cluster at an address; "local" starts one of `jobs` workers here.

    asked: device and precision from the command line
    Raises PlatformError if nothing answers there or dask is missing, RefusedError if no worker is
    compatible.
    """
    with contextlib.ExitStack() as undo:
        own = start(jobs, asked[0]) if address == "local" else None
        if own:
            undo.callback(end, own)
        client = connect(own.scheduler_address if own else address)
        undo.callback(client.close, timeout=2)
        cluster = Cluster(client, address, report, *asked)
        undo.pop_all()
    if own:
        cluster.ending.callback(end, own)
    return cluster


def end(cluster: Any) -> None:
    """Stop the processes at once; their current work is discarded."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(nanny.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    with contextlib.suppress(OSError):  # timed out
        cluster.close(timeout=CLOSE_S)


def environment(number: int, threads: int, gpus: list[str]) -> dict[str, str]:
    """Return a worker's environment variables: its number of threads and its GPU."""
    own = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
    return {"OMP_NUM_THREADS": str(threads), **own}


def _gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return visible.split(",")
    import torch

    return list(map(str, range(torch.cuda.device_count())))
