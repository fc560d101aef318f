"""Completion in a real bash; for the other shells, the script that click has for them."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.builders import environment
from tests.support.paths import ROOT


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The folder of a `sitegen` as pip installs it."""
    path = tmp_path / "sitegen"
    path.write_text(f"#!{sys.executable}\nfrom sitegen.__main__ import main\nmain()\n")
    path.chmod(0o755)
    return tmp_path


LINES = {
    "s": "sample schema serve",
    "build --o": "--output --only --offline",
    "train x --kind f": "flow",
}


@pytest.mark.parametrize("line", LINES)
def test_bash(program: Path, line: str) -> None:
    """What bash offers at the end of a line, after the script has been read."""
    words = f"sitegen {line}".split(" ")
    script = (
        'eval "$(sitegen completion bash)"\n'
        f"COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}\n"
        "_sitegen_completion sitegen\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    env = environment(PATH=f"{program}:{os.environ['PATH']}")
    command = ["bash", "--norc", "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{LINES[line]}\n", "")
