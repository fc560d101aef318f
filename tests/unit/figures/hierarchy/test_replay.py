"""Pictures that are sampled once and shown twice: the same, from memory or from a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sitegen.core.errors import PlatformError
from sitegen.figures.hierarchy import sample as replay
from sitegen.figures.hierarchy.sample import Replay
from sitegen.media.frames import Frame


def pictures() -> Iterator[tuple[int, Frame]]:
    """More and more pictures, of every level a different number."""
    generator = np.random.default_rng(0)
    for level in range(5, -1, -1):
        yield level, generator.integers(0, 256, (6 - level, 4, 3, 3), np.uint8)


@pytest.mark.parametrize("room", [1_000_000, 100])
def test_twice_the_same(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is asked once, and both times it is what it gave."""
    monkeypatch.setattr(replay, "IN_MEMORY", room)
    kept = Replay(pictures())
    first, again = list(kept.first()), list(kept.again())
    for given, one, other in zip(pictures(), first, again, strict=True):
        assert given[0] == one[0] == other[0]
        np.testing.assert_array_equal(given[1], one[1])
        np.testing.assert_array_equal(given[1], other[1])


def test_it_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture is handed on before the next; nothing is left behind; a full disk is told."""
    stream = pictures()
    taken = Replay(stream).first()
    assert next(taken)[0] == 5
    assert next(stream)[0] == 4
    monkeypatch.setattr(replay, "IN_MEMORY", 10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    whole, half = Replay(pictures()), Replay(pictures())
    list(whole.first())
    next(half.first())
    assert list(tmp_path.iterdir()) == []
    list(whole.again())
    assert not whole._close.alive
    closing = half._close
    del half
    assert not closing.alive
    kept = Replay(pictures())
    kept._file.close()
    kept._file = open("/dev/full", "wb", buffering=0)  # type: ignore[assignment]  # noqa: SIM115
    with pytest.raises(PlatformError, match=f"cannot write {tmp_path}: "), kept._file:
        list(kept.first())
