"""`make` sets itself up once, in any folder, and says in one line what a machine lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# A Python that notes how it is called, makes a .venv of itself, and does nothing else.
PYTHON = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
    *version_info*) exit {version} ;;
    *ensurepip*) exit {ensurepip} ;;
    *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""
TOOLS = ("sh", "echo", "sed", "expand", "mkdir", "cp", "touch", "rm", "make", "cmp")


class Machine:
    """A checkout on a machine that has only what a test gives it."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.bin, self.log = folder / "a checkout", folder / "bin", folder / "log"
        self.checkout.mkdir(parents=True)
        self.bin.mkdir()
        for name in ("Makefile", "pyproject.toml", "scripts"):
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, self.checkout / name)
        (self.checkout / "tests" / "npm").mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / "tests" / "npm" / name, self.checkout / "tests" / "npm")
        for name in TOOLS:
            (self.bin / name).symlink_to(str(shutil.which(name)))

    def give(self, name: str, text: str = "#!/bin/sh\n") -> None:
        """Put a program on the machine's PATH."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def give_python(self, name: str = "python3", *, version: int = 0, ensurepip: int = 0) -> None:
        """Give a Python whose checks end with these exit codes."""
        self.give(name, PYTHON.format(version=version, ensurepip=ensurepip))

    def give_tools(self) -> None:
        """Give what the tests of the page need; npm notes how it is called."""
        for name in ("chromium", "ffprobe", "node"):
            self.give(name)
        self.give("npm", '#!/bin/sh\necho "$@" >> "$LOG"\nmkdir -p node_modules\n')

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout."""
        environment = {"PATH": str(self.bin), "LOG": str(self.log), **variables}
        return subprocess.run(
            command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False
        )

    def calls(self, word: str) -> list[str]:
        """How Python was called, where the call has `word`."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if word in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a shell and make, and no Python."""
    return Machine(tmp_path)


def test_installed_once(machine: Machine) -> None:
    """`make site` makes .venv and installs, and then only builds until pyproject.toml changes.

    Spaces in the path will do. `make docs` writes pages from the code, and builds the
    manual. `make` alone lists the targets with what they do.
    """
    machine.give_python()
    first = machine.run("make", "site")
    assert first.returncode == 0, first.stderr
    assert len(machine.calls("-m pip")) == 2
    machine.log.unlink()
    assert machine.run("make", "site").returncode == 0
    assert machine.calls("-m pip") == machine.calls("-m venv") == []
    assert machine.calls("-m sitegen build") == ["-m sitegen build"]
    machine.run("make", "docs")
    assert machine.calls("")[-2:] == [
        "-m scripts.manual",
        "-m sitegen build --config docs/site.toml",
    ]
    os.utime(machine.checkout / "pyproject.toml", (4e9, 4e9))
    machine.run("make", "site")
    assert machine.calls("--editable .")
    listed = {line.split()[1] for line in machine.run("make").stdout.splitlines()}
    wanted = {"help", "site", "docs", "test", "check", "data", "bench", "engine", "clean", "unit"}
    assert listed == wanted


def test_which_python(machine: Machine, tmp_path: Path) -> None:
    """That of `make site PYTHON=…`, also with a space in its path; the first one new enough."""
    machine.give_python("python3", version=1)
    machine.give_python("my python")
    assert machine.run("make", "site", f"PYTHON={machine.bin}/my python").returncode == 0
    shutil.rmtree(machine.checkout / ".venv")
    machine.give_python("python3.12")
    assert machine.run("sh", "scripts/make-venv.sh").returncode == 0
    assert (machine.checkout / ".venv" / "bin" / "python").exists()


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (None, "sitegen needs Python 3.11 or newer"),
        ({"version": 1}, "sitegen needs Python 3.11 or newer"),
        ({"ensurepip": 1}, "python3 cannot make a virtual environment"),
    ],
    ids=["none", "old", "without venv"],
)
def test_missing_python_is_told(
    machine: Machine, python: dict[str, int] | None, message: str
) -> None:
    """No Python, an old one, or one without venv: one line, and make fails."""
    if python is not None:
        machine.give_python(**python)  # type: ignore[arg-type]
    done = machine.run("make", "site")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith(message)
    assert not (machine.checkout / ".venv" / "installed").exists()


def test_failed_install_is_tried_again(machine: Machine) -> None:
    """Where pip fails there is no stamp, so the next run installs."""
    failing = PYTHON.replace("esac", '    *"--editable"*) exit 1 ;;\nesac')
    machine.give("python3", failing.format(version=0, ensurepip=0))
    assert machine.run("make", "site").returncode != 0
    machine.log.unlink()
    machine.run("make", "site")
    assert machine.calls("--editable .")


def test_browser_needs(machine: Machine) -> None:
    """Not root: what is missing is named, once. Where all is there nothing is said or installed.

    Nor is it of npm, until it changes.
    """
    machine.give("id", "#!/bin/sh\necho 1000\n")
    for name in ("ffprobe", "node"):
        machine.give(name)
    done = machine.run("sh", "scripts/browser-needs.sh")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith(": chromium fonts-dejavu-core npm")
    machine.give_tools()
    assert machine.run("sh", "scripts/browser-needs.sh").returncode == 0
    assert machine.calls("ci ") == ["ci --silent --no-audit --no-fund --ignore-scripts"]
    machine.log.unlink()
    done = machine.run("sh", "scripts/browser-needs.sh")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls("ci") == []
    (machine.checkout / "tests" / "npm" / "package-lock.json").write_text("{}")
    machine.run("sh", "scripts/browser-needs.sh")
    assert len(machine.calls("ci ")) == 1
