"""The state of a run is replaced as a whole and refused when damaged; the log has what was done."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from sitegen.core.errors import PlatformError, RefusedError
from sitegen.ihdm.training.train import KEYS, TrainingLog, read_state, write_state

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
    """A full disk leaves the old state; cut or changed anywhere, one is refused."""
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


class _Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_runs_no_code(tmp_path: Path) -> None:
    """A state that would make a folder makes none, and other files of torch's are none."""
    torch.save({**state(1), "card": _Hostile(tmp_path / "trap")}, tmp_path / "training.pt")
    with pytest.raises(RefusedError, match="damaged"):
        read_state(tmp_path / "training.pt", CPU)
    assert not (tmp_path / "trap").exists()
    for value in [
        [],
        {},
        {**state(1), "step": "1"},
        {**state(1), "options": None},
        {"step": 1, "options": {}},
    ]:
        torch.save(value, tmp_path / "training.pt")
        with pytest.raises(RefusedError, match="damaged"):
            read_state(tmp_path / "training.pt", CPU)


def test_lines(tmp_path: Path) -> None:
    """Means of the batches and bands; lines beyond a step are cut; what fails is told."""
    log = TrainingLog(tmp_path / "log.jsonl", 20)
    first = (torch.tensor([1, 2, 20]), torch.tensor([1.0, 3.0, 8.0]))
    second = (torch.tensor([2, 3]), torch.tensor([5.0, 3.0]))
    log.write(50, [first, second])
    log.write(100, [second])
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert lines == [
        {"step": 50, "loss": 4.0, "by_level": {"1-2": 3.0, "3-4": 3.0, "19-20": 8.0}},
        {"step": 100, "loss": 4.0, "by_level": {"1-2": 5.0, "3-4": 3.0}},
    ]
    log = TrainingLog(tmp_path / "cut.jsonl", 4)
    log.cut(0)
    assert not log.path.exists()
    for step in (50, 100, 150):
        log.write(step, [(torch.tensor([1]), torch.tensor([1.0]))])
    kept = log.path.read_bytes().splitlines(keepends=True)[:2]
    with log.path.open("ab") as file:
        file.write(b'{"step": 20')
    log.cut(100)
    assert log.path.read_bytes() == b"".join(kept)
    before = log.path.stat()
    log.cut(100)
    assert log.path.stat() == before
    log.cut(0)
    assert log.path.read_bytes() == b""
    (tmp_path / "other.jsonl").mkdir()
    with pytest.raises(PlatformError, match=r"other\.jsonl"):
        TrainingLog(tmp_path / "other.jsonl", 4).write(1, [(torch.ones(1), torch.ones(1))])


@pytest.mark.parametrize("levels", [1, 3, 8, 10, 101])
def test_every_level_has_a_band(tmp_path: Path, levels: int) -> None:
    """The bands cover 1 … K once."""
    log = TrainingLog(tmp_path / "log.jsonl", levels)
    log.write(1, [(torch.arange(1, levels + 1), torch.ones(levels))])
    bands = json.loads(log.path.read_text())["by_level"]
    ends = [tuple(map(int, band.split("-"))) for band in bands]
    covered = [level for low, high in ends for level in range(low, high + 1)]
    assert covered == list(range(1, levels + 1))
    assert len(bands) <= 10
