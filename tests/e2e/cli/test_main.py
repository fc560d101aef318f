"""The command line: what each command does, its exit codes, and what it must not import."""

import json
import re
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pytest
import torch
from PIL import Image

import sitegen.cli.main
from sitegen.cli import exits
from tests.support.builders import (
    FakeRenderer,
    run_python,
    temporaries,
    tree_hash,
    write_page,
    write_site,
)
from tests.support.tinymodel import card_of, pictures, write_model

PROBE = """
import sys
from sitegen.cli.main import cli
try:
    cli.main(sys.argv[1:], prog_name="sitegen", standalone_mode=False)
finally:
    heavy = {"torch", "numpy", "imageio_ffmpeg", "imageio", "PIL", "pydantic", "jinja2", "rich"}
    sys.stderr.write(" ".join(sorted(heavy & set(sys.modules))))
"""


class Outcome(NamedTuple):
    """What a run of the command line left: exit code, and what it said where."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process, up to the exit code."""

    def call(*words: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["sitegen", *map(str, words)])
        with pytest.raises(SystemExit) as ending:
            exits.run(lambda: sitegen.cli.main.cli.main(standalone_mode=False))
        assert isinstance(ending.value.code, int)
        return Outcome(ending.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def real(config: Path) -> Path:
    """A site with a tiny model that can be sampled; its `site.toml`."""
    write_model(config.parent / "models/tiny")
    return config


@pytest.fixture
def fake(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site that the fake renderer renders; its `site.toml`."""
    monkeypatch.setattr("sitegen.builder.render.FigureRenderer", FakeRenderer())
    return config


COMMANDS = sorted(sitegen.cli.main.cli.commands)


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=str)
def test_help(words: list[str]) -> None:
    """Each command's help has examples, says what each option does, and is quick and light."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_python("-c", PROBE, *words, "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(" ".join(["Usage: sitegen", *words]))
    assert "Examples:" in done.stdout
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 0.25
    command = sitegen.cli.main.cli.commands[words[0]] if words else sitegen.cli.main.cli
    for parameter in command.params:
        told = getattr(parameter, "help", None)
        assert told or isinstance(parameter, click.Argument), parameter


def test_build(fake: Path, run: Run) -> None:
    """It tells what it did and where to look, nothing when quiet, and more when verbose."""
    output = fake.parent / "elsewhere"
    words = ("build", "--config", fake, "--output", output)
    done = run(*words)
    assert done.code == 0
    told = "rendering tiny-trajectories: "
    assert re.fullmatch(rf"{told}5 steps\n{told}5 steps in \d s\n", done.err)
    assert "1 rendered, 0 reused" in done.out
    assert f"open it: {(output / 'index.html').as_uri()}" in done.out
    assert (output / "index.html").is_file()
    assert not (fake.parent / "build").exists()
    assert run(*words, "--quiet") == (0, "", "")
    done = run(*words, "--verbose")
    assert "1 figure(s)" in done.err
    assert "tiny-trajectories: in the store, key " in done.err
    assert "already up to date" in done.out
    done = run(*words, "-q", "-v")
    assert (done.code, "exclude each other" in done.err) == (2, True)


def test_the_command_under_a_figure(fake: Path, run: Run) -> None:
    """The command that a page names for a figure renders that figure again."""
    run("build", "--config", fake)
    html = (fake.parent / "build/index.html").read_text()
    ((words, name),) = re.findall(r"<code>sitegen (build --rerender (\S+)[^<]*)</code>", html)
    done = run(*words.split(), "--config", fake)
    assert f"rendering {name}: " in done.err
    assert "1 rendered, 0 reused" in done.out


def test_new(tmp_path: Path, run: Run) -> None:
    """It tells what it wrote and what to do next; a second time it refuses, and says why."""
    folder, clone = tmp_path / "my paper", tmp_path / "clone"
    done = run("new", folder)
    assert (done.code, done.err) == (0, "")
    told = (f"wrote {folder / 'site.toml'}", f"cd '{folder}'", "sitegen serve")
    assert all(words in done.out for words in (*told, 'SITEGEN: "sitegen-diffusion @ git+https://'))
    assert ".gitignore exists" not in done.out
    again = run("new", folder)
    assert again.code == 2
    assert f"{folder / 'pages/index.md'}: exists already" in again.err
    clone.mkdir()
    (clone / ".gitignore").touch()
    cloned = run("new", clone)
    assert ".gitignore exists and was not changed; add these lines to it:\n" in cloned.out
    assert "\n  training.pt\n" in cloned.out


def test_build_for_real(real: Path, run: Run, tmp_path: Path) -> None:
    """A second build rests; another hash seed, zone, language or folder: the same bytes."""
    write_page(real, '{{ trajectories("tiny", count=1, fps=2.0) }}\n')
    assert run("build", "--config", real).code == 0
    again = run("build", "--config", real, "--strict", "--offline")
    assert "already up to date" in again.out
    entry = json.loads((real.parent / "build/media.json").read_text())["figures"][0]
    assert entry["parameters"]["sampling_noise_std"] == 0.0125
    other = tmp_path / "elsewhere" / "site"
    shutil.copytree(real.parent, other, ignore=shutil.ignore_patterns("build", ".sitegen"))
    turkish = {"PYTHONHASHSEED": "7", "TZ": "Pacific/Kiritimati", "LC_ALL": "tr_TR.UTF-8"}
    assert run_python("-m", "sitegen", "build", folder=other, **turkish).returncode == 0
    assert tree_hash(other / "build") == tree_hash(real.parent / "build")


WRITTEN = {"models", "pages", "site.toml"}
MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "no site": (["build", "--config", "nowhere.toml"], 2, "nowhere.toml"),
    "folder for a site": (["build", "--config", "."], 2, "."),
    "bad device": (["build", "--device", "gpu"], 2, "should be auto, cpu, cuda or cuda:N"),
    "bad precision": (["build", "--precision", "half"], 2, "'half' is not one of"),
    "unknown figure": (["build", "--only", "tiny-trajectorie"], 2, "tiny-trajectories"),
    "the site's own folder": (["build", "--output", "."], 2, "choose"),
    "a file of the site": (["build", "--output", "site.toml"], 2, "choose"),
    "output in a file": (["build", "--output", "site.toml/inside"], 4, "site.toml/inside"),
    "no gpu": (["build", "--device", "cuda"], 4, "torch finds no GPU here"),
    "offline": (["build", "--offline"], 1, "index.md:3: tiny-trajectories is not in the store"),
    "no model": (["sample", "tini", "--output", "x"], 3, "tiny"),
    "no file": (["sample", "./a.pth", "--output", "x"], 3, "no such checkpoint"),
    "no output": (["sample", "tiny"], 2, "--output"),
    "no count": (["sample", "tiny", "--output", "x", "--count", "0"], 2, "0 is not in the range"),
    "huge seed": (["sample", "tiny", "--output", "x", "--seed", str(2**63)], 2, "not in the range"),
    "blur": (["add", "a", "--blur-sigma-max", "1e7"], 2, "is not in the range"),
    "no data": (["sample", "tiny", "--output", "x", "--data", "no"], 3, "no: not there"),
    "no card": (["sample", "tiny", "--output", "x", "--card", "no.toml"], 3, "no such model card"),
    "new without a name": (["new", ""], 2, "DIR is empty; name a folder"),
    "new in a file": (["new", "site.toml"], 2, "site.toml: is a file"),
    "no port": (["serve", "--port", "70000"], 2, "70000 is not in the range"),
    "nothing to serve": (["serve", "--config", "no.toml"], 2, "no.toml"),
    "inspect nothing": (["inspect", "no.pth"], 3, "no.pth: there is no such checkpoint"),
    "inspect text": (["inspect", "site.toml"], 3, "safetensors. Of another format, record its"),
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of such a site, in which no test makes anything."""
    folder = tmp_path_factory.mktemp("untouched")
    write_model(write_site(folder).parent / "models/tiny")
    return folder


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(untouched: Path, run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each has its exit code and says what is wrong; nothing is rendered or left behind."""
    words, code, said = MISTAKES[name]
    monkeypatch.chdir(untouched)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    done = run(*words)
    assert done.code == code, done.err
    assert said in done.err
    assert not [word for word in ("Traceback", "rendering ") if word in done.err]
    assert {path.name for path in untouched.iterdir()} - {".sitegen"} == WRITTEN
    assert temporaries(untouched) == []


@pytest.mark.parametrize(
    ("spoil", "code"), [(None, 3), (float("nan"), 3), (1e6, 1)], ids=["cut", "nan", "wild"]
)
def test_weights_of_nonsense(real: Path, run: Run, spoil: float | None, code: int) -> None:
    """Cut and NaN weights are refused, wild ones fail: one error with its line, nothing built."""
    path = real.parent / "models/tiny/weights.safetensors"
    if spoil is None:
        path.write_bytes(path.read_bytes()[:-100])
    else:
        write_model(path.parent, spoil=spoil)
    done = run("build", "--config", real)
    assert (done.code, done.err.count("error:")) == (code, 1)
    assert "index.md:3: tiny-trajectories: " in done.err
    assert (path.name in done.err, "level 3: sample 0" in done.err) == (code == 3, code == 1)
    assert not (real.parent / "build").exists()


def test_sample(real: Path, run: Run, tmp_path: Path) -> None:
    """By name from the site, by folder and by file: the same arrays."""
    model, made = real.parent / "models/tiny", set()
    for name in ("tiny", model, model / "weights.safetensors"):
        words = ["sample", name, "--count", "3", "--seed", str(2**63 - 1), "--config", real]
        done = run(*words, "--output", tmp_path / "x.npz")
        assert (done.code, "3 samples of" in done.out) == (0, True), done.err
        made.add((tmp_path / "x.npz").read_bytes())
    assert len(made) == 1


def test_sample_a_published_checkpoint(reference: Path, run: Run, tmp_path: Path) -> None:
    """Its card has no prior: told so, then made from the training images that --data names."""
    config = json.loads((reference / "tiny/config.json").read_text())
    write_model(tmp_path / "card", image_size=28, levels=config["K"])
    card = replace(card_of(tmp_path / "card"), prior=None, weights=None)
    unet = replace(card.finest, channel_mult=(1, 1), attention_levels=(1,), dropout=0.1)
    path = tmp_path / "card.toml"
    path.write_text(replace(card, unet=unet).to_toml())
    words = ["sample", reference / "tiny/checkpoint.pth", "--card", path, "--count", "2"]
    words += ["--output", tmp_path / "x.npz"]
    done = run(*words)
    assert done.code == 3
    assert "give a folder of training images: --data DIR" in done.err
    (tmp_path / "data").mkdir()
    for number, image in enumerate(pictures(4, size=28)):
        Image.fromarray(image[0]).save(tmp_path / f"data/{number}.png")
    assert run(*words, "--data", tmp_path / "data").code == 0
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["final"].shape == (2, 1, 28, 28)
        assert arrays["initial"].std() < arrays["final"].std()


def test_inspect(reference: Path, run: Run) -> None:
    """Lines for people, JSON for programs."""
    path = reference / "tiny/checkpoint.pth"
    done = run("inspect", path)
    assert (done.code, done.err) == (0, "")
    assert "pth" in done.out
    found = json.loads(run("inspect", path, "--json").out)
    assert (found["format"], found["parameters"] > 1000) == ("pth", True)


def test_deleted_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that was deleted, every command names it."""
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    folder.rmdir()
    for words in (("build",), ("new", "."), ("serve",)):
        done = run(*words)
        assert (done.code, f"{folder} was deleted" in done.err) == (2, True)
