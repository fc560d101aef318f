"""`make` sets itself up once, in any folder, and says in one line what a machine lacks."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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
TOOLS = ("sh", "uname", "echo", "sed", "expand", "mkdir", "cp", "touch", "rm", "make")
TARGETS = {
    "faults",
    "oldest",
    "lock",
    "help",
    "site",
    "docs",
    "test",
    "check",
    "data",
    "bench",
    "engine",
    "clean",
    "unit",
}


class Machine:
    """A checkout on a machine that has only what a test gives it."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.bin, self.log = folder / "a checkout", folder / "bin", folder / "log"
        self.bin.mkdir()
        shutil.copytree(ROOT / "scripts", self.checkout / "scripts")
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, self.checkout / name)
        for name in TOOLS:
            (self.bin / name).symlink_to(str(shutil.which(name)))

    def give(self, *names: str, text: str = "#!/bin/sh\n") -> None:
        """Put programs on the machine's PATH."""
        for name in names:
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)

    def give_python(self, name: str = "python3", *, version: int = 0, ensurepip: int = 0) -> None:
        """Give a Python whose checks end with these exit codes."""
        self.give(name, text=PYTHON.format(version=version, ensurepip=ensurepip))

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout, with a new log and these variables."""
        self.log.unlink(missing_ok=True)
        env = {"PATH": str(self.bin), "LOG": str(self.log), **settings}
        return subprocess.run(
            command, cwd=self.checkout, env=env, capture_output=True, text=True, check=False
        )

    def calls(self, word: str = "") -> list[str]:
        """How Python and npm were called by the last command, where the call has `word`."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if word in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a shell and make, and no Python."""
    return Machine(tmp_path)


def test_installed_once(machine: Machine) -> None:
    """`make site` installs once, again after a failure, and then only builds."""
    failing = PYTHON.replace("esac", '    *"--editable"*) exit 1 ;;\nesac')
    machine.give("python3", text=failing.format(version=0, ensurepip=0))
    assert machine.run("make", "site").returncode != 0
    machine.give_python()
    shutil.rmtree(machine.checkout / ".venv")
    first = machine.run("make", "site")
    assert first.returncode == 0, first.stderr
    assert len(machine.calls("-m pip")) == 2
    assert machine.run("make", "site").returncode == 0
    assert machine.calls("-m") == ["-m sitegen build"]
    machine.run("make", "docs")
    assert machine.calls() == ["-m scripts.manual", "-m sitegen build --config docs/site.toml"]
    os.utime(machine.checkout / "pyproject.toml", (4e9, 4e9))
    machine.run("make", "site")
    assert machine.calls("--editable .")
    assert {line.split()[1] for line in machine.run("make").stdout.splitlines()} == TARGETS


def test_which_python(machine: Machine) -> None:
    """That of `make site PYTHON=…`, or the first one new enough; without one, a line says so."""
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "sitegen needs Python 3.11 or newer"),
        ({"version": 1}, "sitegen needs Python 3.11 or newer"),
        ({"ensurepip": 1}, "python3 cannot make a virtual environment"),
    ]
    for codes, message in cases:
        if codes:
            machine.give_python(**codes)
        done = machine.run("make", "site")
        assert (done.returncode, done.stderr.splitlines()[0][: len(message)]) == (2, message)
        assert not (machine.checkout / ".venv" / "installed").exists()
    machine.give_python("python3", version=1)
    machine.give_python("my python")
    assert machine.run("make", "site", f"PYTHON={machine.bin}/my python").returncode == 0
    shutil.rmtree(machine.checkout / ".venv")
    machine.give_python("python3.12")
    assert machine.run("sh", "scripts/make-venv.sh").returncode == 0
    assert (machine.checkout / ".venv" / "bin" / "python").exists()


class Index(SimpleHTTPRequestHandler):
    """Answers under /cpu/."""

    def do_GET(self) -> None:
        """Answer a request."""
        if self.path.startswith("/none/"):
            self.send_error(404)
            return
        with suppress(OSError):  # the other side leaves
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nan index")


@pytest.fixture(scope="module")
def indexes() -> Iterator[str]:
    """The address of a server of package indexes."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("driver", "index", "takes_it"),
    [
        ("no-driver", "cpu", True),
        ("driver", "cpu", False),
        ("no-driver", "none", False),
    ],
)
def test_which_pytorch_is_installed(
    driver: str, index: str, takes_it: bool, indexes: str, machine: Machine
) -> None:
    """Without a GPU pip looks at the index of CPU builds if that answers; else a line says so."""
    python = (
        f'#!/bin/sh\nif [ "$1" = -c ]; then exec "{sys.executable}" "$@"; fi\necho "$@" >>"$LOG"\n'
    )
    machine.give("python", text=python)
    (machine.checkout / ".venv/bin").mkdir(parents=True)
    shutil.copy(machine.bin / "python", machine.checkout / ".venv/bin/python")
    (machine.bin / "timeout").symlink_to(str(shutil.which("timeout")))
    (machine.checkout / "driver").touch()
    settings = {"NVIDIA_DRIVER": driver, "TORCH_INDEX": f"{indexes}/{index}"}
    done = machine.run("sh", "scripts/install.sh", **settings)
    assert done.returncode == 0, done.stderr
    (install,) = machine.calls("--editable .")
    assert (f"--extra-index-url {indexes}/cpu" in install) == takes_it
    assert ("does not answer" in done.stderr) == (index == "none")
