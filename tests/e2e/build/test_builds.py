"""Whole builds with the real encoder, in processes of their own: whoever runs them and where."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sitegen.build.cache import Store
from tests.support.builders import (
    DEADLY,
    INDEX,
    Builder,
    environment,
    git,
    run_python,
    run_sitegen,
    tree_hash,
    write_page,
    write_site,
)
from tests.support.records import KEY, make_record, sources

TWO = INDEX + '\n{{ trajectories("tiny", count=1, seed=3, id="second") }}\n'
NOT_INSTALLED = "torch torchvision imageio imageio_ffmpeg PIL diffusers safetensors.torch"


def test_same_bytes_for_everybody(tmp_path: Path) -> None:
    """Hash seed, time zone, language, umask, folder, number of jobs: the tree is the same."""
    hashes = set()
    for number, (zone, language, umask) in enumerate(
        [("UTC", "C", "022"), ("Pacific/Kiritimati", "tr_TR.UTF-8", "077")]
    ):
        config = write_site(tmp_path / ("longer " * number + "site"), TWO)
        changes = environment(PYTHONHASHSEED=str(number), TZ=zone, LANG=language, LC_ALL=language)
        build = [sys.executable, "-m", "tests.support.fakecli", "build", "--config", str(config)]
        command = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *build, "--jobs", str(1 + number)]
        cwd = tmp_path if number else config.parent
        subprocess.run(command, env=changes, check=True, capture_output=True, cwd=cwd)
        hashes.add(tree_hash(config.parent / "build"))
    assert len(hashes) == 1


def test_clone_on_a_runner_builds_the_same_site(tmp_path: Path) -> None:
    """The store goes through git, the site comes out the same, and what lacks is named."""
    built = Builder(write_site(tmp_path / "gpu machine"))
    built()
    (built.root / ".gitignore").write_text("/build/\n")
    for name in ("lock", "work/x", "quarantine/x"):
        (built.root / ".sitegen" / name).parent.mkdir(exist_ok=True)
        (built.root / ".sitegen" / name).write_text("not to be tracked")
    drawing = built.root / ".sitegen/objects/00/a-drawing"
    drawing.parent.mkdir()
    drawing.write_bytes(b"<svg>\n</svg>\n")
    git(built.root, "init", "--quiet")
    git(built.root, "config", "core.autocrlf", "true")  # as on Windows
    git(built.root, "add", "--all")
    git(built.root, "commit", "--quiet", "-m", "With its clips")
    git(tmp_path, "clone", "--quiet", "-c", "core.autocrlf=true", str(built.root), "runner")
    runner = tmp_path / "runner"
    tracked = {path.name for path in (runner / ".sitegen").iterdir()}
    assert tracked == {"asked", "objects", "records", "weights", ".gitattributes", ".gitignore"}
    assert (runner / ".sitegen/objects/00/a-drawing").read_bytes() == drawing.read_bytes()
    words = ("build", "--offline", "--strict")
    done = run_sitegen(runner, *words, FAKE_BLOCK=NOT_INSTALLED)
    assert (done.returncode, done.stderr) == (0, "")
    assert tree_hash(runner / "build") == tree_hash(built.output)
    assert git(runner, "status", "--porcelain") == ""
    write_page(runner / "site.toml", '{{ trajectories("tiny", count=4, seed=1) }}\n')
    done = run_sitegen(runner, *words, FAKE_BLOCK=NOT_INSTALLED)
    assert done.returncode == 1
    assert "index.md:1: tiny-trajectories" in done.stderr
    assert "seed went from 0 to 1" in done.stderr


PUT = f"""{DEADLY}
from sitegen.build.cache import Store
from tests.support.records import KEY, make_record, sources
folder = pathlib.Path(sys.argv[2])
Store(folder / "store").put(KEY, make_record(), sources(folder))
"""


@pytest.mark.parametrize("call", [1, 2, 3, 4, 10, 11, 12])
def test_kill_during_put(tmp_path: Path, call: int) -> None:
    """Killed at any flush or rename: a miss or the whole record, no warning; then put works."""
    assert run_python("-c", PUT, str(call), str(tmp_path)).returncode == -signal.SIGKILL
    warnings: list[str] = []
    store = Store(tmp_path / "store", warnings.append)
    assert store.get(KEY) == (make_record() if call == 12 else None)
    assert warnings == []
    store.put(KEY, make_record(), sources(tmp_path))
    assert store.get(KEY) == make_record()
    store.sweep()
    assert not list((tmp_path / "store").rglob(".sitegen-tmp-*"))
