"""U-Nets in ONNX Runtime, in float32 on a CPU.

Compared with torch, it takes about half the time for narrow networks and single images, and nine
tenths for wide networks and many images (`bench/README.md`). Unlike torch's, its results depend
neither on the number of threads nor on the batch size, to the last bit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sitegen.core.installed import memory_full
from sitegen.generative.networks.unet import UNet

LARGEST = 400 << 20
"""Largest size of weights in bytes. A session copies them, and temporarily needs a second copy."""


class OnnxEngine:
    """U-Net for images of `channels` × `side`², as two engines: `alone` and `together`.

    `alone` computes on the calling thread, `together` on `cores` threads.
    """

    def __init__(self, unet: UNet, channels: int, side: int, cores: int) -> None:
        from sitegen.generative.engines.onnx_graph import write_graph

        self._graph, self._cores = write_graph(unet, channels, side), cores
        self._alone = self._session(1)
        self._together: Any = None
        self._making = threading.Lock()

    def alone(self, x: Tensor, levels: Tensor) -> Tensor:
        """Map (N, C, H, W) and levels (N,) to (N, C, H, W)."""
        return _answer(self._alone, x, levels)

    def together(self, x: Tensor, levels: Tensor) -> Tensor:
        """Compute the same on all cores; the session is created on the first call."""
        with self._making:
            self._together = self._together or self._session(self._cores)
        return _answer(self._together, x, levels)

    def _session(self, threads: int) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised, and need not be printed
        options.enable_cpu_mem_arena = False  # which would hold the peak memory forever
        # Threads stop spinning after an evaluation. They share its work in small parts, so that a
        # thread held up by another program causes less delay.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("session.dynamic_block_base", "4")
        (model, weights), providers = self._graph, ["CPUExecutionProvider"]
        with _errors_of_memory():
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in weights.values()]
            options.add_external_initializers(list(weights), values)
            return onnxruntime.InferenceSession(model, options, providers=providers)


@contextmanager
def _errors_of_memory() -> Iterator[None]:
    """Turn out-of-memory errors of ONNX Runtime into RuntimeError, which they do not inherit."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    try:
        yield
    except (state.Fail, state.RuntimeException) as error:
        if memory_full(told := RuntimeError(str(error))) is None:
            raise
        raise told from error


def _answer(session: Any, x: Tensor, levels: Tensor) -> Tensor:
    # Images at one level share its embedding; `expand` stores their level once, with stride 0.
    one = levels[:1] if len(levels) > 1 and levels.stride(0) == 0 else levels
    given = {"x": x.contiguous().numpy(), "level": one.float().numpy()}
    with _errors_of_memory():
        (answer,) = session.run(None, given)
    return torch.from_numpy(answer)


def onnx_engine(unet: UNet, channels: int, side: int, cores: int) -> OnnxEngine | None:
    """Return the engine of a U-Net, or None if torch must be used.

    None if ONNX Runtime is not installed or rejects the graph, or if the network has more than
    `LARGEST` bytes of weights.
    """
    if sum(weight.nbytes for weight in unet.parameters()) > LARGEST:
        return None
    try:
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        refusals = (state.InvalidGraph, state.InvalidArgument, state.NotImplemented, state.Fail)
    except ImportError:
        return None
    try:
        return OnnxEngine(unet, channels, side, cores)
    except (ImportError, TypeError, *refusals):
        return None
