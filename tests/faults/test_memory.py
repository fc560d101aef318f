"""Memory that is full makes batches smaller, and in the end one sentence; never a traceback."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sitegen.cli.exits import outcome
from sitegen.core.errors import PlatformError
from sitegen.generative.engines.memory import Halving, memory_errors
from tests.support.builders import environment
from tests.support.tinymodel import write_model

FULL = {
    "cpu": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 4096 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "onednn": RuntimeError("could not create a primitive"),
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 1"),
    "python": MemoryError(),
}


@pytest.mark.fault(15, 16)
@pytest.mark.parametrize("error", FULL.values(), ids=FULL)
def test_batches_halve_and_pictures_stay(error: Exception) -> None:
    """Where memory is full the batch halves, once for all levels; at one image it is told."""
    room, seen = 5, list[int]()

    def hungry(x: Tensor, levels: Tensor) -> Tensor:
        seen.append(len(x))
        if len(x) > room:
            raise error
        return x + levels.view(-1, 1, 1, 1)

    states = torch.arange(37 * 64.0).view(37, 1, 8, 8)
    engine = Halving(hungry)
    for level in (3, 2):
        assert torch.equal(engine(states, torch.full((37,), level)), states + level)
    assert max(seen[len(seen) // 2 :]) <= 5
    room = 0
    words = r"out of memory.* while computing level 1"
    with pytest.raises(PlatformError, match=words) as told, memory_errors("computing level 1"):
        engine(states, torch.ones(37))
    if "tried to allocate" in str(error).lower():
        assert ("4096 bytes" in str(told.value)) or ("20.00 MiB" in str(told.value))


IMPORTS = {
    "torch": ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    "numpy": ImportError("\n\nIMPORTANT: PLEASE READ THIS\n\nInput/output error", name="numpy"),
    "pillow": ImportError("_imaging.so: cannot read file data: Input/output error", name="PIL"),
    "threads": RuntimeError("can't start new thread"),
    "onednn": FULL["onednn"],
    "cuda": FULL["cuda"],
}


@pytest.mark.fault(5)
@pytest.mark.parametrize("error", IMPORTS.values(), ids=IMPORTS)
def test_libraries_that_cannot_be_loaded(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """A library that fails for want of memory, or of a disk that reads, is exit 4 in a line."""

    def command() -> None:
        raise error

    assert outcome(command) == PlatformError.exit_code
    words = capsys.readouterr().err
    assert words.startswith("error: ")
    assert words.count("\n") == 1


def limited(megabytes: int) -> Callable[[], None]:
    """Give a process so much memory and no more."""
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


@pytest.mark.fault(15)
def test_sampling_in_little_memory(tmp_path: Path) -> None:
    """However little memory there is, sampling ends well or with exit 4 in words."""
    command = [sys.executable, "-m", "sitegen", "sample", str(write_model(tmp_path / "tiny"))]
    command += ["--count", "2000", "--seed", "1", "--output"]
    codes = set()
    for megabytes in (60, 300, 900):
        done = subprocess.run(
            [*command, str(tmp_path / f"{megabytes}.npz")],
            cwd=tmp_path,
            env=environment(),
            preexec_fn=limited(megabytes),
            capture_output=True,
            text=True,
            check=False,
        )
        codes.add(done.returncode)
        assert done.returncode in (0, PlatformError.exit_code), (megabytes, done.stderr)
        assert "Traceback" not in done.stderr, (megabytes, done.stderr)
    assert PlatformError.exit_code in codes
