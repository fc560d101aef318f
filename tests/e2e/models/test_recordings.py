"""A recording becomes figures of a site, without torch and without anything false on the page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from sitegen.record import record
from tests.support.builders import page, run_python
from tests.support.forked import run_without

SITE = """
title = "A flow"

[[authors]]
name = "A. Author"
"""

TORCH = "torch safetensors"


def sitegen(folder: Path, *arguments: str) -> str:
    """Run a command in a process that cannot import torch, and return what it prints."""
    done = run_without(TORCH, folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(folder: Path, *arguments: str) -> str:
    """Run a command that fails, and return its only line of error."""
    done = run_without(TORCH, folder, *arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site, and recordings of 6 samples, of a tree and of two paths."""
    (tmp_path / "site.toml").write_text(SITE)
    rng = np.random.default_rng(0)
    x, noise = rng.uniform(-1, 1, (6, 1, 8, 8)), rng.standard_normal((6, 1, 8, 8))
    with record(tmp_path / "flow.npz", seed=7, made_with="flow.py at 3f2a, JAX 0.5") as rec:
        for t in np.linspace(0, 1, 5):
            rec(t, t * x + (1 - t) * noise, final=x)
    with record(tmp_path / "tree.npz", axis=("σ", "")) as rec:
        rec(1, noise[:1])
        rec(0.5, x[:2], parents=[0, 0])
        rec(0, x[:4], parents=[0, 0, 1, 1])
    with record(tmp_path / "paths.npz", positions=[0, 0.5, 1]) as rec:
        for time in (0, 0.5, 1):
            rec(time, time * x + (1 - time) * noise)
    return tmp_path


CALLS = (
    'trajectories("flow", count=4, caption="Four samples.")',
    'trajectories("flow", samples=[5, 0], chosen_from=6, show="final")',
    'spectra("flow", count=6)',
    'shared_initial_state("tree", count=4)',
    'hierarchy("tree", leaves=4)',
    'interpolation("paths", points=3)',
)


def test_figures_of_recordings(site: Path) -> None:
    """All figures that a file allows are made without torch, and the page says what they are of."""
    page(site)
    for name in ("flow", "tree", "paths"):
        told = sitegen(site, "add", name, "--recording", f"{name}.npz", "--subject", "small blobs")
        for call in re.findall(r"{{ (.*) }}", told):
            assert name in call
        assert ("{{ hierarchy(" in told) == (name == "tree")
    told = sitegen(site, "add", "again", "--recording", "tree.npz", "--label", "Ours")
    assert '\n\n{{ hierarchy("again", label="Ours") }}\n\n' in told
    assert "--label should be" in refused(site, "add", "more", "--recording", "r", "--label", "a_b")
    page(site, *CALLS)
    sitegen(site, "build")
    figures = json.loads((site / "build/media.json").read_text("utf-8"))["figures"]
    first, second, *_ = figures
    assert first["axis"] == {"symbol": "t", "values": [1.0, 0.75, 0.5, 0.25, 0.0]}
    assert (first["seed"], {*first["levels"]}, figures[3]["seed"]) == (7, {0, 1, 2, 3, 4}, None)
    assert first["models"][0]["what"] == "recording"
    assert first["environment"]["recorded_with"] == "flow.py at 3f2a, JAX 0.5"
    assert not {"torch", "device", "precision"} & set(first["environment"])
    formed = "4 small blobs forming out of recorded states over 4 recorded steps"
    assert first["alt"] == formed
    assert second["parameters"]["samples"] == [5, 0]
    text = (site / "build/index.html").read_text("utf-8")
    whole = "one recorded state splits into 2 and then 4 small blobs, which are one and the"
    assert figures[4]["alt"].startswith("A tree of the recording of small blobs")
    assert whole in figures[4]["alt"]
    for false in ("σ<sub>B</sub>", "pixels</b>", "Torch", "checkpoint with", "IHDM", "weights"):
        assert false not in text
    for false in ("a trained model", "the model of", "coarse"):
        assert false not in text
    assert "<dd>flow (recording of small blobs)</dd>" in text
    assert "0 rendered, 6 reused" in sitegen(site, "build")
    sitegen(site, "check")


def test_samples_of_a_recording(site: Path) -> None:
    """`sample` writes what was recorded without torch, and refuses other samples in one line."""
    page(site)
    for name in ("flow", "tree"):
        sitegen(site, "add", name, "--recording", f"{name}.npz")
    told = sitegen(site, "sample", "flow", "--count", "5", "--output", "s.png")
    sitegen(site, "sample", "flow", "--count", "5", "--output", "x.npz")
    assert 'trajectories("flow", samples=(…), chosen_from=5)' in told
    assert (site / "s.png").read_bytes().startswith(b"\x89PNG")
    with np.load(site / "x.npz") as found, np.load(site / "flow.npz") as file:
        assert (sorted(found), int(found["seed"])) == (["final", "initial", "seed"], 7)
        for name, member in (("initial", "state/00000"), ("final", "state/00004")):
            pixels = (file[member][:5].astype(np.float32) + 1) / 2
            np.testing.assert_allclose(found[name], pixels, atol=1e-6)
    sitegen(site, "sample", "tree", "--output", "out")  # all four
    assert len([*(site / "out").glob("sample-0000?.png")]) == 4
    for options, fault in (
        (("--count", "36"), "--count 36: the recording flow has 6 samples; give --count 6"),
        (("--count", "2", "--seed", "3"), "--seed 3: the recording flow has the seed 7"),
        (("--count", "2", "--trajectory"), "--trajectory: the file of a recording has its states"),
        (("--count", "2", "--data", "out"), '--data: the kind "recording" has no prior'),
        (("--count", "2", "--sampling-noise-std", "0.1"), 'the kind "recording" has none'),
    ):
        assert fault in refused(site, "sample", "flow", "--output", "y.npz", *options)
    assert not (site / "y.npz").exists()


REFUSED = {
    'trajectories("flow")': "count = 36: the recording flow has 6 samples",
    'trajectories("flow", count=2, show="mean")': "needs means of its states",
    'trajectories("flow", count=2, seed=3)': "seed = 3: the recording flow has the seed 7",
    'trajectories("flow", count=2, sampling_noise_std=0.1)': "needs a sampling noise",
    'hierarchy("flow")': "needs samples that split in two on their way",
    'shared_noise("flow")': "needs randomness after the start",
    'sampler("flow")': "needs a sampler for browsers",
    'hierarchy("tree", leaves=8)': "leaves = 8: the tree of the recording tree has 4",
    'interpolation("paths")': "points = 110: the paths of the recording paths have 3",
    'interpolation("paths", points=3, samples=[1, 2])': "no path from sample 1 to 2",
}


def test_what_a_recording_does_not_have(site: Path) -> None:
    """Each figure that was not recorded is refused with file, line and what there is."""
    page(site)
    for name in ("flow", "tree", "paths"):
        sitegen(site, "add", name, "--recording", f"{name}.npz")
    page(site, *(call.replace(")", f', id="i{n}")') for n, call in enumerate(REFUSED)))
    told = refused(site, "build")
    for line, fault in enumerate(REFUSED.values()):
        assert re.search(rf"pages/index\.md:{3 + 2 * line}: .*{re.escape(fault)}", told), told


def test_recordings_that_change_or_are_damaged(site: Path) -> None:
    """A recording that is not the one of its card, and one that is damaged, are refused."""
    page(site)
    sitegen(site, "add", "flow", "--recording", "flow.npz")
    page(site, 'trajectories("flow", count=4)')
    (site / "flow.npz").write_bytes((site / "paths.npz").read_bytes())
    assert "is not the recording that the card of flow describes" in refused(site, "build")
    (site / "flow.npz").write_bytes(b"PK\x03\x04" + bytes(100))
    assert "flow.npz: " in refused(site, "build")
    before = (site / "site.toml").read_text()
    assert "broken" in refused(site, "add", "broken", "--recording", "broken.npz")
    assert "excludes --levels" in refused(
        site, "add", "more", "--recording", "paths.npz", "--levels", "3"
    )
    assert (site / "site.toml").read_text() == before
    assert not (site / "models" / "broken").exists()


def test_a_killed_run_is_shown(site: Path) -> None:
    """What a killed run has recorded becomes figures, with a note that it did not end.

    A note on scaled states is only where states are shown.
    """
    program = (
        "import os, signal, numpy as np\n"
        "import sitegen.record as recording\n"
        "recording.REWRITE_S = 0\n"
        "with recording.record('killed.npz', scale=lambda step: 0.5) as rec:\n"
        "    for step in range(9):\n"
        "        images = np.full((2, 1, 8, 8), step / 9)\n"
        "        rec(step, images, final=images)\n"
        "        if step == 4:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert run_python("-c", program, folder=site).returncode != 0
    page(site)
    told = sitegen(site, "add", "killed", "--recording", "killed.npz")
    assert "the run did not end: 5 states were recorded" in told
    page(site, 'spectra("killed", count=2)', 'trajectories("killed", count=2, show="final")')
    sitegen(site, "build")
    figure, final = json.loads((site / "build/media.json").read_text("utf-8"))["figures"]
    assert "multiplied by a factor" in figure["choice"]
    assert "multiplied" not in final["choice"]
    assert "from the first state to the last one recorded" in figure["alt"]
    assert "The recorded run did not end" in figure["choice"]
    assert figure["environment"]["recorded_run"] == "did not end"
    assert "did not end" in (site / "build/index.html").read_text("utf-8")
