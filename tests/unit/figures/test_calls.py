"""Figure calls of every kind become frozen specs, or all that is wrong with them is told."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup

from sitegen.builder.plan import PlannedFigure, plan
from sitegen.core.diagnostics import SourceLocation, fields_of
from sitegen.core.errors import ConfigError
from sitegen.figures.base import Figure, spec_json
from sitegen.figures.hierarchy import Hierarchy
from sitegen.figures.interpolation import Interpolation
from sitegen.figures.registry import figure_kinds
from sitegen.figures.shared_noise import SharedNoise
from sitegen.figures.trajectories import Trajectories
from sitegen.generative.card.card import ModelCard
from sitegen.generative.card.tables import RecordingConfig
from sitegen.models.registry import ModelSource
from tests.support.builders import CARD
from tests.support.calling import make_figure
from tests.support.making import small_card

PLACE = SourceLocation("pages/index.md", 14)
DDPM = """
kind = "ddpm"
image_size = 16
channels = 1
levels = 10
[unet]
model_channels = 32
channel_mult = [1]
[diffusion]
beta_schedule = "cosine"
"""
GREY, COLOUR = small_card(levels=100), small_card(levels=100, channels=3)


def call(*args: object, kind: str = "trajectories", **kwargs: object) -> Figure:
    """Call a kind as a page of a site with a model and a DDPM does."""
    return make_figure(kind, args, kwargs, PLACE, {"mnist", "mnist-ddpm"})


def faults(*args: object, kind: str = "trajectories", **kwargs: object) -> list[str]:
    """Say what is wrong with a call, without the place."""
    with pytest.raises(ConfigError) as caught:
        call(*args, kind=kind, **kwargs)
    lines = str(caught.value).split("\n")
    start = f"pages/index.md:14: {kind}(…): "
    assert all(line.startswith(start) for line in lines)
    return [line.removeprefix(start) for line in lines]


def test_defaults() -> None:
    """A model is enough, once; all else has a frozen value, explained; words do not count."""
    figure = call("mnist")
    assert figure == Figure("trajectories", "", Trajectories("mnist"), "", None, PLACE)
    assert spec_json(figure) == {
        "kind": "trajectories", "model": "mnist", "count": 36, "columns": 6, "seed": 0,
        "show": "state", "sampling_noise_std": None, "fps": None,
        "samples": None, "pixelated": False,
    }  # fmt: skip
    wanted = {
        "hierarchy": Hierarchy("mnist"),
        "shared_noise": SharedNoise("mnist", count=5, rows=1, vary=None),
        "interpolation": Interpolation("mnist", samples=(0, 1), points=110, hold=10, fps=30.0),
    }
    assert {kind: call("mnist", kind=kind).spec for kind in wanted} == wanted
    figure = call("mnist")
    for value, name in ((figure, "id"), (figure.spec, "count")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 3)
    for kind in figure_kinds():
        fields = fields_of(figure_kinds()[kind])
        assert fields.keys() == {field.name for field in dataclasses.fields(figure_kinds()[kind])}
        assert all((field.description or "").endswith(".") for field in fields.values())
    figure = call("mnist", caption=Markup(" <b> "), alt="Words", id="digits")
    assert (figure.caption, figure.alt, figure.id) == ("<b>", "Words", "digits")
    assert type(figure.caption) is str
    assert spec_json(figure) == spec_json(call("mnist"))
    assert call("mnist", count=25).spec == call(model="mnist", count=25, columns=5).spec
    assert call("mnist", fps=24).spec == call("mnist", fps=24.0).spec
    told = faults("mnist", kind="hierarchy", splits=[9, 5], leaves=8)
    assert told == ["leaves = 8: should be 4, which the splits make"]
    spec = call("mnist", kind="interpolation", ddpm="mnist-ddpm", samples=[4, 1, 0, 7]).spec
    assert spec.models == ("mnist", "mnist-ddpm")
    assert isinstance(spec, Interpolation)
    assert spec.pairs == ((4, 1), (0, 7))
    assert faults() == ["model is missing: The name of the model in site.toml."]
    assert "model is given twice" in faults("mnist", model="mnist")
    assert faults("x") == ['model = "x": no such model in site.toml; known: mnist, mnist-ddpm']
    assert faults("fashion-mnist") == [
        'model = "fashion-mnist": no such model in site.toml, but it travels with sitegen: run '
        "`sitegen add fashion-mnist`, or write there [models.fashion-mnist] and "
        'path = "models/fashion-mnist"'
    ]
    (near,) = faults("fashion-mnis")
    assert 'did you mean "fashion-mnist"? It travels with sitegen' in near
    assert make_figure("trajectories", ("other",), {}, PLACE).spec.models == ("other",)


def test_labels() -> None:
    """A label is in the words of every kind, in the key of those that draw it, and readable."""
    for kind in (
        kind for kind, spec in figure_kinds().items() if spec.example.startswith('"NAME"')
    ):
        plain, named = call("mnist", kind=kind), call("mnist", kind=kind, label="Ours")
        words = named.spec.describe([GREY])
        assert ("Ours" in words, "model mnist" in words) == (True, False), kind
        known = replace(GREY, subject="handwritten digits")
        words = plain.spec.describe([known])
        assert ("handwritten digits" in words, "model mnist" in words) == (True, False), kind
        assert "Ours" in named.spec.describe([known])
        drawn = kind in ("interpolation", "spectra")
        assert spec_json(named) == spec_json(plain) | ({"label": "Ours"} if drawn else {})
    assert call("mnist", label="A (v2), 10 % & more").spec.label == "A (v2), 10 % & more"
    for label in ("", " ", "a_b", "Über", "x" * 25, "a\n", " a"):
        (fault,) = faults("mnist", kind="spectra", label=label)
        assert "should be 1 to 24 letters" in fault
    assert "label = 4: Input should be" in faults("mnist", label=4)[0]
    assert call("mnist", label="DDIM").spec.label == "DDIM"  # nothing else there has that name
    assert faults("mnist", lable="Ours") == ['lable: unknown key, did you mean "label"?']


def test_every_fault_of_a_call_at_once() -> None:
    """Each argument is checked, and all of them are told."""
    assert faults(
        "mnits",
        7,
        cuont=3,
        count=0,
        seed=-1,
        show="sate",
        fps=float("nan"),
        caption=5,
        alt="",
        id="A b",
    ) == [
        "7 needs a name, as in count=36",
        'model = "mnits": no such model in site.toml, did you mean "mnist"?',
        "count = 0: Input should be greater than or equal to 1",
        "seed = -1: Input should be greater than or equal to 0",
        "show = \"sate\": Input should be 'state', 'mean' or 'final', did you mean \"state\"?",
        "fps = nan: Input should be a finite number",
        'cuont: unknown key, did you mean "count"?',
        "caption = 5: Input should be a valid string",
        'alt = "": String should have at least 1 character',
        'id = "A b": should be 1 to 64 of a-z, 0-9 and -, and not begin with -',
    ]
    assert faults("mnist", texts=["a" * 201]) == [
        f'texts = "{"a" * 59}…": String should have at most 200 characters'
    ]


_PAIRS, _FALL = "two different samples for each row, as in [0, 1]", "1 to 4 levels that fall, each"


@pytest.mark.parametrize(
    ("kind", "argument", "values", "told"),
    [("trajectories", "count", (True, "36", 36.0, 10_001, None), "Input should be"),
     ("trajectories", "columns", (0,), "Input should be"),
     ("trajectories", "columns", (37,), "should be at most the count, 36"),
     ("trajectories", "seed", (2**63, 1.5), "Input should be"),
     ("trajectories", "sampling_noise_std", (-0.1, 1.5, float("inf"), "0.1"), "Input should be"),
     ("trajectories", "fps", (0, 61, True), "Input should be"),
     ("trajectories", "show", (1, "noise"), "Input should be 'state', 'mean' or 'final'"),
     ("trajectories", "caption", ("a\x00", "a" * 10_001), "should"),
     ("trajectories", "id", ("con",), "is a reserved name"),
     ("interpolation", "samples", ([0, 1, 2], []), _PAIRS),
     ("interpolation", "samples", ([0, -1],), "greater than or equal to 0"),
     ("interpolation", "points", (1, 1001), "Input should be"),
     ("interpolation", "hold", (-1,), "Input should be"),
     ("interpolation", "ddim_steps", (0,), "Input should be"),
     ("interpolation", "ddpm", ("mnist-dpm",), 'did you mean "mnist-ddpm"?'),
     ("shared_noise", "count", (1,), "Input should be"),
     ("shared_noise", "rows", (0,), "Input should be"),
     ("shared_noise", "vary", ("color",), 'did you mean "colour"?'),
     ("hierarchy", "splits", ([50, 100], [50, 50], [50, 0], [], [5, 4, 3, 2, 1]), _FALL),
     ("hierarchy", "splits", (50,), "Input should be a valid tuple"),
     ("hierarchy", "splits", ([50.5],), "should be a valid integer"),
     ("hierarchy", "leaves", (6, 1), "should be 2, 4, 8 or 16"),
     ("spectra", "count", (0,), "Input should be"),
     ("spectra", "levels", (1,), "should be"), ("process", "columns", (13,), "should be")],
)  # fmt: skip
def test_bad_values(kind: str, argument: str, values: tuple[object, ...], told: str) -> None:
    """A value of the wrong type or outside its range is refused by name, with the rule."""
    for value in values:
        (line,) = faults("mnist", kind=kind, **{argument: value})
        assert line.startswith(f"{argument} = ")
        assert told in line


DIGITS, ONE = replace(GREY, subject="handwritten digits"), replace(GREY, levels=1)


MANY: dict[str, Any] = {"samples": [0, 1, 2, 3]}
BESIDE: dict[str, Any] = {"ddpm": "mnist-ddpm"}


@pytest.mark.parametrize(
    ("kind", "arguments", "card", "words"),
    [
        ("trajectories", {}, GREY, "36 samples of the model mnist forming out of flat grey sq"),
        ("trajectories", {}, DIGITS, "36 handwritten digits forming out of flat grey squares over"),
        ("trajectories", {}, COLOUR, "out of flat squares of one colour over 100 steps"),
        ("trajectories", {"count": 1}, ONE, "One sample of the model mnist forming out of a flat"),
        ("trajectories", {"count": 1}, ONE, "out of a flat grey square over one step"),
        ("shared_initial_state", {}, DIGITS, "36 handwritten digits forming out of one and the"),
        ("shared_initial_state", {}, GREY, "out of one and the same flat grey square over 100 st"),
        ("shared_noise", {}, GREY, "5 samples of the model mnist forming over 100 steps; all sh"),
        ("shared_noise", {}, GREY, "and begin from flat grey squares of different brightness"),
        ("shared_noise", {"rows": 3}, COLOUR, "3 rows of 5 samples of the model mnist forming"),
        ("shared_noise", {"rows": 3}, COLOUR, "those of a row share their noise, and begin from"),
        ("shared_noise", {}, COLOUR, "begin from flat squares of different colour"),
        (
            "shared_noise",
            {},
            ModelCard.from_toml(DDPM),
            "the noise of the steps, and each column begins from another",
        ),
        ("hierarchy", {}, DIGITS, "grey square splits into 2, 4 and then 8 handwritten digits"),
        ("hierarchy", {"leaves": 2}, COLOUR, "square of one colour splits into 2 pictures, which"),
        ("interpolation", {}, GREY, "With the model mnist a sample changes into another and back"),
        ("interpolation", MANY, GREY, "2 samples change into others and back"),
        ("interpolation", BESIDE, GREY, "Three panels side by side: in each a"),
        ("interpolation", BESIDE, GREY, "with the full latent of the DDPM mnist-d"),
    ],
)
def test_descriptions(kind: str, arguments: Any, card: ModelCard, words: str) -> None:
    """The text alternative says what is seen, of what, and how flat states of the model look."""
    assert words in call("mnist", kind=kind, **arguments).spec.describe([card, card])


Models = Mapping[str, ModelSource]


@pytest.fixture
def sources(tmp_path: Path) -> Models:
    """Models of made-up bytes: `heat`, `noise`, a `large` DDPM and one that `shows` a picture."""
    (tmp_path / "dir").mkdir()
    for name in ("weights", "prior", "one.png", "two.png"):
        (tmp_path / name).write_bytes(name.encode())
    heat, noise = ModelCard.from_toml(CARD), ModelCard.from_toml(DDPM)
    large = ModelCard.from_toml(DDPM.replace("16", "32"))
    shows = ModelCard.from_toml(CARD + '[example]\nfile = "one.png"\n')
    weights, prior, example = (tmp_path / name for name in ("weights", "prior", "one.png"))
    return {
        "heat": ModelSource("heat", heat, weights, prior),
        "noise": ModelSource("noise", noise, weights, None),
        "large": ModelSource("large", large, weights, None),
        "shows": ModelSource("shows", shows, weights, prior, None, example),
    }


def planned(sources: Models, root: Path, kind: str, *args: str, **kwargs: Any) -> PlannedFigure:
    """A call in line 3 of the site in `root`, planned."""
    figure = make_figure(kind, args, kwargs, SourceLocation("index.md", 3), sources, root)
    return plan(figure, "index.html", sources)


_NEEDS = 'needs {}, which the model {} of kind "{}" lacks'
_MORE = {"ddpm": "noise", "ddim_steps": 11}


@pytest.mark.parametrize(
    ("kind", "model", "kwargs", "told"),
    [
        (
            "shared_noise",
            "noise",
            {"vary": "hue"},
            'vary = "hue": needs initial states that were made of images, which the model noise',
        ),
        (
            "trajectories",
            "noise",
            {"sampling_noise_std": 0.1},
            "needs a sampling noise to choose, which the model noise",
        ),
        ("interpolation", "heat", {"ddpm": "shows"}, "needs the noise schedule of a DDPM, which"),
        ("process", "noise", {}, "image is missing: the card of noise has no example"),
        (
            "spectra",
            "noise",
            {"ddpm": "noise"},
            "label is missing: the model noise would be called",
        ),
        ("spectra", "heat", {"ddpm": "large"}, "heat 1 × 16 × 16 and large 1 × 32 × 32"),
        ("interpolation", "heat", _MORE, "ddim_steps = 11: the model noise has 10 levels"),
        ("process", "shows", {"columns": 6}, "columns = 6: the model shows has 5 levels"),
        ("process", "heat", {"columns": 2}, "image is missing: the card of heat has no example"),
        ("shared_noise", "heat", {"vary": "colour"}, "the model heat makes grey images"),
        ("hierarchy", "heat", {"splits": [9, 4]}, "the model heat has 4 levels, and none is 9"),
        ("hierarchy", "heat", {"leaves": 16, "splits": [5, 4, 3, 2]}, "and none is 5"),
        ("spectra", "heat", {"ddpm": "nois"}, "no such model"),
        ("interpolation", "heat", {"point": 5}, 'point: unknown key, did you mean "points"'),
        ("process", "heat", {"image": "onee.png"}, 'there is no such file, did you mean "one.png"'),
        ("process", "heat", {"image": "/etc/passwd"}, "should be a path from the folder of site"),
        ("process", "heat", {"image": "../one.png"}, "should be a path from the folder of site"),
        ("process", "heat", {"image": "dir"}, "is a folder; name the file inside it"),
    ],
)
def test_what_does_not_fit_the_site(
    sources: Models, tmp_path: Path, kind: str, model: str, kwargs: Any, told: str
) -> None:
    """A wrong kind of model, other sizes, too few levels, a model or picture not there."""
    with pytest.raises(ConfigError) as caught:
        planned(sources, tmp_path, kind, model, **kwargs)
    assert f"{kind}(…): " in str(caught.value)
    assert told in str(caught.value)


def test_what_a_recorded_tree_does_not_have(sources: Models, tmp_path: Path) -> None:
    """The answer is about what was written; models that have it are those that the call can show.

    The weights of `heat` and `noise` cannot be read.
    """
    tree = RecordingConfig((0.0, 1.0, 2.0), 4, splits=(2, 1))
    card = ModelCard(16, 1, 2, kind="recording", recording=tree)
    sources = {**sources, "tree": ModelSource("tree", card, tmp_path / "weights", None)}
    for kind, wanted, told in (
        (
            "hierarchy",
            {"splits": [9, 3, 1]},
            "splits: the tree of the recording tree splits at [2, 1]",
        ),
        ("hierarchy", {"samples": range(8)}, "samples: those of the tree of the recording tree"),
        ("hierarchy", {"leaves": 8}, "leaves = 8: the tree of the recording tree has 4"),
        ("sampler", {}, "which cannot be shown from the recording tree"),
        ("shared_noise", {}, "models that have it: heat, large, noise, shows"),
    ):
        with pytest.raises(ConfigError, match=re.escape(told)):
            planned(sources, tmp_path, kind, "tree", **wanted)


def test_link_out_of_the_site(sources: Models, tmp_path: Path) -> None:
    """No link out of the site, no more leaves than levels; a DDPM counts as a second model."""
    found = planned(sources, tmp_path, "process", "heat", image="one.png", columns=5)
    assert [*found.figure.contents] == ["image"]
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "one.png").symlink_to(tmp_path / "one.png")
    with pytest.raises(ConfigError, match="is a link out of the site's folder"):
        planned(sources, tmp_path / "site", "process", "heat", image="one.png")
    told = call("mnist", kind="hierarchy", leaves=16).spec.unmet([replace(GREY, levels=3)])
    assert "leaves: the model mnist has only 3 levels to split at" in list(told)
    for kind in ["spectra", "interpolation"]:
        few: dict[str, Any] = {"ddim_steps": 5} if kind == "interpolation" else {}
        alone = planned(sources, tmp_path, kind, "heat", **few)
        both = planned(sources, tmp_path, kind, "heat", ddpm="noise", **few)
        assert [each.name for each in alone.models] == ["heat"]
        assert [each.name for each in both.models] == ["heat", "noise"]
        assert alone.key != both.key
        assert ("DDPM" in both.description, "DDPM" in alone.description) == (True, False)
