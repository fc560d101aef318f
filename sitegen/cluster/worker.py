"""What a worker of the cluster does: it says what it is, keeps a checkpoint, and takes steps.

These functions run in a worker's process. What they need of dask and torch they import there.
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

    from sitegen.generative.process.ddpm import DiffusionModel
    from sitegen.generative.process.model import Model
    from sitegen.sampling.batches import SampleBatch, Selection

Numbers = NDArray[np.float32]

_PACKAGE = Path(__file__).resolve().parents[1]
_VERSIONS = ("torch", "numpy", "onnxruntime")
"""What decides the last bits of a picture."""
_LOADING = threading.Lock()


class Unfit(RefusedError):
    """What is wrong with a worker, and where that is; others may be well."""

    def __init__(self, worker: str, fault: str) -> None:
        super().__init__(worker, fault)
        self.worker, self.fault = worker, fault

    def __str__(self) -> str:
        return f"worker {self.worker} {self.fault}"


def versions() -> dict[str, str]:
    """What must be the same wherever a figure's shards are computed."""
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
    """The digest of sitegen's own code: a version in development changes without its number."""
    whole = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        whole.update(f"{path.relative_to(_PACKAGE).as_posix()}\0".encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()


def identity(device: str, precision: str) -> dict[str, str]:
    """The versions of this process, and what it would compute on where that is asked for."""
    found = resolve_device(device)
    return {**versions(), "device": found, "precision": resolve_precision(precision, found)}


@dataclass(eq=False)
class Checkpoint:
    """A model on its way to a worker, and there: `data` are the bytes of the file of its weights.

    It is loaded once, and that lasts as long as the object, which the worker has among its data.
    """

    name: str
    card: ModelCard
    file: str
    sha256: str
    data: NDArray[np.uint8]
    _loaded: dict[ComputeTarget, Any] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """The bytes alone go to another process."""
        return {**self.__dict__, "_loaded": {}}

    def __sizeof__(self) -> int:
        """What dask counts on: the bytes, and as many of the loaded model."""
        return 2 * self.data.nbytes

    def require(self, sha256: str) -> None:
        """Raise RefusedError unless these are the weights of that digest."""
        if sha256 != self.sha256:
            raise RefusedError(
                f"has another checkpoint under the name {self.name}: its SHA-256 begins with "
                f"{self.sha256[:8]}, and {sha256[:8]} is needed"
            )

    def model(self, compute_target: ComputeTarget) -> Model | DiffusionModel:
        """The model, loaded now or before. Raises as `load_network` does."""
        with _LOADING:
            if compute_target not in self._loaded:
                self._loaded[compute_target] = self._load(compute_target)
            return cast("Model | DiffusionModel", self._loaded[compute_target])

    def _load(self, compute_target: ComputeTarget) -> Model | DiffusionModel:
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
    """Some steps of a shard: the state that they reached, and what is wanted of their levels.

    seconds: what they took, on the worker of that address
    """

    state: Numbers
    seen: tuple[tuple[int, tuple[Numbers, ...]], ...]
    seconds: float
    worker: str


def receive(checkpoint: Checkpoint, sha256: str, compute_target: ComputeTarget) -> Checkpoint:
    """Load what came, and keep it. Raises RefusedError where it is not what was sent."""
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
    """Take the steps of a block, from `shard.initial` or from where another block ended.

    held: the key, before the worker's address, under which it keeps the checkpoint
    checkpoint: its name and digest; Unfit where the worker has none or another
    """
    from distributed import get_worker

    worker = get_worker()
    try:
        return _taken(worker, held, checkpoint, compute_target, shard, before, steps, selection)
    except SitegenError:
        raise
    except Exception as error:
        fault = words_of(error)[:500]
    raise Unfit(worker.address, f"failed: {fault}")  # without a context, which may be too deep


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
    """The checkpoint among a worker's data. Raises Unfit where it is none or another."""
    found = data.get(f"{held}{worker}")
    if not isinstance(found, Checkpoint):
        raise Unfit(worker, f"has no checkpoint of {wanted['name']}, though it was sent one")
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
    """Let torch have as many threads as the worker; dask tells it to have one.

    Comes before the modules that ask how many there are. Pictures do not depend on it.
    """
    import torch
    from distributed import get_worker

    torch.set_num_threads(max(torch.get_num_threads(), get_worker().state.nthreads))


def words_of(error: BaseException) -> str:
    """What a worker's failure says to a user."""
    if isinstance(error, SitegenError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return f"has no {error.name or 'sitegen'}; install sitegen there as it is here"
    return f"{type(error).__name__}: {error}"
