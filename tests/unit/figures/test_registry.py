"""The registry: kinds of other packages beside ours, and what is wrong with some of them."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import ConfigError
from sitegen.figures.base import spec_json
from sitegen.figures.registry import figure_kinds, make_figure
from sitegen.html.figure_views import figure_view
from sitegen.html.views import Clip, Still
from sitegen.media.manifest import Media, MediaFile, Record
from tests.support.making import small_card

PAIR = """
from pydantic.dataclasses import dataclass
from sitegen.figures.base import RULES, FigureKind, FigureSpec

@dataclass(frozen=True, config=RULES)
class Pair(FigureSpec):
    '''Two samples side by side.'''

    ddpm: str | None = None

KIND = FigureKind("pair", Pair, lambda models, figure: None)
OTHER = FigureKind("trajectories", Pair, KIND.sample)
BARE = FigureKind("pair", None, KIND.sample)
NONE = 3
"""
LOCAL = f"""
def kind():
{textwrap.indent(PAIR, "    ")}
    return KIND

KIND = kind()
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
        figure_kinds.cache_clear()

    yield bring
    sys.modules.pop("others", None)
    figure_kinds.cache_clear()


def media(kind: str, **files: MediaFile) -> Media:
    """A figure of some kind with these files."""
    return Media("a", "index.html", "", "", Record(kind, (), 0, {}, (), files))


def test_another_kind(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataclass and an entry point make a kind with call, JSON and view, or it is told."""
    install("pair", "others:KIND")
    figure = make_figure("pair", ("a",), {"caption": "C", "ddpm": "b"}, PLACE, {"a", "b"})
    assert figure.models == ("a", "b")
    assert spec_json(figure) == {"kind": "pair", "model": "a", "ddpm": "b"}
    assert figure.spec.describe(small_card()) == "Two samples side by side, of the model a"
    assert figure.spec.evaluations([small_card(), small_card(levels=4)]) == (8, 4)
    assert (figure.spec.recipe, figure.spec.example, figure.spec.files) == (1, '"NAME"', ())
    assert not list(figure.spec.incompatibilities([small_card()]))
    with pytest.raises(ConfigError, match='modle: unknown key, did you mean "model"'):
        make_figure("pair", ("a",), {"modle": "c"}, PLACE, {"a", "b"})
    mp4 = MediaFile("a.mp4", 9, "0" * 64, 4, 4, 3, 24.0)
    picture = MediaFile("a.webp", 9, "0" * 64, 4, 4)
    for kind in ("pair", "gone"):
        assert isinstance(figure_view(media(kind, mp4=mp4, poster=picture), "index.html"), Clip)
        assert isinstance(figure_view(media(kind, image=picture), "index.html"), Still)
    entry = SimpleNamespace(name="pair", value="x:KIND", dist=None, load=lambda: 3)
    monkeypatch.setattr("sitegen.figures.registry.entry_points", lambda group: [entry])
    figure_kinds.cache_clear()
    with pytest.raises(ConfigError, match=r"^the figure pair of a package \(x:KIND\)"):
        figure_kinds()
    figure_kinds.cache_clear()


@pytest.mark.parametrize(
    ("name", "value", "code", "told"),
    [
        ("pair", "others:NONE", PAIR, "is no FigureKind whose name is pair"),
        ("couple", "others:KIND", PAIR, "is no FigureKind whose name is couple"),
        ("pair", "others:KIND", LOCAL, "has the spec kind.<locals>.Pair; define it outside"),
        ("pair", "others:BARE", PAIR, "has a spec that is not a class"),
        ("pair", "others:MISSING", PAIR, "cannot be loaded: AttributeError: "),
        ("pair", "others:KIND", "import nothing_like_it", "cannot be loaded: ModuleNotFoundError"),
        ("pair", "others:KIND", "a b", "cannot be loaded: SyntaxError"),
        ("pair", "others:KIND", "raise RuntimeError('no')", "cannot be loaded: RuntimeError: no"),
        ("pair", "others:KIND", "{}['a']", "cannot be loaded: KeyError: 'a'"),
        ("pair", "others:KIND", "open('/nowhere/a')", "cannot be loaded: FileNotFoundError"),
        ("pair", "others:KIND", "assert 0", "cannot be loaded: AssertionError"),
        ("pair", "others:KIND", "raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        ("trajectories", "others:OTHER", PAIR, "there is a figure trajectories already"),
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
