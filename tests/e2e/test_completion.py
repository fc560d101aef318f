"""Completion in a real bash; for the other shells, the script that click has for them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sitegen.cli.commands.reference import SHELLS
from sitegen.cli.main import cli
from tests.support.builders import environment

MAIN = "#!{python}\nfrom sitegen.__main__ import main\nmain()\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The folder of a `sitegen` as pip installs it."""
    path = tmp_path / "sitegen"
    path.write_text(MAIN.format(python=sys.executable))
    path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sitegen bu", ["build"]),
        ("sitegen s", ["sample", "schema", "serve"]),
        ("sitegen build --o", ["--output", "--only", "--offline"]),
        ("sitegen build --precision ", ["auto", "float32", "bfloat16"]),
        ("sitegen completion ", ["bash", "zsh", "fish"]),
        ("sitegen sample mn", ["mnist", "mnist-ddpm"]),
        ("sitegen add x --preset ci", ["cifar10"]),
        ("sitegen build --only mnist-t", ["mnist-trajectories"]),
        ("sitegen serve --device ", ["auto", "cpu", "cuda"]),
        ("sitegen train x --device c", ["cpu", "cuda"]),
    ],
)
def test_bash(program: Path, line: str, offered: list[str]) -> None:
    """What bash offers at the end of a line, after the script has been read."""
    words = line.split(" ")
    script = (
        'eval "$(sitegen completion bash)"\n'
        f"COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}\n"
        "_sitegen_completion sitegen\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    env = environment()
    env["PATH"] = f"{program}:{env['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split() == offered


def test_scripts() -> None:
    """Each shell has a script that asks our program; others are answered with those that have."""
    for shell in SHELLS:
        done = CliRunner().invoke(cli, ["completion", shell])
        assert done.exit_code == 0
        assert f"_SITEGEN_COMPLETE={shell}_complete" in done.output
    done = CliRunner().invoke(cli, ["completion", "tcsh"])
    assert done.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in done.output
