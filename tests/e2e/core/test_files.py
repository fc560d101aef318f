"""Files survive the end of other processes: killed writers, children of a holder, busy readers."""

import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sitegen.core import files, locks
from tests.support.builders import DEADLY, run_python

WRITE = f"""{DEADLY}
from sitegen.core import files
pathlib.Path.unlink = deadly(pathlib.Path.unlink)
files.write_atomic(pathlib.Path(sys.argv[2]), b"new")
"""
READ = """
import os, sys
print("reading", flush=True)
while not os.path.exists(sys.argv[2]):
    open(sys.argv[1]).close()
"""


@pytest.mark.parametrize("call", [1, 2, 3])
def test_kill_leaves_old_or_new(tmp_path: Path, call: int) -> None:
    """Killed at the flush, the rename or the clean-up: old or new content, and sweep clears up."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    assert run_python("-c", WRITE, str(call), str(path)).returncode == -signal.SIGKILL
    assert path.read_bytes() == (b"old" if call < 3 else b"new")
    files.remove_stale_temporaries(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_lock_is_free_while_a_child_lives(tmp_path: Path) -> None:
    """A process that was started while the lock was held, and lives on, does not keep it."""
    path = tmp_path / "lock"
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    try:
        with locks.lock(path):
            child.start()
        with locks.lock(path):
            assert child.is_alive()
    finally:
        child.kill()
        child.join()


def test_reader_never_misses_the_site(tmp_path: Path) -> None:
    """A process that opens the site over and over finds it whole during 60 exchanges."""
    current, new, stop = (tmp_path / name for name in ("site", "new", "stop"))
    current.mkdir()
    (current / "a").touch()
    command = [sys.executable, "-c", READ, str(current / "a"), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"reading\n"
        for number in range(60):
            new.mkdir()
            (new / "a").write_text(str(number))
            files.exchange(new, current)
        stop.touch()
    assert process.returncode == 0
