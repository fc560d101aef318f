"""Evaluation of the networks during sampling: in parts on a CPU, as one captured graph on a GPU.

On a CPU samples are cut into parts by their number and size alone, and each part is computed on one
thread, as many at a time as there are cores. Torch's last bits depend on how many threads share a
computation, so pictures depend neither on the number of cores nor on other work. A caller may cut
whole trajectories (`on_cores`); otherwise the engine cuts each batch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sitegen.core.compute import Precision
from sitegen.core.errors import PlatformError
from sitegen.core.installed import memory_full
from sitegen.generative.card.networks import UNetConfig
from sitegen.generative.networks.cosines import CosineNet
from sitegen.generative.networks.unet import UNet
from sitegen.generative.process.model import CardModel, Engine

_A = TypeVar("_A")
_T = TypeVar("_T")
CORES = torch.get_num_threads()
"""Threads of torch when this module was imported; `OMP_NUM_THREADS` determines it."""
# Afterwards torch computes on the calling thread only. After each operation its own threads wait
# busily for the next one: a quarter of the processor time of 48 faces, which parts can use.
torch.set_num_threads(1)
# With parts of 12 images, bfloat16 takes 1.10, 1.47 and 1.01 times as long on the bands of
# models/faces.
NUMBERS_IN_PART = 24 * 48 * 32 * 32
"""Largest number of values in a U-Net's widest activation for a part: 24 images of models/faces.

A larger part takes no less time per image. With 8 images, the calls of operators take up to a
third of the time.
"""
WARM_UPS = 3
"""Evaluations before a graph is captured, in which libraries choose their kernels."""
CAPTURED_SIZES = 4
"""Most graphs of a network; each holds the memory of an evaluation."""


def choose_engines(model: CardModel) -> None:
    """Set the engines of a model that will only be sampled from, and convert its U-Nets.

    Afterwards the networks must not change or move.
    """
    card, kind = model.card, model.device.type
    for band, network in enumerate(model.networks):
        unet, side = card.networks[band].unet, card.networks[band].side or card.image_size
        if isinstance(network, CosineNet):
            continue
        if kind != "cpu":
            computed = partial(model.computed, band=band)
            captured = kind == "cuda" and isinstance(network, UNet)
            model.engines[band] = Captured(computed) if captured else computed
        elif isinstance(network, UNet) and isinstance(unet, UNetConfig):
            convert(network, model.precision)
            model.engines[band] = Parts(network, images_in_part(unet, side))
        else:  # a U-Net of another program, whose norms are slow in bfloat16
            model.engines[band] = Parts(network, max(1, NUMBERS_IN_PART // (64 * side**2)))


def convert(unet: UNet, precision: Precision) -> None:
    """Give the weights the layout and type in which a CPU convolves fastest.

    Norms, the embedding of the level and the last convolution, whose answer is not rounded, stay
    float32.
    """
    # A 3 × 3 convolution of 36 × 64 × 28 × 28 takes 0.83 ms this way in bfloat16, and 5.66 ms on
    # contiguous memory; in float32 5.95 and 9.95 ms.
    unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload, unused-ignore]
    if precision == "bfloat16":
        for layer in unet.modules():
            if isinstance(layer, nn.Conv1d | nn.Conv2d) and layer is not unet.out[-1]:
                # Autocast would cast the weights again at every call, which took 16 % of the time.
                layer.to(torch.bfloat16)


def images_in_part(unet: UNetConfig, side: int) -> int:
    """Return the largest number of images of `side` pixels in a part."""
    widest = unet.widths[0] * (side // unet.patch) ** 2
    return max(1, NUMBERS_IN_PART // widest)


def part_sizes(count: int, largest: int) -> list[int]:
    """Divide `count` images into parts of at most `largest`, as even as possible.

    The number of parts is even, so that two cores finish together. The cores of this machine do not
    matter.
    """
    parts = min(count, 2 * -(-count // (2 * largest)))
    return [count * (i + 1) // parts - count * i // parts for i in range(parts)]


class Parts:
    """Engine that evaluates parts of at most `largest` images in parallel, each on one thread."""

    def __init__(self, network: Engine, largest: int, cores: int | None = None) -> None:
        self.network, self.largest = network, largest
        self.cores = CORES if cores is None else cores

    def __call__(self, x: Tensor, *more: Tensor) -> Tensor:
        """Evaluate: (N, C, H, W), levels (N,), and labels if the network takes them."""
        if _in_part.get():
            parts = zip(*(torch.split(tensor, self.largest) for tensor in (x, *more)), strict=True)
            return torch.cat([self.network(*part) for part in parts])
        sizes = part_sizes(len(x), self.largest)
        parts = zip(*(torch.split(tensor, sizes) for tensor in (x, *more)), strict=True)
        return torch.cat(on_cores(lambda part: self.network(*part), list(parts), self.cores))


_in_part: ContextVar[bool] = ContextVar("in_part", default=False)


_workers = cache(
    partial(
        ThreadPoolExecutor,
        thread_name_prefix="parts",
        initializer=partial(torch.set_num_threads, 1),  # each thread computes alone
    )
)


def on_cores(work: Callable[[_A], _T], parts: Sequence[_A], cores: int | None = None) -> list[_T]:
    """Return `work(part)` for all parts, each computed on one thread, several at a time.

    Engines that `work` calls do not cut their batches again.
    """

    @torch.no_grad()  # torch's setting is one of each thread
    def compute(part: _A) -> _T:
        token = _in_part.set(True)
        try:
            return work(part)
        finally:
            _in_part.reset(token)

    count = CORES if cores is None else cores
    if count == 1 or len(parts) == 1:
        return [compute(part) for part in parts]
    return list(_workers(count).map(compute, parts))


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turn every kind of out-of-memory error into a PlatformError with the size requested."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        full = memory_full(error)
        if full is None:
            raise
        raise PlatformError(
            f"{full} while {doing}; close other programs, or request fewer samples"
        ) from error


Replay = Callable[..., Tensor]


def capture(engine: Engine, *tensors: Tensor) -> Replay:
    """Capture `engine` for inputs of these shapes on their device; return a function to replay."""
    x, inputs = tensors[0], [tensor.clone() for tensor in tensors]
    # Torch requires a warm-up on another stream than the current one before a capture.
    stream = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            engine(*inputs)
    torch.cuda.current_stream(x.device).wait_stream(stream)
    graph: Any = torch.cuda.CUDAGraph()
    # In the default mode, "global", an allocation by another thread would break the capture.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        answer = engine(*inputs)

    def replay(*tensors: Tensor) -> Tensor:
        for static, current in zip(inputs, tensors, strict=True):
            static.copy_(current, non_blocking=True)
        graph.replay()
        # The next replay writes into the same memory.
        return answer.clone()

    return replay


class Captured:
    """Engine that captures each batch size when it occurs for the second time, as a CUDA graph.

    Without graphs, a GPU spends most of a small network's time waiting for Python to launch the
    next kernel. Beyond `CAPTURED_SIZES`, other sizes are evaluated directly. Threads may share an
    engine: their work on a device is one queue.
    """

    def __init__(self, engine: Engine, capture: Callable[..., Replay] = capture) -> None:
        self.engine, self._capture = engine, capture
        self._replays: dict[tuple[int, ...], Replay | None] = {}
        self._lock = threading.Lock()

    def __call__(self, x: Tensor, *more: Tensor) -> Tensor:
        """Evaluate: (N, C, H, W), levels (N,), and labels if the network takes them."""
        shape = tuple(x.shape)
        with self._lock:
            replay = self._replays.get(shape)
            captured = sum(other is not None for other in self._replays.values())
            if replay is None and shape in self._replays and captured < CAPTURED_SIZES:
                replay = self._capture(self.engine, x, *more)
            self._replays[shape] = replay
            return replay(x, *more) if replay else self.engine(x, *more)
