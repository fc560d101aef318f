"""What other programs make of a new site: a build, git, the shell of its workflow, an editor."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from sitegen.config.scaffold import WORKFLOW, ignored, new_site, scaffold
from tests.support.builders import Builder, git


def test_new_site_travels(tmp_path: Path) -> None:
    """It builds at once; what is not to be published stays out of git, and the store is in it."""
    new = tmp_path / "paper"
    new_site(new)
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
    runs = [Path(name).name for name in tracked if name.startswith("runs/")]
    assert runs == ["model.toml", "prior.safetensors"]
    assert {"/build/", "training.pt", ".training.lock"} <= set(ignored())
    ours = {name.split("/")[1] for name in tracked if name.startswith(".sitegen/")}
    assert {"objects", "records"} <= ours
    assert not ours & {"lock", "seconds.json", "work"}


REQUIREMENTS = {
    **dict.fromkeys(("", "sitegen", "sitegen==0.1.0", "sitegen>=0.1"), 1),
    "sitegen-diffusion @ git+https://github.com/you/sitegen@0123": 0,
    "sitegen-diffusion==0.1.0": 0,
    "sitegen-diffusion @ https://example.org/sitegen_diffusion-0.1.0-py3-none-any.whl": 0,
    "./sitegen_diffusion-0.1.0-py3-none-any.whl": 0,
}


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_workflow_installs_no_stranger(requirement: str) -> None:
    """PyPI's package sitegen is another project: its name stops the workflow before pip."""
    script = yaml.safe_load(scaffold()[WORKFLOW])["jobs"]["build"]["steps"][0]["run"]
    found = {"PATH": os.environ["PATH"], "SITEGEN": requirement}
    command = ["bash", "-e", "-c", script]
    done = subprocess.run(command, env=found, capture_output=True, text=True, check=False)
    assert done.returncode == REQUIREMENTS[requirement]
    assert ("::error file=" in done.stdout) == bool(done.returncode)
