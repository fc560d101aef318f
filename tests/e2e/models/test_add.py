"""`sitegen add` as it is typed: from a checkpoint to a page, on a terminal, and killed."""

import json
import re
import shlex
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from sitegen.generative.training.recipe import as_ddpm
from tests.support.adding import (
    CHECKPOINT,
    CONFIG,
    DATA,
    SITE,
    TOLD,
    add,
    draw,
    source,
    write_birds,
)
from tests.support.builders import (
    decode,
    run_python,
    temporaries,
    write_page,
)
from tests.support.forked import run_forked
from tests.support.making import random_unet, save, small_card
from tests.support.tinymodel import card_of

WORDS = [f"--{field.replace('_', '-')}={value}" for field, value in TOLD.items()]


@pytest.fixture(autouse=True)
def _site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_birds()


GIVEN = ["--checkpoint", str(CHECKPOINT)]
PATIENCE = "reading the checkpoint and the images …\n"  # said where the machine is slow


def run_sitegen_here(*words: str, code: int = 0) -> str:
    """Run the real command line in a process of its own, to this exit code; what it says."""
    done = run_forked(Path(), *words)
    errors = done.stderr.removeprefix(PATIENCE)
    assert (done.returncode, bool(errors and words[0] == "add")) == (code, False), done.stderr
    return done.stderr if code else done.stdout


def test_from_checkpoint_to_page_with_two_commands() -> None:
    """A data set never seen before: added, pasted, built; the clip shows what the network makes."""
    done = run_sitegen_here("add", "birds", *GIVEN, "--data", str(DATA), *WORDS)
    assert done.startswith("reading the images in data/birds\n")
    (call,) = re.findall(r'^(\{\{ trajectories\("birds".*\}\})$', done, re.MULTILINE)
    write_page(CONFIG, f'{call.replace("36", "4")}\n\n{{{{ process("birds", columns=2) }}}}\n')
    assert "left out" not in run_sitegen_here("build")
    (clip,) = Path("build/media").glob("birds-trajectories-*.mp4")
    frames = decode(clip)
    assert len(frames) == 1 + TOLD["levels"]
    assert frames[-1].std() > 3


def test_ddpm_from_checkpoint_to_page() -> None:
    """A DDPM that was added is compared with a model of its size."""
    save(random_unet(as_ddpm(replace(small_card(), channels=1))).state_dict(), CHECKPOINT)
    words = ["--kind", "ddpm", "--image-size", "8", "--levels", "4", "--noise-schedule", "linear"]
    run_sitegen_here("add", "ddpm", *GIVEN, *words)
    options = "points=3, hold=1, ddim_steps=2"
    write_page(CONFIG, f'{{{{ interpolation("tiny", ddpm="ddpm", {options}) }}}}\n')
    run_sitegen_here("build")
    assert "<video" in Path("build/index.html").read_text()


def test_flow_from_checkpoint_to_page() -> None:
    """A checkpoint of torchcfm is a flow without being told; its figures are built."""
    card = small_card(channels=1, use_new_attention_order=False)
    weights = random_unet(card).state_dict()
    save({"net_model": weights, "ema_model": weights, "step": 9}, CHECKPOINT)
    assert "torchcfm" in run_sitegen_here("inspect", str(CHECKPOINT))
    done = run_sitegen_here("add", "flow", *GIVEN, "--image-size", "8", "--levels", "4")
    assert "assumed: data are at t = 1" in done
    assert '{{ hierarchy("flow") }}' in done
    assert "shared_noise" not in done
    tree = 'hierarchy("flow", leaves=2)'
    calls = ('trajectories("flow", count=2, show="final")', tree)
    write_page(CONFIG, "\n\n".join(f"{{{{ {call} }}}}" for call in calls) + "\n")
    run_sitegen_here("build")
    figures = json.loads(Path("build/media.json").read_text("utf-8"))["figures"]
    assert figures[0]["axis"] == {"symbol": "t", "values": [1.0, 0.75, 0.5, 0.25, 0.0]}
    assert figures[1]["choice"].startswith("Nothing is random after the start")
    html = Path("build/index.html").read_text("utf-8")
    assert not [word for word in ("σ<sub>B", "heat", "Sampling noise") if word in html]


def test_what_is_advised_for_a_model_without_a_prior_works() -> None:
    """The build stops with a command; with the images in it, typed as it stands, the build goes."""
    card = Path("models/tiny/model.toml")
    card.write_text("# my notes\n" + replace(card_of(card.parent), prior=None).to_toml())
    write_page(CONFIG, '{{ trajectories("tiny", count=2) }}\n')
    told = run_sitegen_here("build", code=3)
    (advised,) = re.findall(r"^ +sitegen (add .*)$", told, re.MULTILINE)
    for name in (
        "prior.safetensors",
        "example.png",
    ):  # which are not sitegen's, if no card names them
        card.with_name(name).unlink(missing_ok=True)
    shutil.rmtree(DATA)
    draw(DATA, channels=1)
    done = run_sitegen_here(*shlex.split(advised.replace("DIR", str(DATA))))
    assert 'trajectories("tiny"' in done
    assert "added [models" not in done
    run_sitegen_here("build")
    assert card.read_text().startswith("# my notes\n")
    assert CONFIG.read_text() == SITE


KILLED = """
import os, signal
from sitegen.models import add as adding
from tests.support.adding import *
adding._enter = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
add(data=DATA, **TOLD)
"""


def test_killed_before_the_last_write(tmp_path: Path) -> None:
    """The same command again finishes what was left: nothing else is in the way."""
    assert run_python("-c", KILLED, folder=tmp_path).returncode == -signal.SIGKILL
    assert Path("models/birds/model.toml").exists()
    assert CONFIG.read_text() == SITE
    assert add(data=DATA, **TOLD).files
    assert temporaries(tmp_path) == []
    assert source().missing_file is None
