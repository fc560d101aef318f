"""The host of an author's sampler: the Python that it needs, and what it finds by a trial."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitegen.models import sampler_host
from tests.support.paths import ROOT

GENERIC = {"dict", "frozenset", "list", "set", "tuple", "type"}


def newer(tree: ast.AST) -> set[str]:
    """Return the expressions outside of annotations that Python 3.8 cannot evaluate."""
    found, unread = set(), set()
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                unread |= {*ast.walk(getattr(node, name))}
    for node in {*ast.walk(tree)} - unread:
        generic = isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
        if generic and node.value.id in GENERIC:  # type: ignore[attr-defined]
            found.add(ast.unparse(node))
        types = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and types & GENERIC:
            found.add(ast.unparse(node))
        if isinstance(node, ast.keyword) and node.arg == "strict":
            found.add(ast.unparse(node))
    return found


def test_old_pythons() -> None:
    """The host, and the example of the manual, need Python 3.8, as the manual says."""
    host = Path(sampler_host.__file__).read_text("utf-8")
    manual = (ROOT / "docs/pages/method.md").read_text("utf-8")
    example = manual.partition("## Write a sampler file")[2].split("```")[1].removeprefix("python")
    assert "annotations" in {each.name for each in future(host)}
    for code in (host, example):
        assert not newer(ast.parse(code, feature_version=(3, 8)))
    assert "Python 3.8" in manual


def future(code: str) -> list[ast.alias]:
    """Return what a file imports from the future."""
    imports = [each for each in ast.parse(code).body if isinstance(each, ast.ImportFrom)]
    return [name for each in imports if each.module == "__future__" for name in each.names]


class Euler:
    """A flow whose steps keep nothing."""

    shape, value_range, axis = (1, 8, 8), (-1, 1), ("t", "", np.linspace(0, 1, 7))

    def start(self, normal: Any) -> Any:
        """Return noise."""
        return normal

    def step(self, x: Any, i: int, normal: Any) -> Any:
        """Return the next state."""
        return x - x * np.sin(3 * x) / 6, None


class InPlace(Euler):
    """It writes into its argument, and into what it returned before; its results are torch's."""

    def step(self, x: Any, i: int, normal: Any) -> Any:
        """Return the next state, and the predicted image."""
        x -= x * np.sin(3 * x) / 6
        self.kept = getattr(self, "kept", torch.zeros(x.shape))
        self.kept[:] = torch.from_numpy(x)
        return self.kept, torch.tensor(x, dtype=torch.bfloat16, requires_grad=True)


class AdamsBashforth(Euler):
    """It keeps the last velocity."""

    before: Any

    def step(self, x: Any, i: int, normal: Any) -> Any:
        """Return the next state."""
        v = -x * np.sin(3 * x)
        d = v if i == 0 else 1.5 * v - 0.5 * self.before
        self.before = v
        return x + d / (len(self.axis[2]) - 1), None


class ByStep(Euler):
    """It keeps the velocities by their steps, and changes only what it predicts."""

    def __init__(self) -> None:
        self.kept: dict[int, Any] = {}

    def step(self, x: Any, i: int, normal: Any) -> Any:
        """Return the next state, and the predicted image."""
        self.kept[i] = -x
        return x / 2, x + self.kept[max(0, i - 1)] / 2


class Long(AdamsBashforth):
    """Its steps are small."""

    axis = ("t", "", np.linspace(0, 1, 1001))


class Short(AdamsBashforth):
    """It has two steps."""

    axis = ("t", "", np.linspace(0, 1, 3))


class Told(AdamsBashforth):
    """It says itself that nothing is random, so that only three steps are tried."""

    random = False


class OwnDice(Euler):
    """It is random by itself."""

    def step(self, x: Any, i: int, normal: Any) -> Any:
        """Return the next state."""
        return x + 0.1 * np.random.default_rng().standard_normal(x.shape), None


@pytest.mark.parametrize("sampler", [Euler, InPlace])
def test_steps_that_depend_on_their_arguments(sampler: type[Euler]) -> None:
    """They are accepted, also where arrays are used again, and where results are torch's."""
    facts, _ = sampler_host.describe(sampler())
    assert not facts["random"]


@pytest.mark.parametrize("sampler", [AdamsBashforth, ByStep, Long, Short, Told, OwnDice])
def test_steps_that_depend_on_more(sampler: type[Euler]) -> None:
    """Steps that keep a history, or draw their own numbers, are refused with what to do."""
    with pytest.raises(ValueError, match=r"^step\(\d+\) gave another result .*--recording FILE"):
        sampler_host.describe(sampler())


def test_cost_of_the_trial() -> None:
    """Four steps are added, however many there are."""
    calls = list[int]()

    class Counted(Euler):
        axis = ("t", "", np.linspace(0, 1, 51))

        def step(self, x: Any, i: int, normal: Any) -> Any:
            calls.append(i)
            return super().step(x, i, normal)

    sampler_host.describe(Counted())
    assert calls == [*range(50), 24, 25, 48, 49]


def test_nan() -> None:
    """A number that is not finite is reported as that, in any step."""

    class Nan(Euler):
        def step(self, x: Any, i: int, normal: Any) -> Any:
            return x * (np.nan if i == 2 else 1), None

    told = r"the next state of step\(2\) holds numbers that are not finite"
    with pytest.raises(ValueError, match=told):
        sampler_host.describe(Nan())
