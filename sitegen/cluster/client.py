"""The build's side of a cluster: connect, check the workers, and send them shards.

dask's scheduler decides which worker computes which block of steps, and repeats the blocks of a
worker that died. This module adds two things that dask does not know: which workers are compatible,
and that a checkpoint must be on a worker first.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import math
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sitegen.cluster.worker import Checkpoint, ShardBlock, Unfit, receive, versions, words_of
from sitegen.core.compute import ComputeTarget, Precision
from sitegen.core.errors import ConfigError, PlatformError, RefusedError, SitegenError, TargetError
from sitegen.core.files import platform_errors
from sitegen.core.progress import Advance, Reporter
from sitegen.core.urls import scheduler_fault
from sitegen.models.registry import ModelSource

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

CONNECT_S = 5.0
"""Seconds to wait for a scheduler's first answer."""
SETTLE_S = 20.0
"""Seconds to wait for connected workers to report their versions, while others are ready."""
PATIENCE_S = 60.0
"""Seconds that a build continues without any worker, since new ones may join."""
LOOK_S = 0.5
"""Seconds between two checks for workers that joined or left."""
SILENT_S = 30.0
"""Seconds to wait for a scheduler that has answered before."""
LEAVE_S = 3.0
"""Seconds to wait while tasks are cancelled on the scheduler."""


def connect(address: str) -> Client:
    """Connect to the scheduler at an address, or to the one named in a scheduler file.

    Raises PlatformError if dask is not installed or nothing answers there, ConfigError for an
    invalid address.
    """
    if (fault := scheduler_fault(address)) is not None:
        raise ConfigError(f"--distributed {address}: {fault}")
    require_dask()
    from distributed import Client

    at = _address_in(Path(address)) if address.endswith(".json") else address
    try:
        with platform_errors_of(address):
            asyncio.run(_greet(at))
            return Client(at, timeout=CONNECT_S, set_as_default=False, name="sitegen")
    except (ValueError, TypeError) as error:  # another protocol, or TLS without a configuration
        fault = f"{error}; write it as in tcp://10.0.0.7:8786"
        raise ConfigError(f"--distributed {address}: {fault}") from None


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


@contextlib.contextmanager
def platform_errors_of(address: str) -> Iterator[None]:
    """Report that nothing answers at an address, or that it is not a scheduler."""
    try:
        yield
    except (OSError, MemoryError) as error:  # the other side's bytes were read as a length
        why = str(error).partition("\n")[0] or "no answer"
        raise PlatformError(
            f"no dask scheduler answers at {address} within {CONNECT_S:.0f} s ({why}); start one "
            "(`dask scheduler`), or correct the address after --distributed"
        ) from None


def require_dask() -> None:
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


class Lost(Exception):
    """The workers that had the requested blocks are gone; the blocks must be requested again."""


@dataclass
class _Worker:
    """A worker, its reported versions and device, and the reason if it is not used."""

    asked: Future
    identity: Mapping[str, str] | None = None
    refused: str | None = None


@dataclass
class _Model:
    """A checkpoint on the workers. This process sends it to `first`, the others copy it from there.

    held: the workers' answers
    """

    checkpoint: Checkpoint
    prefix: str
    sent: Future | None = None
    first: str = ""
    held: dict[str, Future] = field(default_factory=dict)


class Cluster:
    """The workers of a scheduler that this build may use, and the data that it sent to them.

    device, precision: the command line's choice; "auto" is decided by the workers' devices
    patience: seconds to continue without a worker
    ending: resources to close together with the cluster
    compared: keys and workers that have passed the comparison with a computation here

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
        patience: float | None = None,
    ) -> None:
        self.client, self.address, self._report = client, address, report
        self._wanted = device, precision
        self._patience = PATIENCE_S if patience is None else patience
        self._versions = versions()
        self._workers: dict[str, _Worker] = {}
        self._models: dict[str, _Model] = {}
        self._guard = threading.RLock()
        self._looked = -LOOK_S
        self._closed, self._leaving = False, threading.Event()
        self.ending, self._lines = contextlib.ExitStack(), contextlib.ExitStack()
        self._advances: dict[str, Advance] = {}
        self._fled, self._served = 0, False
        self.compared = set[tuple[str, str]]()
        self._target: ComputeTarget | None = None
        self._target = self._settle()

    @property
    def compute_target(self) -> ComputeTarget:
        """The device and precision of all computations in this cluster."""
        assert self._target is not None
        return self._target

    @property
    def size(self) -> int:
        """Number of compatible workers."""
        return sum(each.identity is not None for each in self._workers.values())

    def close(self) -> None:
        """Cancel all pending tasks and remove this build's data from the workers."""
        self._leaving.set()  # pending requests give up and release the lock
        with self._guard:
            if self._closed:
                return
            self._closed = True
            self._lines.close()
        self.ending.callback(_within, LEAVE_S, partial(self.client.close, timeout=2))
        with contextlib.suppress(OSError, RuntimeError):
            self.ending.close()

    def hold(self, source: ModelSource) -> str:
        """Send a model's checkpoint to the workers; return its key there, a prefix of each worker's
        own.

        Two names for one checkpoint with the same card are sent once.
        """
        digest, card = source.weights_sha256, source.card
        for held, known in self._models.items():
            if (known.checkpoint.sha256, known.checkpoint.card) == (digest, card):
                return held
        prefix = f"sitegen-{source.name}-{uuid.uuid4().hex[:12]}-"
        with platform_errors(source.weights, "read"):
            data = np.fromfile(source.weights, np.uint8)
        checkpoint = Checkpoint(source.name, card, source.weights.name, digest, data)
        model = _Model(checkpoint, prefix)
        with self._guard:
            self._models[prefix] = model
        self.workers(prefix)
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until and not self._settled(model):
            time.sleep(0.05)
        return prefix

    def _settled(self, model: _Model) -> bool:
        """Return whether all compatible workers have the checkpoint, so that all share the first
        shards.
        """
        self._look()
        with self._guard:
            fit = {a for a, worker in self._workers.items() if worker.identity is not None}
            return all(a in model.held and model.held[a].status == "finished" for a in fit)

    def workers(self, held: str) -> frozenset[str]:
        """Return the workers that have the checkpoint of a key; wait until there is one.

        Raises as the class does, and TargetError if the build is stopped.
        """
        since = time.monotonic()
        while not (able := self.able(held)):
            self._require_hope(time.monotonic() - since)
            time.sleep(0.05)
        return able

    def able(self, held: str) -> frozenset[str]:
        """Return the workers that have it now."""
        self._look()
        with self._guard:
            asked = self._models[held].held.items()
            done = (address for address, future in asked if future.status == "finished")
            fit = {a for a, worker in self._workers.items() if worker.identity is not None}
            return frozenset(fit.intersection(done))

    def submit(self, name: str, workers: frozenset[str], *args: Any) -> Future:
        """Call a function on one of these workers; dask's dashboard shows `name`."""
        with self._telling_of_the_end():
            return self.client.submit(
                *args,
                workers=sorted(workers),
                key=f"sitegen-{name}-{uuid.uuid4().hex}",
                pure=False,
            )

    def result(self, held: str, future: Future, workers: frozenset[str]) -> ShardBlock:
        """Return the block of a future that some workers may compute with the checkpoint of a key.

        Raises Lost if none of them is left; otherwise the error of the computation.
        """
        from distributed import KilledWorker

        while True:
            try:
                block: ShardBlock = future.result(timeout=LOOK_S)
            except TimeoutError:
                if not workers & self.able(held):
                    raise Lost from None
            except KilledWorker as error:
                name = self._models[held].checkpoint.name
                raise PlatformError(
                    f"a shard of {name} has ended {error.allowed_failures + 1} workers one after "
                    "the other; they may lack memory: read their logs, or request smaller figures"
                ) from None
            except (CancelledError, OSError) as error:
                if isinstance(error, OSError) and future.status == "error":  # raised there
                    raise
                self._require_open()
                raise Lost from None
            except Unfit as error:
                self.dismiss(error.worker, error.fault)
                raise Lost from None
            except SitegenError:
                raise
            except Exception as error:  # the code of a worker may raise anything
                name = self._models[held].checkpoint.name
                raise TargetError(
                    f"a worker failed to compute a shard of {name}: {words_of(error)}"
                ) from None
            else:
                if not isinstance(block, ShardBlock):
                    self._dismiss_source(
                        future, f"sent {type(block).__name__} instead of a shard's steps"
                    )
                    raise Lost
                self._count(block)
                return block

    def forget(self, futures: Sequence[Future]) -> None:
        """Cancel these futures."""
        if futures and not self._closed:
            with contextlib.suppress(OSError, RuntimeError, CancelledError):
                _within(LEAVE_S, partial(self.client.cancel, list(futures), force=True))

    def _settle(self) -> ComputeTarget:
        """Wait for the workers' reports, and choose the device and precision."""
        since = time.monotonic()
        while True:
            self._look()
            waiting = [w for w in self._workers.values() if not (w.identity or w.refused)]
            seconds = time.monotonic() - since
            if self.size and (not waiting or seconds > SETTLE_S):
                return self._choose()
            self._require_hope(seconds)
            time.sleep(0.05)

    def _choose(self) -> ComputeTarget:
        """Return the best device of any worker; workers with others would give different bits."""
        told = {address: w.identity for address, w in self._workers.items() if w.identity}
        kinds = {found["device"].partition(":")[0] for found in told.values()}
        device = next(found["device"] for found in told.values() if _is(found, max(kinds)))
        precisions = {found["precision"] for found in told.values() if _is(found, max(kinds))}
        precision: Precision = "bfloat16" if precisions == {"bfloat16"} else "float32"
        self._target = ComputeTarget(device, precision)
        for address in told:
            self._judge(address, self._workers[address])
        return self._target

    def _look(self) -> None:
        """Update the list of workers, and send new ones what they need."""
        with self._guard:
            self._require_open()
            if time.monotonic() - self._looked < LOOK_S and self._idle():
                return
            self._looked = time.monotonic()
            with self._telling_of_the_end():
                present = set(self._asked(self.client.nthreads, SILENT_S))
            for address in self._workers.keys() - present:
                self._gone(address)
            for address in present - self._workers.keys():
                self._workers[address] = _Worker(self._ask(address))
            for address, worker in self._workers.items():
                if not (worker.identity or worker.refused) and worker.asked.done():
                    self._judge(address, worker)
            for model in self._models.values():
                self._send(model)

    def _idle(self) -> bool:
        """Return whether no worker has answered since the last check."""
        waiting = (w for w in self._workers.values() if not (w.identity or w.refused))
        return not any(w.asked.done() for w in waiting)

    def _ask(self, address: str) -> Future:
        """Request a worker's versions and device. Works without sitegen there, or with another
        version.
        """

        def ask(device: str, precision: str) -> dict[str, str]:
            from importlib import import_module

            found: dict[str, str] = import_module("sitegen.cluster.worker").identity(
                device, precision
            )
            return found

        return self.submit("identity", frozenset({address}), ask, *self._wanted)

    def _judge(self, address: str, worker: _Worker) -> None:
        """Accept a compatible worker, or warn about an incompatible one and ignore it."""
        try:
            found: Mapping[str, str] = worker.identity or worker.asked.result(timeout=CONNECT_S)
        except CancelledError:
            return
        except _FAILURES as error:
            self._refuse(address, words_of(error))
            return
        if fault := self._fault(found):
            self._refuse(address, fault)
        else:
            worker.identity, self._served = found, True

    def _fault(self, found: Mapping[str, str]) -> str:
        """Describe why a worker is incompatible; empty if it is not."""
        other = [
            f"{name} {found.get(name, 'none')} instead of {version}"
            for name, version in self._versions.items()
            if found.get(name) != version
        ]
        if other:
            return f"has {'; '.join(other)}: install the same versions there"
        if self._target is not None and not _is(found, self._target.device.partition(":")[0]):
            return f"computes on {found['device']}, the others on {self._target.device}"
        return ""

    def _refuse(self, address: str, fault: str) -> None:
        worker = self._workers[address]
        worker.identity, worker.refused = None, fault
        self._report.warn(f"worker {address} is not used: {fault}")

    def dismiss(self, address: str, fault: str) -> None:
        """Stop using a worker that has given a wrong result."""
        with self._guard:
            worker = self._workers.get(address)
            if worker is not None and not worker.refused:
                self._refuse(address, fault)

    def _dismiss_source(self, future: Future, fault: str) -> None:
        """Stop using the workers that hold the result of a future."""
        found = self._asked(partial(self.client.who_has, [future]), SILENT_S)
        for address in (each for addresses in found.values() for each in addresses):
            self.dismiss(address, fault)

    def _gone(self, address: str) -> None:
        worker = self._workers.pop(address)
        self._fled += not (worker.identity or worker.refused)
        for model in self._models.values():
            model.held.pop(address, None)
        if worker.identity is not None:
            now = "is repeated by others" if self.size else "waits for a new worker"
            self._report.note(f"worker {address} went away; its work {now}")

    def _send(self, model: _Model) -> None:
        """Send a checkpoint to workers without it: to one from here, the others copy it from that
        one.
        """
        if self._target is None:
            return
        fit = {address for address, each in self._workers.items() if each.identity is not None}
        self._see_arrivals(model, fit)
        lacking = sorted(fit - model.held.keys())
        if not lacking:
            return
        with self._telling_of_the_end():
            if model.sent is None or model.first not in fit or model.sent.status != "finished":
                model.first = lacking[0]
                key = f"{model.prefix}sent-{uuid.uuid4().hex[:6]}"
                data = {key: model.checkpoint}
                send = partial(self.client.scatter, data, workers=[model.first])
                model.sent = self._asked(send, math.inf)[key]
            for address in lacking:
                model.held[address] = self.client.submit(
                    receive,
                    model.sent,
                    model.checkpoint.sha256,
                    self._target,
                    workers=[address],
                    key=f"{model.prefix}{address}",
                    pure=False,
                )

    def _see_arrivals(self, model: _Model, fit: set[str]) -> None:
        """Reject workers that cannot load the checkpoint; resend it to those that copied it from
        one.
        """
        for address in sorted(fit & model.held.keys(), key=lambda each: each != model.first):
            future = model.held[address]
            if future.status == "error":
                if address == model.first or model.first in fit:
                    self._refuse(address, words_of(future.exception(timeout=CONNECT_S)))
                    fit.discard(address)
                else:
                    del model.held[address]
            elif future.status in ("cancelled", "lost"):
                del model.held[address]

    def _count(self, block: ShardBlock) -> None:
        """Report a worker's finished steps."""
        with self._guard:
            if self._closed:
                return
            if block.worker not in self._advances:
                line = self._report.computing(f"worker {block.worker}")
                self._advances[block.worker] = self._lines.enter_context(line)
            for _ in block.seen:
                self._advances[block.worker]()

    def _require_hope(self, seconds: float) -> None:
        """Raise unless a worker may still join or become ready."""
        waiting = [a for a, w in self._workers.items() if not w.refused]
        refused = [f"{a} {w.refused}" for a, w in self._workers.items() if w.refused]
        if refused and not waiting and (not self._served or seconds > self._patience):
            raise RefusedError("\n".join([f"no worker at {self.address} is compatible:", *refused]))
        if seconds > self._patience:
            words = "does not answer" if waiting else "has no worker"
            advice = f"start workers (`dask worker {self.address}`) and build again"
            if self._fled:
                advice = (
                    f"{self._fled} left without reporting versions, as workers with another dask "
                    f"do (here it is {metadata.version('distributed')}): read their logs, "
                    f"then {advice}"
                )
            raise PlatformError(
                f"the cluster at {self.address} {words} for {seconds:.0f} s; {advice}"
            )

    def _asked(self, ask: Callable[[], T], seconds: float) -> T:
        """Return the scheduler's answer, with a timeout; dask has none."""
        try:
            return _within(seconds, ask, self._leaving)
        except TimeoutError:
            self._require_open()
            raise PlatformError(
                f"the scheduler at {self.address} does not answer for {seconds:.0f} s; finished "
                "figures are kept: check the scheduler, and build again"
            ) from None

    def _require_open(self) -> None:
        if self._closed or self._leaving.is_set():
            raise TargetError("stopped, because another figure failed or the build was interrupted")
        if self.client.status != "running":
            raise self._ended()

    def _ended(self) -> SitegenError:
        return PlatformError(
            f"the scheduler at {self.address} went away; finished figures are kept: start it and "
            "its workers, and build again"
        )

    @contextlib.contextmanager
    def _telling_of_the_end(self) -> Iterator[None]:
        """Report that the scheduler has gone away."""
        try:
            yield
        except (OSError, CancelledError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and self.client.status == "running":
                raise
            self._require_open()
            raise self._ended() from error


def _within(seconds: float, ask: Callable[[], T], leave: threading.Event | None = None) -> T:
    """Call a function in a thread, with a timeout.

    Raises TimeoutError after `seconds` or once `leave` is set; otherwise as the function does.
    """
    answer: concurrent.futures.Future[T] = concurrent.futures.Future()

    def failed(_kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is not None:
            answer.set_exception(error)
        return True

    def work() -> None:
        with contextlib.ExitStack() as ending:
            ending.push(failed)
            answer.set_result(ask())

    threading.Thread(target=work, daemon=True, name="asks the scheduler").start()
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not (leave and leave.is_set()):
        if concurrent.futures.wait([answer], min(left, 0.1)).done:
            return answer.result()
    raise TimeoutError


_FAILURES = (
    SitegenError,
    ImportError,
    AttributeError,
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
)
"""Exceptions of a request to a worker that are not bugs in sitegen."""


def _is(found: Mapping[str, str], kind: str) -> bool:
    """Return whether a worker computes on this kind of device."""
    return found["device"].partition(":")[0] == kind
