"""Functions that run on a worker. They import dask and torch when they are called."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sitegen.core.compute import ComputeTarget, resolve_device, resolve_precision
from sitegen.core.files import platform_errors
from sitegen.generative.process.base import ProcessCard

if TYPE_CHECKING:
    from sitegen.sampling.trajectory import Part, Shown

Levels = list[tuple[int, NDArray[np.float32]]]
"""The levels of a part of the samples, each with its displayed images (N, C, H, W)."""

MODELS = 4
"""Maximum number of models that a worker keeps."""
_models: dict[tuple[object, ...], Any] = {}
"""Models by the digests of their weights and cards, and their devices."""
_loading = threading.Lock()


def settings(device: str, precision: str) -> tuple[str, str]:
    """Return the device and precision that this process would use."""
    device = resolve_device(device)
    return device, resolve_precision(precision, device)


def compute_part(
    part: Part,
    weights: tuple[str, str, bytes],
    name: str,
    card: ProcessCard,
    target: ComputeTarget,
    show: Shown,
) -> Levels:
    """Compute all levels of a part, whose process has no model yet. Raises as sampling does.

    weights: the digest, file name and content of the checkpoint
    """
    import torch
    from distributed import get_worker

    from sitegen.generative import engine
    from sitegen.models.registry import ModelSource
    from sitegen.sampling.models import load_network
    from sitegen.sampling.trajectory import shown

    worker = get_worker()
    # dask limits torch to one thread, which the engine takes for the number of cores.
    engine.CORES = max(engine.CORES, worker.state.nthreads)
    if target.device == "cuda" and isinstance(worker.name, int):  # a worker of this machine
        number = worker.name % torch.cuda.device_count()
        target = ComputeTarget(f"cuda:{number}", target.precision)
    sha256, file, data = weights
    key = sha256, card.digest, target
    # dask runs several tasks of a worker at once, in threads.
    with _loading:
        if key not in _models:
            if len(_models) == MODELS:
                _models.pop(next(iter(_models)))
            with tempfile.TemporaryDirectory(prefix="sitegen-") as folder:
                path = Path(folder) / file
                with platform_errors(path):
                    path.write_bytes(data)
                _models[key] = load_network(ModelSource(name, card, path, None), target)
        model = _models[key]
    levels = shown([part.with_model(model)], show)
    return [(level, images.cpu().numpy()) for level, images in levels]
