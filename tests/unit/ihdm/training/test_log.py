"""The log has a line every few steps with the loss by level, and none of steps not taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sitegen.core.errors import PlatformError
from sitegen.ihdm.training.log import TrainingLog


def test_lines(tmp_path: Path) -> None:
    """The mean over the batches, and over those images of each band of levels that was drawn."""
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


def test_cut(tmp_path: Path) -> None:
    """Lines beyond a step, and what is no whole line, go; a log that is right is not touched."""
    log = TrainingLog(tmp_path / "log.jsonl", 4)
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


def test_unwritable(tmp_path: Path) -> None:
    """A log that cannot be written is the machine's failure."""
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(PlatformError, match=r"log\.jsonl"):
        TrainingLog(tmp_path / "log.jsonl", 4).write(1, [(torch.ones(1), torch.ones(1))])
