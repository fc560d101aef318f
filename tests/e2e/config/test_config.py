"""What other programs make of a new site: a build, git, the shell of its workflow, an editor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sitegen.config.reference import reference, site_schema
from sitegen.config.scaffold import NOT_FOR_RENDERING, WORKFLOW, ignored, new_site, scaffold
from sitegen.content.suggestions import new_page_sections
from tests.support.builders import Builder, environment, tree_hash


def sitegen(*words: str, blocked: str, folder: Path | None = None) -> str:
    """Run it where some packages are missing; what it prints."""
    command = [sys.executable, "-m", "tests.support.fakecli", *words]
    env = environment(FAKE_BLOCK=blocked)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def git(folder: Path, *words: str) -> str:
    """Run git with a name of its own, whatever the machine's settings."""
    who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org"}
    who |= {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org"}
    home = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    git = str(shutil.which("git"))
    done = subprocess.run(
        [git, *words], cwd=folder, env={**home, **who}, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_new_site_travels(tmp_path: Path) -> None:
    """It builds at once; committed and cloned, also where nothing that renders is installed."""
    new = tmp_path / "paper"
    new_site(new, new_page_sections())
    site = Builder(new / "site.toml")
    assert site(strict=True).changed
    assert site().reused
    (new / "runs/faces").mkdir(parents=True)
    for name in ("model.toml", "prior.safetensors", "training.pt", ".training.lock"):
        (new / "runs/faces" / name).write_text("x")
    git(new, "init", "--quiet")
    git(new, "add", "--all")
    tracked = git(new, "ls-files").splitlines()
    assert not [name for name in tracked if name.startswith("build/")]
    assert {Path(name).name for name in tracked if name.startswith("runs/")} == {
        "model.toml",
        "prior.safetensors",
    }
    assert {"/build/", "training.pt", ".training.lock"} <= set(ignored())
    ours = {name.split("/")[1] for name in tracked if name.startswith(".sitegen/")}
    assert {"objects", "records"} <= ours
    assert not ours & {"lock", "quarantine", "speeds.json", "work"}
    git(new, "commit", "--quiet", "--message", "A site")
    git(tmp_path, "clone", "--quiet", str(new), "runner")
    blocked = " ".join(name.replace("-", "_") for name in NOT_FOR_RENDERING)
    words = ("build", "--offline", "--strict", "--config", "site.toml")
    sitegen(*words, blocked=blocked, folder=tmp_path / "runner")
    assert tree_hash(tmp_path / "runner/build") == tree_hash(new / "build")


REQUIREMENTS = {
    "": 1,
    "sitegen": 1,
    "sitegen==0.1.0": 1,
    "sitegen>=0.1": 1,
    "sitegen @ git+https://github.com/you/sitegen@0123": 0,
    "sitegen @ https://example.org/sitegen-0.1.0-py3-none-any.whl": 0,
    "./sitegen-0.1.0-py3-none-any.whl": 0,
}


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_workflow_installs_no_stranger(requirement: str) -> None:
    """The sitegen of PyPI is another project: a bare name stops the workflow before pip."""
    script = yaml.safe_load(scaffold()[WORKFLOW])["jobs"]["build"]["steps"][0]["run"]
    found = {"PATH": os.environ["PATH"], "SITEGEN": requirement}
    command = ["bash", "-e", "-c", script]
    done = subprocess.run(command, env=found, capture_output=True, text=True, check=False)
    assert done.returncode == REQUIREMENTS[requirement]
    assert ("::error file=" in done.stdout) == bool(done.returncode)


def test_schema_where_nothing_renders() -> None:
    """`sitegen schema` prints the schema or the reference on a machine that only renders."""
    blocked = "torch imageio_ffmpeg imageio"
    assert json.loads(sitegen("schema", blocked=blocked)) == site_schema()
    assert sitegen("schema", "--reference", blocked=blocked) == reference()


def test_nothing_heavy_is_imported() -> None:
    """What only reads and renders imports neither torch, numpy nor an encoder."""
    heavy = "{'torch', 'numpy', 'imageio', 'imageio_ffmpeg', 'PIL', 'latex2mathml', 'tomlkit'}"
    names = "sitegen.figures.registry, sitegen.content.pages, sitegen.html.render"
    code = f"import sys, {names}; print(sorted({heavy} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
