"""The build's side of a cluster: connect, check the workers' versions, and send them shards.

A shard is one task of dask, which chooses the worker, repeats the tasks of a worker that died, and
copies a checkpoint from worker to worker. A cluster may be of processes on this machine, each with
its share of the cores, or with a GPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sitegen.cluster.worker import Checkpoint, Levels, compute_shard, other_versions, versions
from sitegen.core.compute import ComputeTarget, Precision
from sitegen.core.errors import ConfigError, PlatformError, RefusedError, SitegenError, TargetError
from sitegen.core.files import Place, Spool, platform_errors
from sitegen.core.progress import Reporter
from sitegen.core.urls import scheduler_fault
from sitegen.models.registry import ModelSource

if TYPE_CHECKING:
    from distributed import Client, Future
    from torch import Tensor

    from sitegen.generative.process.noise import Noise
    from sitegen.generative.process.protocol import GenerativeProcess
    from sitegen.sampling.models import Executor
    from sitegen.sampling.trajectory import Part, Shown

CONNECT_S = 5.0
"""Seconds to wait for a scheduler's first answer."""
PATIENCE_S = 60.0
"""Seconds that a build continues without any worker, since new ones may join."""
LOOK_S = 0.5
"""Seconds between two checks for the scheduler and its workers."""
SILENT_S = 30.0
"""Seconds to wait for a scheduler that has answered before."""
CLOSE_S = 5.0
"""Seconds to wait until the scheduler of this machine has removed its workers."""
RETRIES = 2
"""Number of times that dask repeats a shard whose computation raised an exception."""


def connect(address: str) -> Client:
    """Connect to the scheduler at an address, or to the one named in a scheduler file.

    Raises PlatformError if dask is not installed or nothing answers there, ConfigError for an
    invalid address.
    """
    if (fault := scheduler_fault(address)) is not None:
        raise ConfigError(f"--distributed {address}: {fault}")
    _require_dask()
    from distributed import Client

    at = _address_in(Path(address)) if address.endswith(".json") else address
    try:
        asyncio.run(_greet(at))
        return Client(at, timeout=CONNECT_S, set_as_default=False, name="sitegen")
    except (ValueError, TypeError) as error:  # another protocol, or TLS without a configuration
        fault = f"{error}; write it as in tcp://10.0.0.7:8786"
        raise ConfigError(f"--distributed {address}: {fault}") from None
    except (OSError, MemoryError) as error:  # the other side's bytes were read as a length
        why = str(error).partition("\n")[0] or "no answer"
        raise PlatformError(
            f"no dask scheduler answers at {address} within {CONNECT_S:.0f} s ({why}); start one "
            "(`dask scheduler`), or correct its address"
        ) from None


async def _greet(address: str) -> None:
    """Check that dask answers; a client of dask would wait forever for a silent server."""
    from distributed.comm import connect as connection
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    comm = await asyncio.wait_for(connection(address, CONNECT_S, **arguments), CONNECT_S)
    await comm.close()


def _address_in(file: Path) -> str:
    """Return the address in a scheduler file. dask would wait for the file to be complete."""
    with platform_errors(file, "read"):
        text = file.read_text(encoding="utf-8", errors="replace")
    with contextlib.suppress(ValueError, LookupError, TypeError):
        address = json.loads(text)["address"]
        if isinstance(address, str) and scheduler_fault(address) is None:
            return address
    raise PlatformError(
        f"{file}: not a scheduler file; `dask scheduler --scheduler-file {file}` writes one"
    )


def _require_dask() -> None:
    """Raise PlatformError, with how to install it, if dask is missing; silence its loggers."""
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("dask", "distributed"):
            raise
        raise PlatformError(
            "dask.distributed is not installed here, and --distributed needs it: "
            "`pip install 'dask[distributed]'`"
        ) from None
    for name in ("distributed", *_LOGGERS):  # sitegen reports these events itself
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"distributed\.")


_LOGGERS = tuple(
    f"distributed.{name}"
    for name in ("client", "comm", "core", "nanny", "process", "scheduler", "worker", "utils")
)


class Cluster:
    """The workers of a scheduler, and the checkpoints that this build sent to them.

    device, precision: the command line's choice; "auto" is decided by the workers' devices
    ending: resources to close together with the cluster

    Raises RefusedError if no worker is compatible, with the reason for each; PlatformError if there
    are none.
    """

    def __init__(
        self,
        client: Client,
        address: str,
        report: Reporter,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        self.client, self.address, self._report = client, address, report
        self._sent: dict[tuple[object, ...], Future] = {}
        self._guard, self._closed = threading.Lock(), False
        self.ending = contextlib.ExitStack()
        self.compute_target, self._workers, self.size = self._settle(device, precision)

    def close(self) -> None:
        """Disconnect, which cancels this build's tasks and removes its data from the workers."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
        with self.ending, contextlib.suppress(OSError, RuntimeError):
            self.client.close(timeout=2)

    def executor(self, source: ModelSource) -> Executor:
        """Return the executor that computes shards of a model on the workers."""

        def compute(
            process: GenerativeProcess, start: Tensor, noise: Noise | None, show: Shown
        ) -> Iterator[tuple[int, Tensor]]:
            import torch

            from sitegen.sampling.trajectory import parts

            samples = [part.with_model(None) for part in parts(process, start, noise)]
            spool, results = Spool(), dict[int, list[tuple[int, Place, tuple[int, ...]]]]()
            futures = self._submit(source, samples, show)
            with self._report.computing(f"{source.name} on {self.address}") as advance:
                for at, levels in self._results(source.name, futures):
                    results[at] = []
                    for level, images in levels:
                        stored = spool.add(np.ascontiguousarray(images).data)
                        results[at].append((level, stored, images.shape))
                        advance()
            for same_level in zip(*(results[at] for at in sorted(results)), strict=True):
                arrays = [
                    torch.frombuffer(bytearray(spool.read(stored)), dtype=torch.float32).view(shape)
                    for _, stored, shape in same_level
                ]
                yield same_level[0][0], torch.cat(arrays)

        return compute

    def _settle(self, device: str, precision: str) -> tuple[ComputeTarget, list[str] | None, int]:
        """Return the device and precision, the only workers to use (None for all), and how many.

        Workers with other versions, and those without a GPU if others have one, are reported.
        """
        try:
            self.client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError:
            raise self._no_worker(PATIENCE_S) from None

        def ask(device: str, precision: str) -> dict[str, str]:  # works without sitegen there
            from importlib import import_module

            worker: Any = import_module("sitegen.cluster.worker")
            found: dict[str, str] = worker.identity(device, precision)
            return found

        with self._scheduler_errors():
            told: Mapping[str, Any] = self.client.run(ask, device, precision, on_error="return")
        faults = {address: _fault(found) for address, found in told.items()}
        fit = {address: told[address] for address in told if not faults[address]}
        kinds = {found["device"].partition(":")[0] for found in fit.values()}
        for address, found in list(fit.items()):
            if found["device"].partition(":")[0] != max(kinds):
                faults[address] = f"computes on {found['device']}, others on {max(kinds)}"
                del fit[address]
        refused = {address: fault for address, fault in faults.items() if fault}
        if not fit:
            lines = [f"{address} {fault}" for address, fault in refused.items()]
            raise RefusedError("\n".join([f"no worker at {self.address} is compatible:", *lines]))
        for address, fault in refused.items():
            self._report.warn(f"worker {address} is not used: {fault}")
        precisions = {found["precision"] for found in fit.values()}
        best: Precision = "bfloat16" if precisions == {"bfloat16"} else "float32"
        target = ComputeTarget(next(iter(fit.values()))["device"], best)
        return target, sorted(fit) if refused else None, len(fit)

    def _submit(self, source: ModelSource, samples: Sequence[Part], show: Shown) -> list[Future]:
        """Send parts to the workers, and the checkpoint if they do not have it yet."""
        with self._scheduler_errors():
            rest = versions(), self.compute_target
            options: Any = {"workers": self._workers, "pure": False, "retries": RETRIES}
            model = self._model(source, options)
            return [
                self.client.submit(
                    compute_shard, model, *rest, part, show, key=_key(source), **options
                )
                for part in samples
            ]

    def _model(self, source: ModelSource, options: Mapping[str, Any]) -> Future:
        """Return the checkpoint of a model as a task; two names for one with a card share it."""
        parts = source.weights_sha256, source.card
        with self._guard:
            if parts not in self._sent:
                with platform_errors(source.weights, "read"):
                    data = np.fromfile(source.weights, np.uint8)
                file = source.weights.name
                known = source.name, source.card, file, source.weights_sha256, data
                sent = self.client.submit(Checkpoint, *known, key=_key(source), **options)
                self._sent[parts] = sent
            return self._sent[parts]

    def _results(self, name: str, futures: Sequence[Future]) -> Iterator[tuple[int, Levels]]:
        """Yield the results of tasks as they finish, each with its index.

        Raises the error of a task; PlatformError if the scheduler or all workers are gone for too
        long; TargetError if the build is stopped.
        """
        from distributed import wait

        pending = dict(enumerate(futures))
        del futures  # dask frees a result when no future refers to it
        seen = time.monotonic()
        while pending:
            late = contextlib.suppress(TimeoutError, CancelledError)
            with self._scheduler_errors(), late, self.client.as_current():
                wait(list(pending.values()), timeout=LOOK_S, return_when="FIRST_COMPLETED")
            for at in [at for at, future in pending.items() if future.done()]:
                yield at, self._result(name, pending.pop(at))
                seen = time.monotonic()
            if self._present():
                seen = time.monotonic()
            elif (seconds := time.monotonic() - seen) > PATIENCE_S:
                raise self._no_worker(seconds)

    def _result(self, name: str, future: Future) -> Levels:
        from distributed import KilledWorker

        if future.cancelled():
            self._require_open()
            raise self._ended()
        with self._scheduler_errors():
            error = future.exception()
            levels: Levels = [] if error else future.result()
        if error is None:
            return levels
        if isinstance(error, KilledWorker):
            raise PlatformError(
                f"a shard of {name} has ended {error.allowed_failures + 1} workers one after the "
                "other; they may lack memory: read their logs, or request smaller figures"
            )
        if isinstance(error, SitegenError):
            raise error
        raise TargetError(f"a worker failed to compute a shard of {name}: {_words(error)}")

    def _present(self) -> bool:
        self._require_open()
        with self._scheduler_errors():
            ask = self.client.scheduler.ncores
            found: Mapping[str, int] = self.client.sync(ask, callback_timeout=SILENT_S)
        return any(self._workers is None or each in self._workers for each in found)

    def _require_open(self) -> None:
        if self._closed:
            raise TargetError("stopped, because another figure failed or the build was interrupted")

    def _no_worker(self, seconds: float) -> PlatformError:
        return PlatformError(
            f"the cluster at {self.address} has no worker for {seconds:.0f} s; start workers "
            f"(`dask worker {self.address}`, with the dask version of this machine) and build again"
        )

    def _ended(self) -> PlatformError:
        return PlatformError(
            f"the scheduler at {self.address} went away; finished figures are kept: start it and "
            "its workers, and build again"
        )

    @contextlib.contextmanager
    def _scheduler_errors(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            self._require_open()
            raise PlatformError(
                f"the scheduler at {self.address} does not answer for {SILENT_S:.0f} s; finished "
                "figures are kept: check the scheduler, and build again"
            ) from None
        except (OSError, CancelledError, RuntimeError) as error:
            self._require_open()
            if isinstance(error, RuntimeError) and self.client.status == "running":
                raise
            raise self._ended() from error


def _key(source: ModelSource) -> str:
    """Return a new key of a task; dask's dashboard shows the model's name."""
    return f"sitegen-{source.name}-{uuid.uuid4().hex}"


def _fault(found: object) -> str:
    """Describe why a worker is incompatible by what it `found`; empty if it is not."""
    if isinstance(found, Mapping):
        return other_versions(found, versions())
    return _words(found)


def _words(error: object) -> str:
    if isinstance(error, SitegenError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"has no {error.name or 'sitegen'}; install this version of sitegen there"
    return f"{type(error).__name__}: {error}"[:500]


def _start(count: int, device: str) -> Any:
    """Start a scheduler and `count` workers on the loopback interface; `close()` stops them.

    Each worker has an equal share of the cores. On GPUs each worker sees one of them, in turn.
    Raises PlatformError if dask is missing.
    """
    _require_dask()
    from distributed import Nanny, Scheduler, SpecCluster

    threads = max(1, (os.cpu_count() or 1) // count)
    unseen = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    shared: dict[str, Any] = {"nthreads": threads, "host": "127.0.0.1", "memory_limit": 0, **unseen}
    shared |= {"silence_logs": logging.CRITICAL, "preload": ["sitegen.cluster.ignore_sigint"]}
    gpus = _gpus() if device.startswith("cuda") else []
    workers = {
        number: {"cls": Nanny, "options": {**shared, "env": _environment(number, threads, gpus)}}
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
        own = _start(jobs, asked[0]) if address == "local" else None
        if own:
            undo.callback(_end, own)
        client = connect(own.scheduler_address if own else address)
        undo.callback(client.close, timeout=2)
        cluster = Cluster(client, address, report, *asked)
        undo.pop_all()
    if own:
        cluster.ending.callback(_end, own)
    return cluster


def _end(cluster: Any) -> None:
    """Stop the processes at once; their current work is discarded."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(nanny.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    with contextlib.suppress(OSError):  # timed out
        cluster.close(timeout=CLOSE_S)


def _environment(number: int, threads: int, gpus: list[str]) -> dict[str, str]:
    """Return a worker's environment variables: its number of threads and its GPU."""
    own = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
    return {"OMP_NUM_THREADS": str(threads), **own}


def _gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return visible.split(",")
    import torch

    return list(map(str, range(torch.cuda.device_count())))
