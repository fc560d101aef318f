"""The host of an author's sampler: the Python that it needs, and what it finds by a trial."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sitegen.models import sampler_host
from tests.support.oldpython import newer
from tests.support.paths import ROOT


def test_old_pythons() -> None:
    """The host, and the example of the manual, need Python 3.8, as the manual says."""
    host = Path(sampler_host.__file__).read_text("utf-8")
    manual = (ROOT / "docs/pages/method.md").read_text("utf-8")
    example = manual.partition("## Write a sampler file")[2].split("```")[1].removeprefix("python")
    for code in (host, example):
        assert not newer(code)
    assert "Python 3.8" in manual


@pytest.mark.parametrize(
    "code",
    [
        "a.removeprefix(b)",
        "a |= b",
        "a = {} | b",
        "a: int | str",
        "def f(a: list[int]): ...",
        "A = dict[str, int]",
        "from collections.abc import Callable\nA = Callable[[], int]",
        "import os\nA = os.PathLike[str]",
        "zip(a, b, strict=True)",
        "from typing import Self",
        "from math import lcm",
        "import tomllib",
        "from zoneinfo import ZoneInfo",
    ],
)
def test_what_old_pythons_lack(code: str) -> None:
    """The check of Python 3.8 finds newer names, modules, unions, generics and arguments."""
    assert newer(code)


def test_what_old_pythons_have() -> None:
    """Annotations that are not evaluated, and the imports of type checkers, may be newer."""
    future = "from __future__ import annotations\n"
    checked = "from typing import TYPE_CHECKING, Dict\nif TYPE_CHECKING:\n    import tomllib\n"
    assert not newer(f"{future}{checked}A: list[int] | None = Dict[str, int]\nB = A[0]")
    with pytest.raises(SyntaxError):
        newer("match a:\n    case 1: ...")


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


class Half(Euler):
    """Its states are kept in half precision, and rounded differently in every second run."""

    axis = ("t", "", np.linspace(0, 1, 101))
    dtype, noise, runs = torch.float16, 1e-4, 0

    def start(self, normal: Any) -> Any:
        """Return noise with numbers above 2, whose last digit is larger than that of 1."""
        return 4 * normal

    def step(self, x: Any, i: int, normal: Any) -> Any:
        """Return the next state."""
        self.runs += 1
        after = (x - x * np.sin(3 * x) / 100) * (1 + self.noise * (self.runs % 2))
        return torch.from_numpy(after).to(self.dtype), None


class BFloat(Half):
    """Its states are in bfloat16."""

    dtype, noise = torch.bfloat16, 1e-3


class Cast(BFloat):
    """It makes NumPy's float32 of them itself."""

    def step(self, x: Any, i: int, normal: Any) -> Any:
        """Return the next state."""
        return super().step(x, i, normal)[0].float().numpy(), None


class HalfHistory(AdamsBashforth, Half):
    """It keeps the last velocity, and states in half precision."""

    def step(self, x: Any, i: int, normal: Any) -> Any:
        """Return the next state."""
        after, _ = super().step(x, i, normal)
        return torch.from_numpy(after).to(self.dtype), None


class BFloatHistory(HalfHistory):
    """It keeps the last velocity, and states in bfloat16."""

    dtype = torch.bfloat16


class Counted(Euler):
    """It counts its steps, as the schedulers of diffusers do."""

    done = 0

    def step(self, x: Any, i: int, normal: Any) -> Any:
        """Return the next state."""
        self.done += 1
        return x * self.axis[2][self.done], None


@pytest.mark.parametrize("sampler", [Euler, InPlace, Half, BFloat, Cast])
def test_steps_that_depend_on_their_arguments(sampler: type[Euler]) -> None:
    """They are accepted, also where arrays are used again, and where results are torch's.

    The last digit of numbers of half precision counts as rounding.
    """
    facts, _ = sampler_host.describe(sampler())
    assert not facts["random"]


@pytest.mark.parametrize(
    "sampler",
    [AdamsBashforth, ByStep, Long, Short, Told, OwnDice, HalfHistory, BFloatHistory],
)
def test_steps_that_depend_on_more(sampler: type[Euler]) -> None:
    """Steps that keep a history, or draw their own numbers, are refused with what to do."""
    with pytest.raises(ValueError, match=r"^step\(\d+\) gave another result .*--recording FILE"):
        sampler_host.describe(sampler())


def test_steps_that_fail_when_they_are_repeated() -> None:
    """The refusal has the exception's text, and says what to do."""
    told = r"^step\(3\) failed .*IndexError: index 7 is out of bounds.*--recording FILE"
    with pytest.raises(ValueError, match=told) as found:
        sampler_host.describe(Counted())
    assert isinstance(found.value.__cause__, IndexError)


def test_words_of_the_start() -> None:
    """Scaled normal numbers are called noise, and nothing else is."""

    class Flat(Euler):
        def start(self, normal: Any) -> Any:
            return normal * 0

    facts = [sampler_host.describe(each())[0]["start"] for each in (Euler, Flat)]
    assert facts == ["noise", "an initial state"]


def test_cost_of_the_trial() -> None:
    """Five steps are added, however many there are."""
    calls = list[int]()

    class Listed(Euler):
        axis = ("t", "", np.linspace(0, 1, 51))

        def step(self, x: Any, i: int, normal: Any) -> Any:
            calls.append(i)
            return super().step(x, i, normal)

    sampler_host.describe(Listed())
    assert calls == [*range(50), 24, 25, 48, 49, 0]


@pytest.mark.parametrize("share", [0.5, 0.01])
@pytest.mark.parametrize("of_states", [True, False])
def test_samples_of_a_batch_that_depend_on_each_other(share: float, of_states: bool) -> None:
    """They are refused, where their states are mixed and where only their noise is."""

    class Mixing(Euler):
        def step(self, x: Any, i: int, normal: Any) -> Any:
            mixed = x if of_states else normal
            return x - x * np.sin(3 * x) / 6 - share * mixed.mean(0, keepdims=True), None

    with pytest.raises(ValueError, match=r"^step\(0\) .* must not depend on each other"):
        sampler_host.describe(Mixing())


@pytest.mark.parametrize(
    "axis",
    [
        ("t", [0, 1]),
        *(("t", "", values) for values in (["a", "b"], [0], [0, np.nan, 1], 3, range(100_002))),
    ],
)
def test_a_wrong_axis(axis: Any) -> None:
    """It is refused in plain words, before any step."""

    class Wrong(Euler):
        def step(self, x: Any, i: int, normal: Any) -> Any:
            raise AssertionError

    Wrong.axis = axis
    told = r"^axis must be \(symbol, unit, values\), with a finite .* each of 2 to 100001 states"
    with pytest.raises(ValueError, match=told):
        sampler_host.describe(Wrong())


@pytest.mark.parametrize(
    ("factor", "fault"), [(np.nan, "holds numbers that are not finite"), (1j, "is complex")]
)
def test_no_real_number(factor: complex, fault: str) -> None:
    """A number that is not finite, or complex, is reported as that, in any step."""

    class Nan(Euler):
        def step(self, x: Any, i: int, normal: Any) -> Any:
            return x * (factor if i == 2 else 1), None

    with pytest.raises(ValueError, match=rf"the next state of step\(2\) {fault}"):
        sampler_host.describe(Nan())
