"""Figure calls become frozen specs, or are told about in full."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from pydantic.dataclasses import dataclass

from sitegen.core.diagnostics import SourceLocation, fields_of
from sitegen.core.errors import ConfigError
from sitegen.core.files import canonical_json
from sitegen.figures import registry as figures
from sitegen.figures.base import Figure, FigureSpec, ModelName, default_alt, spec_json
from sitegen.figures.registry import figure_kinds, make_figure
from sitegen.figures.trajectories.spec import Trajectories

PLACE = SourceLocation("pages/index.md", 14)


def call(*args: object, **kwargs: object) -> Figure:
    """Call `trajectories` as a page of a site with two models would."""
    return make_figure("trajectories", args, kwargs, PLACE, {"mnist", "cifar10"})


def faults(*args: object, **kwargs: object) -> list[str]:
    """Say what is wrong with a call, without the place."""
    with pytest.raises(ConfigError) as caught:
        call(*args, **kwargs)
    lines = str(caught.value).split("\n")
    start = "pages/index.md:14: trajectories(…): "
    assert all(line.startswith(start) for line in lines)
    return [line.removeprefix(start) for line in lines]


def test_defaults() -> None:
    """A model is enough; everything else has a value."""
    figure = call("mnist")
    assert figure == Figure("trajectories", "", Trajectories("mnist"), "", None, PLACE)
    assert figure.models == ("mnist",)
    assert spec_json(figure) == {
        "kind": "trajectories",
        "model": "mnist",
        "count": 36,
        "columns": 6,
        "seed": 0,
        "show": "state",
        "sampling_noise_std": None,
        "fps": None,
    }


def test_words_are_not_pixels() -> None:
    """Caption, text alternative and id do not change what decides the pixels."""
    figure = call("mnist", caption=" A caption ", alt="Words", id="digits")
    assert (figure.caption, figure.alt, figure.id) == ("A caption", "Words", "digits")
    assert spec_json(figure) == spec_json(call("mnist"))


def test_one_figure_written_in_two_ways() -> None:
    """What means the same is the same spec."""
    assert call("mnist", count=25).spec == call(model="mnist", count=25, columns=5).spec
    assert call("mnist", fps=24).spec == call("mnist", fps=24.0).spec


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (9, 3), (10, 4), (36, 6)])
def test_grid_is_about_square(count: int, columns: int) -> None:
    """As many columns as rows, or one column more."""
    spec = call("mnist", count=count).spec
    assert isinstance(spec, Trajectories)
    assert spec.columns == columns


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
        "count = 0: should be a whole number from 1 to 10000",
        "seed = -1: should be a whole number from 0 to 9223372036854775807",
        'show = "sate": should be "state" or "mean", did you mean "state"?',
        "fps = nan: should be a number from 1 to 60",
        'cuont: unknown key, did you mean "count"?',
        "caption = 5: should be a valid string",
        'alt = "": should have at least 1 character',
        'id = "A b": should be 1 to 64 of a-z, 0-9 and -, and not begin with -',
    ]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("count", True),
        ("count", "36"),
        ("count", 36.0),
        ("count", 10_001),
        ("count", None),
        ("columns", 0),
        ("columns", 37),
        ("seed", 2**63),
        ("seed", 1.5),
        ("sampling_noise_std", -0.1),
        ("sampling_noise_std", 1.5),
        ("sampling_noise_std", float("inf")),
        ("sampling_noise_std", "0.1"),
        ("fps", 0),
        ("fps", 61),
        ("fps", True),
        ("show", 1),
        ("caption", "a\x00"),
        ("caption", "a" * 10_001),
        ("id", "con"),
    ],
)
def test_bad_values(argument: str, value: object) -> None:
    """A value of the wrong type or outside its range is refused by name."""
    (line,) = faults("mnist", **{argument: value})
    assert line.startswith(f"{argument} = ")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("count", 10_000), ("seed", 2**63 - 1), ("sampling_noise_std", 0), ("fps", 60), ("alt", None)],
)
def test_ends_of_the_ranges(argument: str, value: object) -> None:
    """The largest and smallest values are good."""
    call("mnist", **{argument: value})


def test_model_is_needed_once() -> None:
    """No model and two models are refused."""
    assert faults() == ["model is missing: The name of the model in site.toml."]
    assert "model is given twice" in faults("mnist", model="mnist")
    assert faults("other") == ['model = "other": no such model in site.toml; known: cifar10, mnist']


def test_models_need_not_be_known() -> None:
    """Without a site any good name is a model."""
    assert make_figure("trajectories", ("other",), {}, PLACE).models == ("other",)


def test_marked_up_text_becomes_plain() -> None:
    """A text that a template has marked as safe is not kept as safe."""
    assert type(call("mnist", caption=Markup("<b>")).caption) is str


def test_frozen() -> None:
    """Neither a figure nor its spec can be changed."""
    figure = call("mnist")
    with pytest.raises(FrozenInstanceError):
        figure.id = "x"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        figure.spec.count = 3  # type: ignore[attr-defined]


def test_descriptions() -> None:
    """The text alternative is the author's, or says what the spec says."""
    assert default_alt(call("mnist", alt="Digits"), 100) == "Digits"
    assert (
        default_alt(call("mnist"), 100)
        == "36 samples of the model mnist forming out of flat squares over 100 steps"
    )
    assert (
        default_alt(call("mnist", count=1), 1)
        == "One sample of the model mnist forming out of a flat square over one step"
    )


def test_number_with_one_bound() -> None:
    """Where there is no upper bound the lower one is told."""
    with pytest.raises(ConfigError, match="columns = 0: should be a whole number of at least 1"):
        call("mnist", columns=0)


@pytest.mark.parametrize("kind", figure_kinds())
def test_every_argument_is_explained(kind: str) -> None:
    """Each argument has one sentence, which an author is shown where it is missing."""
    fields = fields_of(figure_kinds()[kind].spec)
    assert fields.keys() == {field.name for field in dataclasses.fields(figure_kinds()[kind].spec)}
    assert all((field.description or "").endswith(".") for field in fields.values())


def test_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind is a dataclass and an entry; the call, its checks and its JSON follow."""

    @dataclass(frozen=True)
    class Pair(FigureSpec):
        left: ModelName
        right: ModelName

        @property
        def models(self) -> tuple[str, ...]:
            return (self.left, self.right)

    monkeypatch.setattr(figures, "KINDS", {**figure_kinds(), "pair": Pair})
    figure = make_figure("pair", ("a", "b"), {"caption": "C"}, PLACE, {"a", "b"})
    assert figure.models == ("a", "b")
    assert spec_json(figure) == {"kind": "pair", "left": "a", "right": "b"}
    with pytest.raises(ConfigError, match='right = "c": no such model'):
        make_figure("pair", ("a", "c"), {}, PLACE, {"a", "b"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@given(JSON)
def test_canonical_json(value: object) -> None:
    """It is JSON that means the value, in ASCII, and the order of keys does not matter."""
    text = canonical_json(value)
    assert json.loads(text) == value
    assert text.isascii()
    if isinstance(value, dict):
        assert canonical_json(dict(reversed(value.items()))) == text


def test_canonical_json_refuses() -> None:
    """NaN, infinity and other things than JSON have no canonical form."""
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_json([value])
    with pytest.raises(TypeError):
        canonical_json({"a": object()})
