"""Sampling on the workers of a dask cluster: on several GPUs, machines or local processes.

A part of the samples is one task of dask, which chooses the worker and repeats the tasks of one
that died. Workers need sitegen, in the same version, and no file of the author. Only this module
imports dask, and only for builds that use a cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import struct
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from sitegen.core.compute import ComputeTarget, resolve_device, resolve_precision
from sitegen.core.errors import FAULTS, ConfigError, PlatformError, RefusedError, SitegenError
from sitegen.core.files import platform_errors, temporary_folder
from sitegen.core.installed import DISTRIBUTION
from sitegen.core.progress import Reporter
from sitegen.core.urls import scheduler_fault
from sitegen.models.registry import ModelSource

if TYPE_CHECKING:
    from distributed import Client, Future
    from torch import Tensor

    from sitegen.generative.maths.noise import Noise
    from sitegen.generative.process.model import CardModel
    from sitegen.generative.process.protocol import GenerativeProcess
    from sitegen.sampling.models import Executor
    from sitegen.sampling.trajectory import Part, Shown

Levels = dict[str, NDArray[np.float32]]
"""The displayed images (N, C, H, W) of a part of the samples at each level."""

CONNECT_S = 5.0
"""Seconds to wait for a scheduler's first answer, and between two checks for workers."""
PATIENCE_S = 60.0
"""Seconds that a build waits for a worker, since new ones may join, or for a silent scheduler."""
_loading = threading.Lock()


@contextlib.contextmanager
def open_cluster(
    address: str, report: Reporter, requested: tuple[str, str], jobs: int = 1
) -> Iterator[Cluster]:
    """Yield the cluster at an address; "local" starts one of `jobs` workers here.

    requested: device and precision from the command line
    At the end of the block, the tasks of this build are cancelled, and its data removed. Raises
    ConfigError for an invalid address, PlatformError if nothing answers there, RefusedError if
    workers have other versions.
    """
    if (fault := scheduler_fault(address)) is not None:
        raise ConfigError(f"--distributed {address}: {fault}")
    from distributed import Client, LocalCluster

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
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                silence_logs=logging.CRITICAL,
                # Ctrl-C reaches the workers, too, which the build ends itself.
                preload=["import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"],
            )
            stack.callback(_end, local)
            scheduler = local.scheduler_address
        try:
            asyncio.run(_greet(scheduler))
            client = Client(scheduler, timeout=CONNECT_S, set_as_default=False, name="sitegen")
        except (*FAULTS, struct.error) as error:
            # dask reads what another server answers as messages of its own.
            no_answer = str(error).partition("\n")[0] or "no answer"
            reason = no_answer if isinstance(error, OSError) else "another server answers there"
            raise PlatformError(
                f"no dask scheduler answers at {address} within {CONNECT_S:.0f} s ({reason}); "
                "start one (`dask scheduler`), or correct its address, as in tcp://10.0.0.7:8786"
            ) from None
        stack.callback(_close, client)
        yield Cluster(client, address, report, requested)


async def _greet(address: str) -> None:
    """Check that dask answers; a client of dask would wait forever for a silent server."""
    from distributed.comm import connect
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    connection = await asyncio.wait_for(connect(address, CONNECT_S, **arguments), CONNECT_S)
    await connection.close()


def _close(client: Client) -> None:
    with contextlib.suppress(OSError, RuntimeError):  # the scheduler is gone
        client.close(timeout=2)


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
        self, client: Client, address: str, report: Reporter, requested: tuple[str, str]
    ) -> None:
        self._client, self._address, self._report = client, address, report
        with self._scheduler_errors():
            self._wait_for_worker()
            found = client.run(resolve_target, *requested, versions(), on_error="return")
        for worker, target in found.items():
            if isinstance(target, Exception):
                raise RefusedError(f"worker {worker}: {target}")
        self.size, targets = len(found), set(found.values())
        if len(targets) > 1:
            kinds = " and ".join(sorted(f"{each.device} in {each.precision}" for each in targets))
            devices = {target.device for target in targets}
            choice = "--device cpu" if len(devices) > 1 else "--precision float32"
            raise RefusedError(
                f"the workers at {address} compute on {kinds}, and their pictures would differ; "
                f"build with {choice}, which all of them have"
            )
        self.compute_target = targets.pop()

    def executor(self, source: ModelSource) -> Executor:
        """Return the executor that samples a model on the workers."""
        with platform_errors(source.weights, "read"):
            content = source.weights.read_bytes()
        with self._scheduler_errors():
            # dask sends a key once, though cards with other steps share the network. It estimates
            # times by a key's first word, which is another one than that of the parts.
            key = f"weights-{self._client.id}-{source.weights_sha256}"
            weights = self._client.submit(bytes, content, key=key)

        def compute(
            process: GenerativeProcess, start: Tensor, noise: Noise | None, show: Shown
        ) -> Iterator[tuple[int, Tensor]]:
            import torch

            from sitegen.sampling.trajectory import parts

            cut = [part.with_model(None) for part in parts(process, start, noise)]
            with self._scheduler_errors():
                futures = self._client.map(
                    compute_part,
                    cut,
                    weights=weights,
                    source=source,
                    target=self.compute_target,
                    expected=versions(),
                    show=show,
                    key=f"sitegen-{source.name}",
                    pure=False,  # a task of the same key may be left from an interrupted build
                )
            # Parts arrive one after the other, with all of their levels, and a clip needs all parts
            # of a level: files hold them, so that memory does not grow with the levels.
            with contextlib.ExitStack() as stack:
                folder = stack.enter_context(temporary_folder(Path(tempfile.gettempdir())))
                files = list[Any]()
                with self._report.rendering(f"{source.name} on {self._address}", None) as advance:
                    for number in range(len(cut)):
                        # A future that is dropped frees its result on the worker.
                        levels = self._result(source.name, futures.pop(0))
                        with platform_errors(folder):
                            np.savez(folder / f"{number}.npz", allow_pickle=False, **levels)
                        files.append(stack.enter_context(np.load(folder / f"{number}.npz")))
                        advance()
                for level in files[0]:
                    yield int(level), torch.cat([torch.from_numpy(file[level]) for file in files])

        return compute

    def _result(self, name: str, future: Future) -> Levels:
        """Return the result of a task. Raises its error; PlatformError without any worker."""
        with self._scheduler_errors():
            while not future.done():
                with contextlib.suppress(TimeoutError):
                    future.exception(timeout=CONNECT_S)
                self._wait_for_worker()
            if (error := future.exception()) is None:
                return cast(Levels, future.result())
        if isinstance(error, SitegenError):
            raise error
        text = f"{type(error).__name__}: {error}"[:500]
        raise PlatformError(f"a worker failed to compute a part of {name}: {text}")

    def _wait_for_worker(self) -> None:
        # The next call would wait for a silent scheduler without end.
        self._client.nthreads(callback_timeout=PATIENCE_S)
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError:
            raise PlatformError(
                f"the cluster at {self._address} has had no worker for {PATIENCE_S:.0f} s; start "
                f"some (`dask worker {self._address}`) and build again"
            ) from None

    @contextlib.contextmanager
    def _scheduler_errors(self) -> Iterator[None]:
        """Raise PlatformError for errors of the connection."""
        try:
            yield
        except (OSError, CancelledError, RuntimeError) as error:  # OSError: TimeoutError, too
            raise PlatformError(
                f"the scheduler at {self._address} went away; finished figures are kept: start it "
                "and its workers, and build again"
            ) from error


def versions() -> dict[str, str]:
    """Return the versions that decide an image's last bits; local parts, as in 2.13+cpu, do not."""
    packages = (DISTRIBUTION, "torch", "numpy")
    installed = {name: metadata.version(name).partition("+")[0] for name in packages}
    return {"Python": "{}.{}".format(*sys.version_info), **installed}


def resolve_target(device: str, precision: str, expected: dict[str, str]) -> ComputeTarget:
    """Return what this worker computes with. Raises RefusedError if it has other versions."""
    for name, version in versions().items():
        if version != expected[name]:
            advice = "install the same version on each worker"
            raise RefusedError(f"{name} is {version} there, not {expected[name]}; {advice}")
    device = resolve_device(device)
    return ComputeTarget(device, resolve_precision(precision, device))


def compute_part(
    part: Part,
    weights: bytes,
    source: ModelSource,
    target: ComputeTarget,
    expected: dict[str, str],
    show: Shown,
) -> Levels:
    """Compute, on a worker, all levels of a part, whose process has no model yet."""
    import torch
    from distributed import get_worker

    from sitegen.generative import engine
    from sitegen.sampling.trajectory import shown

    # This worker may have joined after the others were compared.
    target, worker = resolve_target(target.device, target.precision, expected), get_worker()
    # dask limits torch to one thread, which the engine takes for the number of cores.
    engine.CORES = max(engine.CORES, worker.state.nthreads)
    if target.device == "cuda" and isinstance(worker.name, int):  # a worker of this machine
        number = worker.name % torch.cuda.device_count()
        target = ComputeTarget(f"cuda:{number}", target.precision)
    # dask runs several tasks of a worker at once, in threads.
    with _loading:
        part = part.with_model(_load(source, weights, target))
    return {str(level): images.cpu().numpy() for level, images in shown([part], show)}


@functools.lru_cache(maxsize=4)
def _load(source: ModelSource, weights: bytes, target: ComputeTarget) -> CardModel:
    from sitegen.sampling.models import load_network

    with temporary_folder(Path(tempfile.gettempdir())) as folder:
        file = folder / source.weights.name
        with platform_errors(folder):
            file.write_bytes(weights)
        return load_network(replace(source, weights=file), target)
