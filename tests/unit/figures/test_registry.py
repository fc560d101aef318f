"""The registry: kinds of other packages beside ours, and what is wrong with some of them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.figures.base import evaluations, spec_json
from sitegen.figures.registry import figure_kinds, plug_in_kinds
from tests.support.calling import make_figure
from tests.support.making import small_card

PAIR = """
from pydantic.dataclasses import dataclass
from sitegen.figures.arguments import RULES
from sitegen.figures.base import FigureKind

@dataclass(frozen=True, config=RULES)
class Pair(FigureKind):
    '''Two samples side by side.'''

    ddpm: str | None = None

NONE = 3
"""
PLACE = SourceLocation("pages/index.md", 14)
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Bring a package `others` with one entry point, as if it had been installed."""
    monkeypatch.syspath_prepend(tmp_path)

    def bring(name: str, value: str, code: str = PAIR) -> None:
        (tmp_path / "others.py").write_text(code)
        info = tmp_path / "others-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[sitegen.figures]\n{name} = {value}\n")
        plug_in_kinds.cache_clear()

    yield bring
    sys.modules.pop("others", None)
    plug_in_kinds.cache_clear()


def test_another_kind(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataclass and an entry point make a kind with call, JSON and view, or it is told."""
    install("pair", "others:Pair")
    figure = make_figure("pair", ("a",), {"caption": "C", "ddpm": "b"}, PLACE, {"a", "b"})
    assert figure.spec.models == ("a", "b")
    call = {"kind": "pair", "model": "a", "pixelated": False, "ddpm": "b"}
    assert spec_json(figure) == call
    assert figure.spec.describe([small_card()]) == "Two samples side by side, of the model a"
    assert evaluations(figure.spec, [small_card(), small_card(levels=4)]) == (8, 4)
    assert (figure.spec.recipe, figure.spec.example) == (1, '"NAME"')
    alone = make_figure("pair", ("a",), {"caption": "C"}, PLACE, {"a", "b"})
    assert not list(alone.spec.unmet([small_card()]))
    with pytest.raises(ConfigError, match='modle: unknown key, did you mean "model"'):
        make_figure("pair", ("a",), {"modle": "c"}, PLACE, {"a", "b"})
    entry = SimpleNamespace(name="pair", value="x:KIND", dist=None, load=lambda: 3)
    monkeypatch.setattr("sitegen.figures.registry.entry_points", lambda group: [entry])
    plug_in_kinds.cache_clear()
    with pytest.raises(ConfigError, match=r"^the figure pair of a package \(x:KIND\)"):
        figure_kinds()
    plug_in_kinds.cache_clear()


@pytest.mark.parametrize(
    ("name", "value", "code", "told"),
    [
        ("pair", "others:NONE", PAIR, "is not a subclass of FigureKind"),
        ("pair", "others:MISSING", PAIR, "cannot be loaded: AttributeError: "),
        ("pair", "others:Pair", "import nothing_like_it", "cannot be loaded: ModuleNotFoundError"),
        ("pair", "others:Pair", "a b", "cannot be loaded: SyntaxError"),
        ("pair", "others:Pair", "raise RuntimeError('no')", "cannot be loaded: RuntimeError: no"),
        ("pair", "others:Pair", "{}['a']", "cannot be loaded: KeyError: 'a'"),
        ("pair", "others:Pair", "open('/nowhere/a')", "cannot be loaded: FileNotFoundError"),
        ("pair", "others:Pair", "assert 0", "cannot be loaded: AssertionError"),
        ("pair", "others:Pair", "raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        ("trajectories", "others:Pair", PAIR, "there is a figure trajectories already"),
    ],
)
def test_kinds_that_are_refused(
    install: Install, name: str, value: str, code: str, told: str
) -> None:
    """What an entry point names must load, be a kind and have its own name, or is told."""
    install(name, value, code)
    with pytest.raises(ConfigError) as caught:
        figure_kinds()
    assert str(caught.value).startswith(f"the figure {name} of others ({value}): {told}")
    assert str(caught.value).endswith("; mend the package, or uninstall it")
