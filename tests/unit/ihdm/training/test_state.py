"""The state of a run is replaced as a whole, survives failures, and is refused when damaged."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from sitegen.core.errors import PlatformError, RefusedError
from sitegen.ihdm.training.state import KEYS, read_state, write_state

CPU = torch.device("cpu")


def state(step: int, size: int = 8) -> dict[str, Any]:
    """A state of the right form."""
    tensors = {"weight": torch.full((size,), float(step))}
    return {**dict.fromkeys(KEYS, tensors), "step": step, "options": {"seed": 0}, "card": "x"}


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """Let no file grow beyond `limit` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_round_trip(tmp_path: Path) -> None:
    """Read back as written, and None before there is any."""
    path = tmp_path / "training.pt"
    assert read_state(path, CPU) is None
    write_state(path, state(3))
    found = read_state(path, CPU)
    assert found is not None
    assert found["step"] == 3
    assert torch.equal(found["ema"]["weight"], torch.full((8,), 3.0))


def test_full_disk(tmp_path: Path) -> None:
    """A disk that takes no more leaves the old state and no temporary."""
    path = tmp_path / "training.pt"
    write_state(path, state(1))
    before = path.read_bytes()
    for limit in (1, 100_000):
        with (
            small_files(limit),
            pytest.raises(PlatformError, match=r"training\.pt: File too large"),
        ):
            write_state(path, state(2, 1 << 18))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["training.pt"]


def test_damage(tmp_path: Path) -> None:
    """Cut or changed anywhere that counts, it is refused with what to do."""
    path = tmp_path / "training.pt"
    write_state(path, state(1, 64))
    whole = path.read_bytes()
    inside = whole.index(torch.ones(64).numpy().tobytes())
    changed = [bytearray(whole) for _ in range(2)]
    changed[0][inside + 5] ^= 1
    changed[1][whole.index(b"options")] ^= 1
    for data in [*map(bytes, changed), whole[:-30], whole[: len(whole) // 2], b"", b"words"]:
        path.write_bytes(data)
        with pytest.raises(RefusedError, match=r"training\.pt: .*damaged .*delete it"):
            read_state(path, CPU)


@pytest.mark.parametrize(
    "value",
    [[], {}, {**state(1), "step": "1"}, {**state(1), "options": None}, {"step": 1, "options": {}}],
)
def test_another_file(tmp_path: Path, value: object) -> None:
    """A file of torch's that holds no state is refused."""
    torch.save(value, tmp_path / "training.pt")
    with pytest.raises(RefusedError, match="damaged"):
        read_state(tmp_path / "training.pt", CPU)


class _Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_runs_no_code(tmp_path: Path) -> None:
    """A state that would make a folder makes none."""
    torch.save({**state(1), "card": _Hostile(tmp_path / "trap")}, tmp_path / "training.pt")
    with pytest.raises(RefusedError, match="damaged"):
        read_state(tmp_path / "training.pt", CPU)
    assert not (tmp_path / "trap").exists()
