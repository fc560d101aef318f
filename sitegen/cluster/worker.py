"""Functions that run on a worker: report versions, keep a checkpoint, and compute steps.

They import dask and torch when they are called.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from sitegen.core.compute import ComputeTarget, resolve_device, resolve_precision
from sitegen.core.errors import RefusedError, SitegenError
from sitegen.core.files import platform_errors
from sitegen.core.installed import DISTRIBUTION
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from torch import Tensor

    from sitegen.generative.process.model import CardModel
    from sitegen.sampling.batches import SampleBatch, Selection

Numbers = NDArray[np.float32]

_PACKAGE = Path(__file__).resolve().parents[1]
_VERSIONS = ("torch", "numpy", "onnxruntime")
"""Packages with versions that affect the last bits of an image."""
_LOADING = threading.Lock()


class Unfit(RefusedError):
    """A fault of one worker, with its address; other workers may be fine."""

    def __init__(self, worker: str, fault: str) -> None:
        super().__init__(worker, fault)
        self.worker, self.fault = worker, fault

    def __str__(self) -> str:
        return f"worker {self.worker} {self.fault}"


def versions() -> dict[str, str]:
    """Return the versions that must be equal on all machines that compute a figure's shards."""
    major, minor, _ = platform.python_version_tuple()
    found = {"sitegen": f"{_version(DISTRIBUTION)} (source {source_digest()[:8]})"}
    found |= {name: _version(name).partition("+")[0] for name in _VERSIONS}
    return {**found, "Python": f"{major}.{minor}"}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def source_digest() -> str:
    """Return a digest of sitegen's code, which changes in development without a new version."""
    whole = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        whole.update(f"{path.relative_to(_PACKAGE).as_posix()}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()


def identity(device: str, precision: str) -> dict[str, str]:
    """Return this process's versions, and the device and precision that it would use."""
    found = resolve_device(device)
    return {**versions(), "device": found, "precision": resolve_precision(precision, found)}


@dataclass(eq=False)
class Checkpoint:
    """A model that is sent to a worker; `data` is the content of its weights file.

    The model is loaded once and kept as long as the object, which is part of the worker's data.
    """

    name: str
    card: ModelCard
    file: str
    sha256: str
    data: NDArray[np.uint8]
    _loaded: dict[ComputeTarget, Any] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle only the bytes."""
        return {**self.__dict__, "_loaded": {}}

    def __sizeof__(self) -> int:
        """Return the size for dask's accounting: the bytes, and as many for the loaded model."""
        return 2 * self.data.nbytes

    def require(self, sha256: str) -> None:
        """Raise RefusedError unless these weights have that digest."""
        if sha256 != self.sha256:
            raise RefusedError(
                f"has another checkpoint under the name {self.name}: its SHA-256 begins with "
                f"{self.sha256[:8]}, and {sha256[:8]} is needed"
            )

    def model(self, compute_target: ComputeTarget) -> CardModel:
        """Return the model, loading it on first use. Raises as `load_network` does."""
        with _LOADING:
            if compute_target not in self._loaded:
                self._loaded[compute_target] = self._load(compute_target)
            return cast("CardModel", self._loaded[compute_target])

    def _load(self, compute_target: ComputeTarget) -> CardModel:
        found = hashlib.sha256(self.data.data).hexdigest()
        replace(self, sha256=found).require(self.sha256)
        from sitegen.models.registry import ModelSource
        from sitegen.sampling.models import keep_freed_memory, load_network

        keep_freed_memory()
        with tempfile.TemporaryDirectory(prefix="sitegen-") as folder:
            path = Path(folder) / self.file
            with platform_errors(path):
                path.write_bytes(self.data.data)
            return load_network(ModelSource(self.name, self.card, path, None), compute_target)


@dataclass(frozen=True, eq=False)
class ShardBlock:
    """Some steps of a shard: the state at their end, and the requested data of their levels.

    seconds: computing time on the worker with that address
    """

    state: Numbers
    seen: tuple[tuple[int, tuple[Numbers, ...]], ...]
    seconds: float
    worker: str


def receive(checkpoint: Checkpoint, sha256: str, compute_target: ComputeTarget) -> Checkpoint:
    """Load and keep a checkpoint. Raises RefusedError if it is not the one that was sent."""
    _use_all_threads()
    checkpoint.require(sha256)
    checkpoint.model(compute_target)
    return checkpoint


def take_steps(
    held: str,
    checkpoint: Mapping[str, str],
    compute_target: ComputeTarget,
    shard: SampleBatch,
    before: ShardBlock | None,
    steps: tuple[int, int],
    selection: Selection,
) -> ShardBlock:
    """Compute the steps of a block, from `shard.initial` or from the end of another block.

    held: key of the checkpoint on the workers, without the worker's address
    checkpoint: its name and digest; raises Unfit if the worker has none or a different one
    """
    from distributed import get_worker

    worker = get_worker()
    try:
        return _taken(worker, held, checkpoint, compute_target, shard, before, steps, selection)
    except SitegenError:
        raise
    except Exception as error:
        fault = words_of(error)[:500]
    raise Unfit(worker.address, f"failed: {fault}")  # no context: it may be deep


def _taken(
    worker: Any,
    held: str,
    checkpoint: Mapping[str, str],
    compute_target: ComputeTarget,
    shard: SampleBatch,
    before: ShardBlock | None,
    steps: tuple[int, int],
    selection: Selection,
) -> ShardBlock:
    import torch

    started = time.perf_counter()
    found = held_by(worker.address, worker.data, held, checkpoint)
    model = found.model(compute_target)
    if before is not None:
        shard = replace(shard, initial=torch.from_numpy(np.array(before.state)))
    state, seen = _run(model, shard.on(model.device), steps, selection)
    return ShardBlock(_numbers(state), seen, time.perf_counter() - started, worker.address)


def held_by(
    worker: str, data: Mapping[str, Any], held: str, wanted: Mapping[str, str]
) -> Checkpoint:
    """Return the checkpoint from a worker's data. Raises Unfit if it is missing or different."""
    found = data.get(f"{held}{worker}")
    if not isinstance(found, Checkpoint):
        raise Unfit(worker, f"lost the checkpoint of {wanted['name']} that it received")
    try:
        found.require(wanted["sha256"])
    except RefusedError as error:
        raise Unfit(worker, str(error)) from None
    return found


def _run(
    model: Any, shard: SampleBatch, steps: tuple[int, int], selection: Selection
) -> tuple[Tensor, tuple[tuple[int, tuple[Numbers, ...]], ...]]:
    from sitegen.sampling.executors import in_chunks

    shard = replace(shard, process=replace(shard.process, model=in_chunks(model)))
    state, seen = shard.initial, []
    for step in shard.run(*steps):
        state = step.state
        seen.append((step.level, tuple(map(_numbers, shard.select(step, selection)))))
    return state, tuple(seen)


def _numbers(tensor: Tensor) -> Numbers:
    numbers: Numbers = tensor.cpu().numpy()
    return numbers


def _use_all_threads() -> None:
    """Let torch use all of the worker's threads; dask limits it to one.

    Call this before importing modules that read the number of threads. Images do not depend on it.
    """
    import torch
    from distributed import get_worker

    torch.set_num_threads(max(torch.get_num_threads(), get_worker().state.nthreads))


def words_of(error: BaseException) -> str:
    """Return a message for a worker's exception."""
    if isinstance(error, SitegenError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"has no {error.name or 'sitegen'}; install this version of sitegen there"
    return f"{type(error).__name__}: {error}"
