"""A run: its options and rates, its state, replaced whole or refused, and the log of it."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from sitegen.core.errors import ConfigError, PlatformError, RefusedError
from sitegen.generative.training.options import TrainingOptions
from sitegen.generative.training.train import KEYS, read_state, write_state

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
    """Read back as written; full disks, damage, other files and hostile ones change nothing."""
    path = tmp_path / "training.pt"
    assert read_state(path, CPU) is None
    write_state(path, state(3))
    found = read_state(path, CPU)
    assert found is not None
    assert found["step"] == 3
    assert torch.equal(found["ema"]["weight"], torch.full((8,), 3.0))
    tmp_path = tmp_path / "more"
    tmp_path.mkdir()
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
    tmp_path = tmp_path / "rest"
    tmp_path.mkdir()
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


class _Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


SHORT = TrainingOptions(
    images=1000, batch_size=10, learning_rate=2.0, warmup_steps=10, decay_share=0.4
)


def test_rates() -> None:
    """Rates rise, stay and fall; averages follow; mistakes are told."""
    rates = [SHORT.rate(step) for step in range(SHORT.steps)]
    assert SHORT.steps == 100
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10:61] == pytest.approx([2.0] * 51)
    assert rates[60:] == pytest.approx([2.0 - 0.05 * step for step in range(40)])
    assert SHORT.rate(100) == 0
    flat = TrainingOptions(images=100, batch_size=10, warmup_steps=0, decay_share=0)
    assert {flat.rate(step) for step in range(10)} == {1e-3}
    both = TrainingOptions(images=40, batch_size=10, warmup_steps=4, decay_share=1)
    assert [both.rate(step) for step in range(4)] == pytest.approx(
        [1e-3 * share for share in (1 / 4, 2 / 4 * 3 / 4, 3 / 4 * 2 / 4, 1 / 4)]
    )
    shares = [SHORT.ema_share(step) for step in range(30_000)]
    assert shares[:3] == pytest.approx([2 / 11, 3 / 12, 4 / 13])
    assert shares == sorted(shares)
    assert shares[17_000] < 0.9995
    assert shares[-1] == 0.9995
    with pytest.raises(ConfigError) as caught:
        TrainingOptions(batch_size=-1, seed=-2)
    assert len(str(caught.value).splitlines()) == 2
    for name, value in [(k, v) for k, each in _WRONG.items() for v in each]:
        with pytest.raises(ConfigError, match=name):
            TrainingOptions(**{name: value})


_WRONG: dict[str, tuple[Any, ...]] = {
    "images": (0, 63, 1.5),
    "batch_size": (0, True),
    "ema_decay": (1,),
    "learning_rate": (0, float("nan"), float("inf")),
    "decay_share": (1.1,),
    **dict.fromkeys(("gradient_clip",), (0,)),
    **dict.fromkeys(("warmup_steps", "level_focus", "seed", "save_every_s"), (-1,)),
}
