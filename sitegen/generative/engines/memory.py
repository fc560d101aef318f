"""Handling of exhausted memory: smaller batches, and for a single image a clear error."""

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
    """Engine that halves its batches when memory is exhausted, and keeps the smaller size.

    If a single image is too large, the exception is raised to the caller.
    """

    engine: Engine
    largest: int | None = None

    def __call__(self, x: Tensor, levels: Tensor) -> Tensor:
        """Evaluate as the engine does, at most `largest` images at a time."""
        most = self.largest or len(x)
        if len(x) > most:
            parts = zip(torch.split(x, most), torch.split(levels, most), strict=True)
            return torch.cat([self(*part) for part in parts])
        try:
            return self.engine(x, levels)
        except (MemoryError, RuntimeError) as error:
            if len(x) == 1 or memory_full(error) is None:
                raise
        # Outside the handler, so that the exception's traceback no longer keeps tensors alive.
        if x.is_cuda:
            torch.cuda.empty_cache()
        self.largest = min((len(x) + 1) // 2, self.largest or len(x))
        return self(x, levels)


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
