"""U-Nets in ONNX Runtime, in float32 on a CPU.

Narrow networks and single images take about half of torch's time with it, wide networks and many
images nine tenths (`bench/README.md`). Its last bits depend neither on the number of threads nor on
how many images are computed at a time; torch's do on both.
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
"""Bytes of weights. A session has a copy of them, and while it is made another."""


class OnnxEngine:
    """A U-Net for images of `channels` × `side`², as two engines: `alone` and `together`.

    `alone` computes on the calling thread, `together` on `cores` threads.
    """

    def __init__(self, unet: UNet, channels: int, side: int, cores: int) -> None:
        from sitegen.generative.engines.onnx_graph import write_graph

        self._graph, self._cores = write_graph(unet, channels, side), cores
        self._alone = self._session(1)
        self._together: Any = None
        self._making = threading.Lock()

    def alone(self, x: Tensor, levels: Tensor) -> Tensor:
        """(N, C, H, W), levels (N,) → (N, C, H, W)."""
        return _answer(self._alone, x, levels)

    def together(self, x: Tensor, levels: Tensor) -> Tensor:
        """The same on all cores; its session is made when it is first asked for."""
        with self._making:
            self._together = self._together or self._session(self._cores)
        return _answer(self._together, x, levels)

    def _session(self, threads: int) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised, and need not be printed
        options.enable_cpu_mem_arena = False  # which would keep the most that was ever needed
        # Threads that wait for each other in an evaluation do not go on doing so after it, and
        # share its work in small parts, so that one which another program holds up delays less.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("session.dynamic_block_base", "4")
        weights, providers = self._graph.weights, ["CPUExecutionProvider"]
        with _errors_of_memory():
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(each) for each in weights.values()]
            options.add_external_initializers(list(weights), values)
            return onnxruntime.InferenceSession(self._graph.model, options, providers=providers)


@contextmanager
def _errors_of_memory() -> Iterator[None]:
    """Of its errors, which are no RuntimeError of Python's, make one of those of full memory."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    try:
        yield
    except (state.Fail, state.RuntimeException) as error:
        if memory_full(told := RuntimeError(str(error))) is None:
            raise
        raise told from error


def _answer(session: Any, x: Tensor, levels: Tensor) -> Tensor:
    # Images at one level share its embedding; `expand` has given them one number to look at.
    one = levels[:1] if len(levels) > 1 and levels.stride(0) == 0 else levels
    given = {"x": x.contiguous().numpy(), "level": one.float().numpy()}
    with _errors_of_memory():
        (answer,) = session.run(None, given)
    return torch.from_numpy(answer)


def onnx_engine(unet: UNet, channels: int, side: int, cores: int) -> OnnxEngine | None:
    """The engine of a U-Net; none where torch has to do.

    That is: ONNX Runtime is not installed, or knows no such graph, or the network has more than
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
