"""Functions that run on a worker: report versions, keep a checkpoint, and compute a shard.

They import dask and torch when they are called.
"""

from __future__ import annotations

import hashlib
import platform
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sitegen.core.compute import ComputeTarget, resolve_device, resolve_precision
from sitegen.core.errors import RefusedError
from sitegen.core.files import platform_errors
from sitegen.core.installed import DISTRIBUTION
from sitegen.generative.card.card import ModelCard

if TYPE_CHECKING:
    from sitegen.sampling.trajectory import Part, Shown

Levels = list[tuple[int, NDArray[np.float32]]]
"""The levels of a shard, each with its displayed images (N, C, H, W)."""

_PACKAGE = Path(__file__).resolve().parents[1]
_VERSIONS = ("torch", "numpy")
"""Packages with versions that affect the last bits of an image."""
_LOADING = threading.Lock()


@cache
def versions() -> Mapping[str, str]:
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


def other_versions(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Describe the versions that differ from the `wanted` ones; empty if none does."""
    other = [
        f"{name} {found.get(name, 'none')} instead of {version}"
        for name, version in wanted.items()
        if found.get(name) != version
    ]
    return f"has {'; '.join(other)}: install the same versions there" if other else ""


@dataclass(eq=False)
class Checkpoint:
    """A model that is sent to workers; `data` is the content of its weights file.

    The model is loaded once and kept as long as the object, which is part of a worker's data.
    """

    name: str
    card: ModelCard
    file: str
    sha256: str
    data: NDArray[np.uint8]
    _loaded: dict[ComputeTarget, Any] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": {}}

    def __sizeof__(self) -> int:
        """Return the size for dask's accounting: the bytes, and as many for the loaded model."""
        return 2 * self.data.nbytes

    def model(self, compute_target: ComputeTarget) -> Any:
        """Return the model, loading it on first use.

        Raises RefusedError for bytes of another checkpoint, and as `load_network` does.
        """
        with _LOADING:
            if compute_target not in self._loaded:
                self._loaded[compute_target] = self._load(compute_target)
            return self._loaded[compute_target]

    def _load(self, compute_target: ComputeTarget) -> Any:
        from sitegen.models.registry import ModelSource
        from sitegen.sampling.models import keep_freed_memory, load_network

        if hashlib.sha256(self.data.data).hexdigest() != self.sha256:
            raise RefusedError(f"the checkpoint of {self.name} changed on its way; build again")
        keep_freed_memory()
        with tempfile.TemporaryDirectory(prefix="sitegen-") as folder:
            path = Path(folder) / self.file
            with platform_errors(path):
                path.write_bytes(self.data.data)
            return load_network(ModelSource(self.name, self.card, path, None), compute_target)


def compute_shard(
    checkpoint: Checkpoint,
    wanted: Mapping[str, str],
    compute_target: ComputeTarget,
    shard: Part,
    show: Shown,
) -> Levels:
    """Compute all levels of a shard, whose process has no model yet.

    Raises RefusedError unless this worker has the `wanted` versions, and as sampling does.
    """
    from distributed import get_worker

    if fault := other_versions(versions(), wanted):
        raise RefusedError(f"worker {get_worker().address} {fault}")
    import torch

    # dask limits torch to one thread. Images do not depend on it, but chunks.py reads it once.
    torch.set_num_threads(max(torch.get_num_threads(), get_worker().state.nthreads))
    from sitegen.sampling.trajectory import shown

    levels = shown([shard.with_model(checkpoint.model(compute_target))], show)
    return [(level, images.cpu().numpy()) for level, images in levels]
