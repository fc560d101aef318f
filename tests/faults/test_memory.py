"""Memory that is full makes batches smaller, and in the end one sentence; never a traceback."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sitegen.cli.exits import run
from sitegen.core.errors import PlatformError
from tests.support.builders import environment
from tests.support.sweeping import of_a_sweep
from tests.support.tinymodel import write_model

IMPORTS = {
    "torch": ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    "numpy": ImportError("\n\nIMPORTANT: PLEASE READ THIS\n\nInput/output error", name="numpy"),
    "pillow": ImportError("_imaging.so: cannot read file data: Input/output error", name="PIL"),
    "threads": RuntimeError("can't start new thread"),
    "onednn": RuntimeError("could not create a primitive"),
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 1"),
}


@pytest.mark.parametrize("error", IMPORTS.values(), ids=IMPORTS)
def test_libraries_that_cannot_be_loaded(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """A library that fails for want of memory, or of a disk that reads, is exit 4 in a line."""

    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        run(command)
    assert end.value.code == PlatformError.exit_code
    words = capsys.readouterr().err
    assert words.startswith("error: ")
    assert words.count("\n") == 1


def limited(megabytes: int) -> Callable[[], None]:
    """Give a process so much memory and no more."""
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))


@of_a_sweep
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
        if done.stderr.startswith("LLVM ERROR: out of memory"):
            continue  # torch's compiler ends the process itself, with these words
        assert done.returncode in (0, PlatformError.exit_code), (megabytes, done.stderr)
        assert "Traceback" not in done.stderr, (megabytes, done.stderr)
    assert PlatformError.exit_code in codes
