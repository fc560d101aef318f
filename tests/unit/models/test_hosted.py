"""An author's sampler class: its facts, its calls, and errors with file and line."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitegen.core.errors import ConfigError, PlugInError, RefusedError
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.labels import Condition, LabelsConfig
from sitegen.generative.engine import CORES
from sitegen.generative.process.hosted import Hosted
from sitegen.generative.process.protocol import process_of, run
from sitegen.models.hosted import Host, SamplerFile, describe, is_current
from sitegen.sampling.hosted import HostedModel
from tests.support.making import narrowed

FLOW = """
import numpy as np

print("printed by the sampler")


class Sampler:
    shape = (1, 8, 8)
    value_range = (-1, 1)
    axis = ("time", "s", np.linspace(0, 1, 11))
    uses = ["weights.txt"]

    def start(self, normal):
        return normal

    def step(self, x, i, normal):
        t, after = self.axis[2][i], self.axis[2][i + 1]
        image = np.tanh(1.5 * x * t / max(1 - t, 0.01) ** 2)
        return x + (after - t) * (image - x) / (1 - t), image

    def corrupt(self, images, i, normal):
        t = self.axis[2][i]
        return t * images + (1 - t) * normal
"""
X = np.random.default_rng(0).standard_normal((3, 1, 8, 8), np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the weights of the sampler; modules and paths are restored."""
    (tmp_path / "weights.txt").write_text("1.5")
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def written(folder: Path, old: str = "", new: str = "", name: str = "Sampler") -> SamplerFile:
    """Write the sampler with a change, and return its file."""
    assert old in FLOW
    (folder / "flow.py").write_text(FLOW.replace(old, new) if old else FLOW)
    return SamplerFile(folder / "flow.py", name)


def test_facts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They come from the members and from one run; what is printed goes to standard error."""
    sampler = written(folder)
    card = describe(sampler, "flow")
    facts = card.sampler
    assert facts is not None
    assert (card.shape, card.levels, facts.values[0], facts.symbol) == ((1, 8, 8), 10, 1.0, "time")
    assert (facts.random, facts.gaussian, facts.predicts) == (False, True, True)
    assert (facts.corrupts, facts.has_between, facts.start) == (True, False, "noise")
    assert {*facts.uses} == {"weights.txt"}
    assert is_current(sampler, card)
    (folder / "weights.txt").write_text("2")
    assert not is_current(sampler, card)
    assert not is_current(written(folder, name="Other"), card)
    assert capsys.readouterr() == ("", "printed by the sampler\n")


@pytest.mark.parametrize(
    ("old", "new", "random"),
    [
        ("(1 - t), image", "(1 - t) + (0.1 * normal if i == 8 else 0), image", True),
        ("(1 - t), image", "(1 - t) + 1e-7 * normal, image", False),
        ("    uses =", "    random = True\n    uses =", True),
    ],
)
def test_random_steps(folder: Path, old: str, new: str, random: bool) -> None:
    """One random step suffices, rounding is none, and the class may say it."""
    facts = describe(written(folder, old, new), "flow").sampler
    assert facts is not None
    assert facts.random == random


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(1, 8, 8)", "(2, 1, 8, 9)", r"shape = \(2, 1, 8, 9\): must be \(C, H, W\) .* video\(\)"),
        ("return normal\n", "return normal[:1]\n", r"flow\.py:13: the result of start has the sh"),
        ("(1 - t), image", "(1 - t) * np.inf, image", r"flow\.py:16: the next state of step\(0\)"),
        ("(1 - t), image", "(1 - t), image * 1j", r"flow\.py:16: the predicted image .* complex"),
        ("(1 - t), image", "(1 - t)", r"flow\.py:16: step\(0\) must return the next states and"),
        ("class Sampler", "class Other", r"flow\.py: AttributeError: .* has no class Sampler"),
        ("(-1, 1)", "(1, -1)", r"flow\.py: Sampler: .*high.* must be above low, 1"),
        ("1, 11))", "1, 1))", r"flow\.py: Sampler: axis must be \(symbol, unit, values\), with 2"),
        ("import numpy", "import nothing, numpy", r"flow\.py:2: ModuleNotFoundError: .*'nothing'"),
        ("image =", "1 / 0 ; image =", r"flow\.py:18: ZeroDivisionError: division by zero$"),
        ("def step", "def step step", r"flow\.py:16: SyntaxError"),
        ("image =", "raise SystemExit(3); image =", r"flow\.py:18: SystemExit: 3"),
    ],
)
def test_wrong_samplers(folder: Path, old: str, new: str, message: str) -> None:
    """Each is refused in one line, with the file and where possible the line."""
    with pytest.raises(ConfigError, match=message) as raised:
        describe(written(folder, old, new), "flow")
    assert "\n" not in str(raised.value)


def test_missing_files(folder: Path) -> None:
    """A missing sampler file, and a file that it uses, are named."""
    with pytest.raises(ConfigError, match=r"gone\.py: is not there; \[models\.flow\]"):
        describe(SamplerFile(folder / "gone.py", "Sampler"), "flow")
    sampler = written(folder)
    (folder / "weights.txt").unlink()
    with pytest.raises(RefusedError, match=r"flow\.py: uses weights\.txt, which is not there"):
        describe(sampler, "flow")


def test_results_of_torch_on_all_cores(folder: Path) -> None:
    """A bfloat16 tensor is a state, and the author's torch has all threads, sitegen's has one."""
    code = "import torch; self.threads = torch.get_num_threads()\n        "
    code += "return torch.from_numpy(normal).bfloat16()\n"
    host = Host(written(folder, "return normal\n", code))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        (state,) = host.call("start", X)
        assert (host.instance.threads, torch.get_num_threads()) == (CORES, 1)
    finally:
        torch.set_num_threads(before)
    assert np.abs(state - X).max() < 0.02
    assert state.dtype == np.float32


def test_an_error_in_a_later_call(folder: Path) -> None:
    """It is a PlugInError with the line, also for a method that the author did not write."""
    host = Host(written(folder, "t * images", "images[5] + t * images"))
    with pytest.raises(PlugInError, match=r"flow\.py:23: IndexError"):
        host.call("corrupt", X, X, number=3)
    with pytest.raises(PlugInError, match=r"flow\.py: AttributeError.*between"):
        host.call("between", X, X, share=0.5)


def test_labels(folder: Path) -> None:
    """A class with labels gets those of the samples at each step, one for all or one for each."""
    changes = {
        "    uses =": '    labels = ["cat", "dog"]\n    uses =',
        "step(self, x, i, normal)": "step(self, x, i, normal, label)",
        "(1 - t), image": "(1 - t) + label[:, None, None, None], image",
    }
    text = FLOW
    for old, new in changes.items():
        text = text.replace(old, new)
    sampler = SamplerFile(folder / "flow.py", "Sampler")
    sampler.file.write_text(text)
    card = describe(sampler, "flow")
    assert card.labels == LabelsConfig(("cat", "dog"), optional=False)
    assert ModelCard.from_toml(card.to_toml()) == card
    process = process_of(HostedModel(narrowed(card, Hosted), Host(sampler).call))
    start = torch.from_numpy(X)
    with pytest.raises(ConfigError, match="the labels are cat, dog"):
        next(run(process, start, None))

    def first(*labels: int, **more: Any) -> torch.Tensor:
        condition = Condition(labels, **more)
        return next(run(replace(process, condition=condition), start, None)).state

    assert torch.allclose(first(1) - first(0), torch.ones(3, 1, 8, 8), atol=1e-6)
    mixed = first(0, 1, 1) - first(0)
    assert mixed.mean((1, 2, 3)).tolist() == pytest.approx([0, 1, 1], abs=1e-6)
    between = first(0, 0, 0, others=(1, 1, 1), shares=(0.0, 0.5, 1.0)) - first(0)
    assert between.mean((1, 2, 3)).tolist() == pytest.approx([0, 0, 1], abs=1e-6)
