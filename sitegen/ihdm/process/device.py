"""The device that a network runs on: whether it is there, and what it says when memory is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sitegen.core.compute import DEVICE
from sitegen.core.errors import ConfigError, PlatformError


def require_device(device: str) -> None:
    """Raise ConfigError unless `device` is one, PlatformError unless torch can compute on it."""
    if not DEVICE.fullmatch(device):
        raise ConfigError(f"device {device}: there is auto, cpu, cuda and cuda:N")
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return
    if not torch.cuda.is_available():
        raise PlatformError(f"device {device}: torch finds no GPU here; use --device cpu")
    if index and int(index) >= torch.cuda.device_count():
        raise PlatformError(f"device {device}: there are only {torch.cuda.device_count()} GPUs")


@contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turn torch's ways to say that memory is full into a PlatformError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        full = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not full and "not enough memory" not in str(error):
            raise
        raise PlatformError(
            f"out of memory while {doing}; close other programs, or ask for fewer samples"
        ) from error
