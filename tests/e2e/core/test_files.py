"""A killed writer leaves the old content or the new."""

import signal
from pathlib import Path

import pytest

from tests.support.builders import DEADLY, run_python

WRITE = f"""{DEADLY}
from sitegen.core import files
pathlib.Path.unlink = deadly(pathlib.Path.unlink)
os.rmdir = deadly(os.rmdir)
files.write_atomic(pathlib.Path(sys.argv[2]), b"new")
"""


@pytest.mark.parametrize("call", [1, 2])
def test_kill_leaves_old_or_new(tmp_path: Path, call: int) -> None:
    """Killed at the rename or in the clean-up, the file has its old content or its new one."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    assert run_python("-c", WRITE, str(call), str(path)).returncode == -signal.SIGKILL
    assert path.read_bytes() == (b"old" if call == 1 else b"new")
