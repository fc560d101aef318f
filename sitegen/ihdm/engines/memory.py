"""What happens when memory runs out: fewer images at a time, and at one image plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from sitegen.core.errors import PlatformError
from sitegen.ihdm.process.model import Engine

_FULL = re.compile(
    r"not enough memory|can't allocate memory|[Ff]ailed to allocate memory|bad_?\s?alloc"
    r"|could not create a (primitive|memory)"
)
"""How messages of torch, its oneDNN and ONNX Runtime say what the exception's type does not."""
_WANTED = re.compile(r"(?:allocate|buffer of size:?) (\d[\d.]*) ?([KMGT]i?B|bytes)?")


@dataclass
class Halving:
    """An engine that takes fewer images at a time from when memory runs out on.

    The exception of a single image that is too much goes on to the caller.
    """

    engine: Engine
    largest: int | None = None

    def __call__(self, x: Tensor, levels: Tensor) -> Tensor:
        """As the engine, on at most `largest` images at a time."""
        most = self.largest or len(x)
        if len(x) > most:
            parts = zip(torch.split(x, most), torch.split(levels, most), strict=True)
            return torch.cat([self(*part) for part in parts])
        try:
            return self.engine(x, levels)
        except Exception as error:
            if len(x) == 1 or not is_out_of_memory(error):
                raise
        # Here the exception is gone, and with it what its traceback kept alive.
        if x.is_cuda:
            torch.cuda.empty_cache()
        self.largest = min((len(x) + 1) // 2, self.largest or len(x))
        return self(x, levels)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of numpy, torch or ONNX Runtime says that memory is full."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    of_engine = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
    return of_engine and _FULL.search(str(error)) is not None


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turn all ways to say that memory is full into a PlatformError, with what was wanted."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        found = _WANTED.search(str(error))
        wanted = f" ({found[1]} {found[2] or 'bytes'} were wanted)" if found else ""
        raise PlatformError(
            f"out of memory while {doing}{wanted}; close other programs, or ask for fewer samples"
        ) from error
