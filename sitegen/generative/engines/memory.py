"""What happens when memory runs out: fewer images at a time, and at one image plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from sitegen.core.errors import PlatformError
from sitegen.core.installed import memory_full
from sitegen.generative.process.model import Engine


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
        except (MemoryError, RuntimeError) as error:
            if len(x) == 1 or memory_full(error) is None:
                raise
        # Here the exception is gone, and with it what its traceback kept alive.
        if x.is_cuda:
            torch.cuda.empty_cache()
        self.largest = min((len(x) + 1) // 2, self.largest or len(x))
        return self(x, levels)


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turn all ways to say that memory is full into a PlatformError, with what was wanted."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        full = memory_full(error)
        if full is None:
            raise
        raise PlatformError(
            f"{full} while {doing}; close other programs, or ask for fewer samples"
        ) from error
