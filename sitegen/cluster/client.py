"""The build's side of a cluster: connect, compare versions, and send parts to the workers.

A part of the samples is one task of dask, which chooses the worker and repeats the tasks of one
that died. A cluster may be of processes on this machine, each with its share of the cores, or with
a GPU.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import struct
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sitegen.cluster.worker import Levels, compute_part, settings
from sitegen.core.compute import ComputeTarget, Precision
from sitegen.core.errors import (
    FAULTS,
    ConfigError,
    PlatformError,
    RefusedError,
    SitegenError,
    TargetError,
)
from sitegen.core.files import platform_errors
from sitegen.core.installed import DISTRIBUTION
from sitegen.core.progress import Reporter
from sitegen.core.urls import scheduler_fault
from sitegen.models.registry import ModelSource

if TYPE_CHECKING:
    from distributed import Client, Future
    from torch import Tensor

    from sitegen.generative.maths.noise import Noise
    from sitegen.generative.process.protocol import GenerativeProcess
    from sitegen.sampling.models import Executor
    from sitegen.sampling.trajectory import Shown

CONNECT_S = 5.0
"""Seconds to wait for a scheduler's first answer."""
PATIENCE_S = 60.0
"""Seconds that a build continues without any worker, since new ones may join."""
SILENCE_S = 60.0
"""Seconds to wait for an answer of a scheduler that answered before."""
LOOK_S = 0.5
"""Seconds between two checks for the scheduler and its workers."""
RETRIES = 2
"""Number of times that dask repeats a part whose computation raised an exception."""
PACKAGES = (DISTRIBUTION, "torch", "numpy")
"""Packages whose versions decide the last bits of an image."""


def open_cluster(
    address: str, report: Reporter, requested: tuple[str, str], jobs: int = 1
) -> Cluster:
    """Return the cluster at an address; "local" starts one of `jobs` workers here.

    requested: device and precision from the command line
    Raises ConfigError for an invalid address, PlatformError if nothing answers there or dask is
    missing, RefusedError if workers have other versions.
    """
    if (fault := scheduler_fault(address)) is not None:
        raise ConfigError(f"--distributed {address}: {fault}")
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        if error.name not in ("dask", "distributed"):
            raise
        advice = "dask.distributed is not installed here, and --distributed needs it: "
        raise PlatformError(f"{advice}`pip install 'dask[distributed]'`") from None
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distrib")]:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # sitegen reports these events
    # A checkpoint is part of the graph, so that dask can send it to a worker that joins later.
    warnings.filterwarnings("ignore", "Sending large graph")
    with contextlib.ExitStack() as stack:
        scheduler = address
        if address == "local":
            local = LocalCluster(
                n_workers=jobs,
                threads_per_worker=max(1, (os.cpu_count() or 1) // jobs),
                # By default dask pauses and restarts workers that use much of the memory.
                memory_limit=0,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
                preload=["sitegen.cluster.ignore_sigint"],
            )
            stack.callback(_end, local)
            scheduler = local.scheduler_address
        try:
            asyncio.run(_greet(scheduler))
            client = Client(scheduler, timeout=CONNECT_S, set_as_default=False, name="sitegen")
        except (*FAULTS, struct.error) as error:
            # dask reads what another server answers as messages of its own.
            if "://" in scheduler and not scheduler.startswith("tcp://"):
                fault = f"{error}; write it as in tcp://10.0.0.7:8786"
                raise ConfigError(f"--distributed {address}: {fault}") from None
            no_answer = str(error).partition("\n")[0] or "no answer"
            reason = no_answer if isinstance(error, OSError) else "another server answers there"
            raise PlatformError(
                f"no dask scheduler answers at {address} within {CONNECT_S:.0f} s ({reason}); "
                "start one (`dask scheduler`), or correct its address"
            ) from None
        stack.callback(client.close, timeout=2)
        return Cluster(client, address, report, requested, stack.pop_all())


async def _greet(address: str) -> None:
    """Check that dask answers; a client of dask would wait forever for a silent server."""
    from distributed.comm import connect
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    connection = await asyncio.wait_for(connect(address, CONNECT_S, **arguments), CONNECT_S)
    await connection.close()


def _end(cluster: Any) -> None:
    """Stop the workers of this machine at once; their current work is discarded."""
    # Closing a cluster of dask waits for its workers, which may be in a long computation.
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        with contextlib.suppress(ProcessLookupError, TypeError):
            os.kill(nanny.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    with contextlib.suppress(OSError):  # timed out
        cluster.close(timeout=5)


class Cluster:
    """The workers of a scheduler, and the checkpoints that this build sent to them.

    compute_target: device and precision, which the workers resolve
    size: number of workers at the start
    """

    def __init__(
        self,
        client: Client,
        address: str,
        report: Reporter,
        requested: tuple[str, str],
        resources: contextlib.ExitStack,
    ) -> None:
        self._client, self._address, self._report = client, address, report
        self._resources, self._is_closed = resources, False
        self._weights: dict[str, Future] = {}
        self._compared: set[str] = set()
        with contextlib.suppress(TimeoutError):
            client.wait_for_workers(1, timeout=PATIENCE_S)
        self._require_equal_versions()
        with self._scheduler_errors():
            choices: Mapping[str, tuple[str, str]] = client.run(settings, *requested)
        self.size = len(choices)
        devices = sorted({device.partition(":")[0] for device, _ in choices.values()})
        if not devices:
            raise PlatformError(
                f"the cluster at {address} has no worker; start some (`dask worker {address}`) "
                "and build again"
            )
        if len(devices) > 1:
            kinds = " and ".join(devices)
            raise RefusedError(f"the workers at {address} compute on {kinds}; choose by --device")
        precisions = {precision for _, precision in choices.values()}
        best: Precision = "bfloat16" if precisions == {"bfloat16"} else "float32"
        self.compute_target = ComputeTarget(devices[0], best)

    def close(self) -> None:
        """Disconnect, which cancels this build's tasks and removes its data from the workers."""
        self._is_closed = True
        with contextlib.suppress(OSError, RuntimeError):
            self._resources.close()

    def executor(self, source: ModelSource) -> Executor:
        """Return the executor that samples a model on the workers."""

        def compute(
            process: GenerativeProcess, start: Tensor, noise: Noise | None, show: Shown
        ) -> Iterator[tuple[int, Tensor]]:
            import torch

            from sitegen.sampling.trajectory import parts

            with self._scheduler_errors():
                # Not pure: a task of the same key may be left from a build that was interrupted.
                options: Any = {"pure": False, "retries": RETRIES}
                sha256 = source.weights_sha256
                if sha256 not in self._weights:
                    with platform_errors(source.weights, "read"):
                        weights = sha256, source.weights.name, source.weights.read_bytes()
                    self._weights[sha256] = self._client.submit(tuple, weights, **options)
                futures = self._client.map(
                    compute_part,
                    [part.with_model(None) for part in parts(process, start, noise)],
                    weights=self._weights[sha256],
                    name=source.name,
                    card=source.card,
                    target=self.compute_target,
                    show=show,
                    key=f"sitegen-{source.name}-{uuid.uuid4().hex}",
                    **options,
                )
            # Parts arrive one after the other, with all of their levels, and a clip needs all parts
            # of a level: a file holds them, so that memory does not grow with the levels.
            folder = Path(tempfile.gettempdir())
            stored = list[list[tuple[int, int, tuple[int, ...]]]]()
            with contextlib.ExitStack() as stack:
                with platform_errors(folder):
                    file = stack.enter_context(tempfile.TemporaryFile())
                with self._report.rendering(f"{source.name} on {self._address}", None) as advance:
                    while futures:
                        stored.append([])
                        # A future that is dropped frees its result on the worker.
                        for level, images in self._result(source.name, futures.pop(0)):
                            stored[-1].append((level, file.tell(), images.shape))
                            with platform_errors(folder):
                                file.write(np.ascontiguousarray(images).data)
                                file.flush()
                            advance()
                for of_level in zip(*stored, strict=True):
                    # Copy on write, since torch warns of memory that is read-only.
                    arrays = [
                        np.memmap(file, np.float32, "c", offset, shape)
                        for _, offset, shape in of_level
                    ]
                    yield of_level[0][0], torch.cat(list(map(torch.from_numpy, arrays)))

        return compute

    def _result(self, name: str, future: Future) -> Levels:
        """Return the result of a task.

        Raises the error of the task; PlatformError if the scheduler or all workers are gone for too
        long; TargetError if the build is stopped.
        """
        from distributed import wait

        last_seen = time.monotonic()
        with self._scheduler_errors():
            is_done = False
            while not is_done:
                with contextlib.suppress(TimeoutError), self._client.as_current():
                    wait([future], timeout=LOOK_S)
                # Before the workers, so that the one that computed the part is among them.
                is_done = future.done()
                workers = self._client.nthreads(callback_timeout=SILENCE_S)
                if not workers.keys() <= self._compared:
                    self._require_equal_versions()
                if workers:
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > PATIENCE_S:
                    raise PlatformError(
                        f"the cluster at {self._address} has had no worker for {PATIENCE_S:.0f} s; "
                        f"start workers (`dask worker {self._address}`) and build again"
                    )
            error = future.exception()
            if error is None:
                levels: Levels = future.result()
                return levels
        if isinstance(error, SitegenError):
            raise error
        text = f"{type(error).__name__}: {error}"[:500]
        raise TargetError(f"a worker failed to compute a part of {name}: {text}")

    def _require_equal_versions(self) -> None:
        """Raise RefusedError if a worker has other versions than this process."""
        with self._scheduler_errors():
            versions: Any = self._client.get_versions(packages=PACKAGES)
        self._compared = set(versions["workers"])
        expected = _comparable(versions["client"]["packages"])
        for address, host in versions["workers"].items():
            for name, actual in _comparable(host["packages"]).items():
                if actual != expected[name]:
                    raise RefusedError(
                        f"worker {address} has {name} {actual}, not {expected[name]}; install the "
                        "same version there"
                    )

    @contextlib.contextmanager
    def _scheduler_errors(self) -> Iterator[None]:
        """Raise PlatformError for errors of the connection, TargetError if the build is stopped."""
        try:
            yield
        except (OSError, CancelledError, RuntimeError) as error:  # OSError: TimeoutError, too
            if self._is_closed:
                raise TargetError("stopped, because another figure failed") from None
            if isinstance(error, RuntimeError) and self._client.status == "running":
                raise
            raise PlatformError(
                f"the scheduler at {self._address} went away; finished figures are kept: start it "
                "and its workers, and build again"
            ) from error


def _comparable(versions: Mapping[str, str | None]) -> dict[str, str]:
    """Return the versions that must be equal: local parts, as in 2.10+cpu, may differ."""
    packages = {name: str(versions.get(name)).partition("+")[0] for name in PACKAGES}
    return {**packages, "Python": ".".join(str(versions["python"]).split(".")[:2])}
