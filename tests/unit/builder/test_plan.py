"""Keys: whatever changes a pixel changes them, and nothing else does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest
from pydantic.dataclasses import dataclass

from sitegen.builder.plan import PlannedFigure, plan
from sitegen.builder.render import environment
from sitegen.core.diagnostics import SourceLocation
from sitegen.core.errors import PlatformError, RefusedError
from sitegen.core.files import digest
from sitegen.figures.arguments import RULES, Seed
from sitegen.figures.base import Figure, ModelFreeKind
from sitegen.figures.trajectories import Trajectories
from sitegen.generative.card.abilities import LevelAxis
from sitegen.generative.card.card import FileRef, ModelCard
from sitegen.models.registry import ModelSource
from tests.support.builders import CARD, CPU


@pytest.fixture
def source(tmp_path: Path) -> ModelSource:
    """A model of made-up bytes."""
    for name in ("weights", "prior"):
        (tmp_path / name).write_bytes(name.encode())
    card = ModelCard.from_toml(CARD)
    return ModelSource("tiny", card, tmp_path / "weights", tmp_path / "prior")


def figure(**spec: Any) -> Figure:
    """A figure of that model."""
    words = {"id": "an-id", "caption": "words", "alt": None, "place": SourceLocation("a.md", 1)}
    words |= {name: spec.pop(name) for name in list(spec) if name in words}
    return Figure("trajectories", spec=Trajectories("tiny", **spec), **words)  # type: ignore[arg-type]


def key(figure: Figure, source: ModelSource) -> str:
    """The key of a figure of that model."""
    return plan(figure, "index.html", {"tiny": source}).key


SPECS: dict[str, Any] = {
    "count": 4, "columns": 3, "seed": 1, "show": "mean", "fps": 12.0, "sampling_noise_std": 0.01,
}  # fmt: skip
CARDS: dict[str, Any] = {
    "levels": 5, "sampling_noise_std": 0.02, "training_noise_std": 0.02, "channels": 3
}  # fmt: skip


def test_what_is_pixels(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields, the card's numbers and the recipe count; a pinned digest stands for its file."""
    known = key(figure(), source)
    keys = {key(figure(**{name: value}), source) for name, value in SPECS.items()}
    for name, value in CARDS.items():
        changed = replace(source.card, **{name: value})
        keys.add(key(figure(), replace(source, card=changed)))
    monkeypatch.setattr(Trajectories, "recipe", Trajectories.recipe + 1)
    keys.add(key(figure(), source))
    assert len(keys - {known}) == len(SPECS) + len(CARDS) + 1
    refs = {"weights": source.weights, "prior": source.prior}
    pins = {name: FileRef(name, digest(path)) for name, path in refs.items() if path}
    card = replace(source.card, **pins)  # type: ignore[arg-type]
    known = key(figure(), replace(source, card=card))
    for path in refs.values():
        assert path is not None
        path.unlink()
    assert key(figure(), replace(source, card=card)) == known
    with pytest.raises(RefusedError, match="no such checkpoint"):
        key(figure(), replace(source))


def test_what_is_planned(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are hashed once; words, places and notes leave the key alone; levels have σ_B."""
    counted = Mock(return_value="0" * 64)
    monkeypatch.setattr("sitegen.models.registry.sha256", counted)
    monkeypatch.setattr("sitegen.models.registry.sha256", counted)
    for seed in range(3):
        key(figure(seed=seed), source)
    assert counted.call_args_list == [call(source.weights), call(source.prior)]
    known = key(figure(), source)
    other = figure(caption="other", alt="x", id="y", place=SourceLocation("b.md", 9))
    assert key(other, source) == known
    noted = replace(source.card, training={"by": "me"}, known_faults=("none",))
    assert key(figure(), replace(source, card=noted, card_path=Path("elsewhere"))) == known
    means = plan(figure(show="mean"), "index.html", {"tiny": source})
    assert means.description.endswith(". After the start each level shows the mean of the state")
    planned = plan(figure(), "other/index.html", {"tiny": source})
    found = (planned.key, planned.page, planned.levels)
    assert found == (known, "other/index.html", 4)
    assert planned.axis == LevelAxis("σ_B", "px", (0.0, 0.5, 1.2599, 3.1748, 8.0))


@pytest.mark.parametrize("name", ["torch", "numpy"])
def test_environment_of_a_machine_that_renders_pages(
    name: str, lack: Callable[[str], None]
) -> None:
    """Asking for it says what is missing."""
    lack(name)
    with pytest.raises(PlatformError, match=f"{name} is not installed here"):
        environment(CPU)


@dataclass(frozen=True, config=RULES)
class Chart(ModelFreeKind):
    """A chart of nothing."""

    seed: Seed = 0


def test_figure_without_a_model() -> None:
    """It is planned with an id, a key of its arguments, a text alternative, and no axis."""

    def planned(seed: int) -> PlannedFigure:
        place = SourceLocation("a.md", 1)
        return plan(Figure("chart", "", Chart(seed=seed), "", None, place), "a", {})

    first = planned(1)
    assert (first.figure.base, first.models, first.cost) == ("chart", (), 0)
    assert (first.description, first.axis, first.levels) == ("A chart of nothing", None, 0)
    assert planned(1).key == first.key != planned(2).key
    assert first.provenance({"seed": 1}, {"torch": "1", "numpy": "2"})["environment"] == {
        "numpy": "2"
    }
    assert [first.provenance(each, {})["seed"] for each in ({"seed": 1}, {})] == [1, None]
