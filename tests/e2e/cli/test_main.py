"""The command line: what each command does, its exit codes, and what it must not import."""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import sitegen.cli.main
from sitegen.cli import exits
from sitegen.cli import options as shared
from tests.support.builders import (
    INDEX,
    SITE,
    FakeRenderer,
    environment,
    temporaries,
    tree_hash,
    write_page,
    write_site,
)
from tests.support.tinymodel import card_of, on_one_thread, pictures, write_model

one_thread = pytest.fixture(scope="module", autouse=True)(on_one_thread)

PROBE = """
import sys
from sitegen.cli.main import cli
try:
    cli.main(sys.argv[1:], standalone_mode=False)
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
        code = exits.outcome(lambda: sitegen.cli.main.cli.main(standalone_mode=False))
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A site with a tiny model that can be sampled; its `site.toml`."""
    config = write_site(tmp_path / "site")
    write_model(config.parent / "models/tiny")
    return config


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site that the fake renderer renders; its `site.toml`."""
    monkeypatch.setattr(shared, "figure_renderer", FakeRenderer())
    return write_site(tmp_path / "site")


COMMANDS = sorted(sitegen.cli.main.cli.commands)


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=str)
def test_help(words: list[str]) -> None:
    """Every command has help with examples, and every option says what it does."""
    done = CliRunner().invoke(sitegen.cli.main.cli, [*words, "--help"])
    assert done.exit_code == 0
    assert "Examples:" in done.output
    command = sitegen.cli.main.cli.commands[words[0]] if words else sitegen.cli.main.cli
    for parameter in command.params:
        told = getattr(parameter, "help", None)
        assert told or isinstance(parameter, click.Argument), parameter


def test_help_is_quick() -> None:
    """A quarter of a second of processor time at most; nothing heavy, but what checks a recipe."""
    for words in ([], *([name] for name in COMMANDS)):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = in_a_process("-c", PROBE, *words, "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        training = words == ["train"]  # shows what the trainer's options may be
        assert done.stderr == ("pydantic" if training else ""), words
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        assert spent < (0.75 if training else 0.25), (words, spent)


def in_a_process(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    options = {"env": environment(), "capture_output": True, "text": True, "check": True, **options}
    return subprocess.run([sys.executable, *words], **options)


def test_python_m_sitegen() -> None:
    """`python -m sitegen` is the command line, and knows its version."""
    assert "sitegen, " in in_a_process("-m", "sitegen", "--version").stdout
    assert "Usage:" in in_a_process("-m", "sitegen", "--help").stdout


def test_build(fake: Path, run: Run) -> None:
    """It tells what it did and where to look, and writes where it is told to."""
    output = fake.parent / "elsewhere"
    done = run("build", "--config", fake, "--output", output)
    assert done.code == 0
    told = "rendering tiny-trajectories: "
    assert re.fullmatch(rf"{told}5 steps\n{told}done in \d s\n", done.err)
    assert "1 rendered, 0 reused" in done.out
    assert f"look at it: {(output / 'index.html').as_uri()}" in done.out
    assert (output / "index.html").is_file()
    assert not (fake.parent / "build").exists()


def test_quiet_and_verbose(fake: Path, run: Run) -> None:
    """Nothing at all but warnings; or what was found, and under which key; never both."""
    done = run("build", "--config", fake, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    done = run("build", "--config", fake, "--verbose")
    assert "1 figure(s)" in done.err
    assert "tiny-trajectories: in the store, key " in done.err
    assert "already up to date" in done.out
    done = run("build", "--config", fake, "-q", "-v")
    assert done.code == 2
    assert "contradict" in done.err


def test_new(tmp_path: Path, run: Run) -> None:
    """It tells what it wrote and what to do next; a second time it refuses, and says why."""
    folder = tmp_path / "my paper"
    done = run("new", folder)
    assert (done.code, done.err) == (0, "")
    assert f"wrote {folder / 'site.toml'}" in done.out
    assert f"cd '{folder}'" in done.out
    assert "sitegen serve" in done.out
    assert 'SITEGEN: "sitegen @ git+https://' in done.out
    assert ".gitignore was there" not in done.out
    again = run("new", folder)
    assert again.code == 2
    assert f"{folder / 'pages/index.md'}: is there already" in again.err
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone/.gitignore").touch()
    cloned = run("new", tmp_path / "clone")
    assert ".gitignore was there and stays as it is; add these lines to it:\n" in cloned.out
    assert "\n  training.pt\n" in cloned.out


def test_build_for_real(real: Path, run: Run, tmp_path: Path) -> None:
    """Page to clip with the real renderer, a second build at rest, another process: same bytes."""
    assert run("build", "--config", real).code == 0
    again = run("build", "--config", real, "--strict", "--offline")
    assert "already up to date" in again.out
    entry = json.loads((real.parent / "build/media.json").read_text())["figures"][0]
    assert entry["parameters"]["sampling_noise_std"] == 0.0125
    other = tmp_path / "elsewhere" / "site"
    shutil.copytree(real.parent, other, ignore=shutil.ignore_patterns("build", ".sitegen"))
    changes = environment(PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    in_a_process("-m", "sitegen", "build", "--jobs", "2", env=changes, cwd=other)
    assert tree_hash(other / "build") == tree_hash(real.parent / "build")


def test_output_as_a_link(fake: Path, run: Run) -> None:
    """A link to a folder stays a link, however it is written, also to one that is not there."""
    target, link = fake.parent / "target" / "deeper", fake.parent / "link"
    link.symlink_to(target)
    for number, slash in (("4", ""), ("IV", ""), ("IIII", "/.")):
        write_page(fake, INDEX.replace("Four", number))
        assert run("build", "--config", fake, "--output", f"{link}{slash}").code == 0
        assert link.is_symlink()
        assert f"{number} of them" in (target / "index.html").read_text()
        assert temporaries(fake.parent) == []


def test_folders_of_others_are_left_alone(fake: Path, run: Run) -> None:
    """The site's own folder, or the pages: exit 2, nothing rendered, nothing touched."""
    before = tree_hash(fake.parent)
    for output in (fake.parent, fake.parent / "pages", fake):
        done = run("build", "--config", fake, "--output", output)
        assert done.code == 2
        assert "choose" in done.err
    assert tree_hash(fake.parent) == before


MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "no such option": (["build", "--outputs", "x"], 2, "No such option"),
    "no such command": (["biuld"], 2, "No such command"),
    "no site": (["build", "--config", "nowhere.toml"], 2, "nowhere.toml"),
    "folder for a site": (["build", "--config", "."], 2, "."),
    "bad device": (["build", "--device", "gpu"], 2, "there is auto, cpu, cuda and cuda:N"),
    "bad precision": (["build", "--precision", "half"], 2, "'half' is not one of"),
    "no jobs": (["build", "--jobs", "0"], 2, "0 is not in the range"),
    "unknown figure": (["build", "--only", "tiny-trajectorie"], 2, "tiny-trajectories"),
    "no gpu": (["build", "--device", "cuda"], 4, "torch finds no GPU here"),
    "no gpu to sample": (["sample", "tiny", "--output", "x", "--device", "cuda:3"], 4, "GPU"),
    "offline": (["build", "--offline"], 1, "index.md:3: tiny-trajectories is not in the store"),
    "no model": (["sample", "tini", "--output", "x"], 3, "tiny"),
    "no file": (["sample", "./a.pth", "--output", "x"], 3, "no such checkpoint"),
    "no output": (["sample", "tiny"], 2, "--output"),
    "no count": (["sample", "tiny", "--output", "x", "--count", "0"], 2, "0 is not in the range"),
    "seed": (["sample", "tiny", "--output", "x", "--seed", "-1"], 2, "-1 is not in the range"),
    "huge seed": (["sample", "tiny", "--output", "x", "--seed", str(2**63)], 2, "not in the range"),
    "nan": (["sample", "tiny", "--output", "x", "--sampling-noise-std", "nan"], 2, "NaN"),
    "picture": (["sample", "tiny", "--output", "x.png"], 2, "must not end in .png"),
    "no such site": (["sample", "tiny", "--output", "x", "--config", "no.toml"], 2, "no.toml"),
    "no data": (["sample", "tiny", "--output", "x", "--data", "no"], 3, "no: not there"),
    "no card": (["sample", "tiny", "--output", "x", "--card", "no.toml"], 3, "no such model card"),
    "no folder": (["new"], 2, "Missing argument 'DIR'"),
    "new without a name": (["new", ""], 2, "DIR is empty; name a folder"),
    "new in a file": (["new", "site.toml"], 2, "site.toml: is a file"),
    "no port": (["serve", "--port", "70000"], 2, "70000 is not in the range"),
    "nothing to serve": (["serve", "--config", "no.toml"], 2, "no.toml"),
    "inspect nothing": (["inspect", "no.pth"], 3, "no.pth: there is no such checkpoint"),
    "inspect a page": (["inspect", "pages/index.md"], 3, "neither a .pth nor safetensors"),
    "inspect an empty folder": (["inspect", "pages"], 3, "holds no checkpoint"),
}


@pytest.mark.parametrize(("words", "code", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(
    real: Path, run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    """Each has its exit code and says what is wrong; nothing is left behind."""
    monkeypatch.chdir(real.parent)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = {path.name for path in real.parent.iterdir()}
    done = run(*words)
    assert done.code == code, done.err
    assert said in done.err
    assert "Traceback" not in done.err
    assert {path.name for path in real.parent.iterdir()} - {".sitegen"} == before
    assert temporaries(real.parent) == []


@pytest.mark.parametrize(
    ("spoil", "code"), [(None, 3), (float("nan"), 3), (1e6, 1)], ids=["cut", "nan", "wild"]
)
def test_weights_of_nonsense(real: Path, run: Run, spoil: float | None, code: int) -> None:
    """A cut file and NaN are refused; weights that lead nowhere are a figure that cannot be made.

    One error, with page and line; nothing is built.
    """
    path = real.parent / "models/tiny/weights.safetensors"
    if spoil is None:
        path.write_bytes(path.read_bytes()[:-100])
    else:
        write_model(path.parent, spoil=spoil)
    done = run("build", "--config", real)
    assert done.code == code
    assert "index.md:3: tiny-trajectories: " in done.err
    assert done.err.count("error:") == 1
    assert (path.name in done.err) == (code == 3)
    assert not (real.parent / "build").exists()


@pytest.mark.parametrize("executable", ["/nowhere/ffmpeg", __file__])
def test_no_encoder(real: Path, run: Run, executable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ffmpeg, or a file that is none: exit 4 before anything is sampled; old clips still do."""
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", executable)
    done = run("build", "--config", real)
    assert done.code == 4
    assert "ffmpeg" in done.err
    assert "rendering" not in done.err
    monkeypatch.delenv("IMAGEIO_FFMPEG_EXE")
    assert run("build", "--config", real).code == 0
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", executable)
    write_page(real, INDEX.replace("Four", "4"))
    assert run("build", "--config", real).code == 0


@pytest.mark.parametrize("name", ["output", "cache_dir"])
def test_unwritable_folder_is_found_before_sampling(fake: Path, run: Run, name: str) -> None:
    """A file where a folder must be made: exit 4 with its path, nothing rendered."""
    (fake.parent / "file").touch()
    fake.write_text(f'{name} = "file/inside"\n{SITE}')
    done = run("build", "--config", fake)
    assert done.code == 4
    assert f"{fake.parent}/file/inside" in done.err
    assert "rendering" not in done.err


def test_sample(real: Path, run: Run, tmp_path: Path) -> None:
    """By name from the site, by folder and by file: the same arrays."""
    model = real.parent / "models/tiny"
    for number, name in enumerate(("tiny", model, model / "weights.safetensors")):
        words = ["sample", name, "--count", "3", "--seed", str(2**63 - 1), "--config", real]
        done = run(*words, "--output", tmp_path / f"{number}.npz")
        assert done.code == 0, done.err
        assert "3 samples of" in done.out
    first, *others = ((tmp_path / f"{number}.npz").read_bytes() for number in range(3))
    assert all(other == first for other in others)


def test_sample_a_published_checkpoint(reference: Path, run: Run, tmp_path: Path) -> None:
    """Its card has no prior: told so, then made from the training images that --data names."""
    config = json.loads((reference / "tiny/config.json").read_text())
    write_model(tmp_path / "card", image_size=28, levels=config["K"])
    card = replace(card_of(tmp_path / "card"), prior=None, weights=None)
    unet = replace(card.unet, channel_mult=(1, 1), attention_levels=(1,), dropout=0.1)
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


def test_inspect(real: Path, reference: Path, run: Run) -> None:
    """A folder, our weights and a published checkpoint; lines for people, JSON for programs."""
    model = real.parent / "models/tiny"
    for path, kind in (
        (model, "safetensors"),
        (model / "weights.safetensors", "safetensors"),
        (reference / "tiny/checkpoint.pth", "pth"),
    ):
        done = run("inspect", path)
        assert (done.code, done.err) == (0, "")
        assert kind in done.out
        found = json.loads(run("inspect", path, "--json").out)
        assert found["format"] == kind
        assert found["parameters"] > 1000
